"""A branch of a git repository, checked out to be added to; what git says is told without passwords."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from neural_hive.connectors.executors.task import Failed, redacted

# How git and its servers say that somebody else has pushed first.
_OVERTAKEN: Final = (
    "fetch first",
    "non-fast-forward",
    "cannot lock ref",
    "failed to update ref",
    "incorrect old value",
    "reference already exists",
)

# How git and ssh say that the repository could not be reached, or went away; that a password is wrong is none of them.
_AWAY: Final = re.compile(
    "Could not resolve host|Temporary failure in name resolution|Network is unreachable|Operation timed out"
    "|Connection (refused|reset|timed out)|(Failed|Couldn't|Could not) (to )?connect"
    "|hung up unexpectedly|unexpected disconnect|early EOF|error: (5[0-9]{2}|429)\\b"
)


class Away(Exception):
    """The repository cannot be reached for now; whether it took what was pushed last is not known."""


class Overtaken(Exception):
    """Somebody else has pushed first; what they pushed has to be taken in."""


class Checkout:
    """The newest state of a branch in a folder of ours. A branch that is not there begins empty."""

    def __init__(self, folder: Path, repository: str, branch: str, identity: dict[str, str]) -> None:
        self.folder = folder
        self._repository = repository
        self._branch = branch
        # Words that can be understood, no questions, and no patterns in paths.
        self._variables = {
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            **identity,
        }
        folder.mkdir()
        self.git("init", "--quiet", f"--initial-branch={branch}")

    def renew(self) -> None:
        """Takes the branch as it is now; whatever was changed here is gone. Raises Away; Failed: it cannot be had."""
        reference = f"refs/heads/{self._branch}"
        if self.git("ls-remote", "--heads", "--", self._repository, reference):
            self.git("fetch", "--quiet", "--no-tags", "--", self._repository, reference)
            self.git("checkout", "--quiet", "--force", "-B", self._branch, "FETCH_HEAD")
        else:
            self.git("update-ref", "-d", reference)
            self.git("read-tree", "--empty")
        self.git("clean", "-d", "--force", "--force", "-x", "--quiet")

    def head(self) -> str:
        """The hash of the newest commit; empty if there is none."""
        return self._try("rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()

    def trailers(self, key: str, value: str, other_key: str) -> list[tuple[str, str]]:
        """Of the commits with a trailer of this key and value: their hashes, and another trailer. Newest first."""
        if not self.head():
            return []
        fields = ["%H", *(f"%(trailers:key={name},valueonly,separator=%x2C)" for name in (key, other_key))]
        shown = f"--format={'%x09'.join(fields)}"
        lines = self.git("log", "--fixed-strings", f"--grep={key}: {value}", shown).splitlines()
        rows = [line.split("\t") for line in lines]
        return [(row[0], row[2]) for row in rows if len(row) == 3 and row[1] == value]

    def commit(self, paths: Iterable[Path], message: str) -> bool:
        """Commits these files, also where the repository ignores them; False if nothing has changed."""
        names = "\0".join(path.as_posix() for path in paths)
        self.git("add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul", given=names)
        if self._try("diff", "--cached", "--quiet").returncode == 0:
            return False
        self.git("commit", "--quiet", "--no-verify", "--file=-", given=message)
        return True

    def push(self, tag: str) -> None:
        """Publishes branch and tag, both or none. Raises Overtaken, Away; Failed: it is refused."""
        wanted = [f"HEAD:refs/heads/{self._branch}", *([f"HEAD:refs/tags/{tag}"] if tag else [])]
        done = self._try("push", "--atomic", "--porcelain", "--", self._repository, *wanted)
        if done.returncode == 0:
            return
        said = done.stdout + done.stderr
        if tag and "already exists" in said and "reference already exists" not in said:
            raise Failed(f"the tag {tag} exists and is another commit; tags are not moved")
        if any(words in said for words in _OVERTAKEN):
            raise Overtaken(redacted(said.strip()))
        if _AWAY.search(said):
            raise Away(redacted(said.strip()))
        hint = ""
        if "branch is currently checked out" in said:
            hint = "\nset receive.denyCurrentBranch to updateInstead there, or name a bare repository"
        raise Failed(f"git push was refused: {redacted(said.strip())}{hint}")

    def git(self, *arguments: str, given: str = "") -> str:
        """What git answers. Raises Away; Failed: it refuses."""
        done = self._try(*arguments, given=given)
        if done.returncode and _AWAY.search(done.stderr):
            raise Away(redacted(done.stderr.strip()))
        if done.returncode:
            words = redacted(done.stderr.strip() or f"exit code {done.returncode}")
            raise Failed(f"git {arguments[0]} failed: {words}")
        return done.stdout.strip()

    def _try(self, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **self._variables},
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
