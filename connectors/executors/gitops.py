"""DEPLOY: one commit of files to a branch of a GitOps repository.

    repository       URL or path of it
    branch           [main]; begins with this commit if it is not there
    path             the folder in the repository that the names below are relative to [.]
    file.<name>      the text of a file
    artifact.<name>  a file: an artifact of a task before it
    archive          a tar or zip archive of files
    message          of the commit [Deploy <ticket>]
    author           Name <email>
    tag              set on the commit, never moved
    → outputs commit (its hash), branch, changed (true; false: the files stood there already), tries

The commit names its ticket and attempt in trailers. They are looked for first: a repeat finds the commit and makes
no second one, and an attempt that was overtaken by a later one of its ticket is refused.
"""

import random
import re
import shutil
import time
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.connectors.executors.checkout import Away, Checkout, Overtaken
from neural_hive.connectors.executors.source import unpack
from neural_hive.connectors.executors.task import Failed, Task, Unfit, inside, redacted, run_program, say

TRIES_MAX: Final = 3
BACKOFF_S: Final = (
    0.5  # doubled with each try, and half as much again by chance: two that met shall not meet again
)
TICKET: Final = "Neural-Hive-Ticket"
ATTEMPT: Final = "Neural-Hive-Attempt"
_FILE, _ARTIFACT = "file.", "artifact."
_AUTHOR: Final = re.compile(r"([^<>\n]+?) *<([^<>\s]+)>")


class Order(msgspec.Struct, frozen=True):
    """Where to commit, and under which words."""

    repository: str
    branch: str
    path: str
    message: str
    tag: str
    identity: dict[str, str]


def deploy(task: Task) -> None:
    """Commits and pushes. Raises Failed, Unfit."""
    order = _order(task)
    checkout = Checkout(Path("checkout").absolute(), order.repository, order.branch, order.identity)
    for number in range(1, TRIES_MAX + 1):
        try:
            commit, changed = _commit(task, order, checkout)
        except (Overtaken, Away) as others:
            why = _told(order, others)
            say(f"try {number}: {why}\n{others}")
            if number == TRIES_MAX:
                raise Failed(f"{why}, {TRIES_MAX} times in a row") from others
            time.sleep(BACKOFF_S * 2 ** (number - 1) * random.uniform(1.0, 1.5))
            continue
        say(f"{commit} on {order.branch} of {redacted(order.repository)}")
        task.tell(commit=commit, branch=order.branch, changed=str(changed).lower(), tries=number)
        return


def _told(order: Order, others: Overtaken | Away) -> str:
    if isinstance(others, Away):
        return f"{redacted(order.repository)} could not be reached"
    return f"others pushed to {order.branch} at the same time"


def _commit(task: Task, order: Order, checkout: Checkout) -> tuple[str, bool]:
    """The commit that has what the task wants, and whether it was made now. Raises Overtaken, Away, Failed, Unfit."""
    checkout.renew()
    earlier = _earlier(task, checkout)
    if earlier:
        return earlier, False
    changed = checkout.commit(_write(task, checkout.folder, order.path), order.message)
    if changed or order.tag:
        checkout.push(order.tag)
    return checkout.head(), changed


def _order(task: Task) -> Order:
    names = ("repository", "branch", "path", "archive", "message", "author", "tag")
    task.known(*names, prefixes=(_FILE, _ARTIFACT))
    repository, branch = task.needed("repository"), task.parameters.get("branch", "main")
    tag = task.parameters.get("tag", "")
    if repository.startswith("-") or "::" in repository:
        raise Unfit("the repository must be a URL or a path")
    for name in filter(None, (branch, tag)):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*", name) or ".." in name:
            raise Unfit(f"{name[:80]!r} is no name of a branch or tag")
    if "archive" not in task.parameters and not any(
        n.startswith((_FILE, _ARTIFACT)) for n in task.parameters
    ):
        raise Unfit("there is nothing to commit: give file.<name>, artifact.<name> or archive")
    return Order(repository, branch, task.parameters.get("path", "."), _message(task), tag, _identity(task))


def _message(task: Task) -> str:
    text = task.parameters.get("message", "").strip() or f"Deploy {task.ticket_id}"
    return f"{text}\n\n{TICKET}: {task.ticket_id}\n{ATTEMPT}: {task.attempt}\n"


def _identity(task: Task) -> dict[str, str]:
    text = task.parameters.get("author", "Neural Hive <neural-hive@localhost>")
    match = _AUTHOR.fullmatch(text.strip())
    if not match:
        raise Unfit(f"the author must be written Name <email>, not {text[:80]!r}")
    name, email = match.groups()
    author = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email}
    return author | {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}


def _earlier(task: Task, checkout: Checkout) -> str:
    """The commit that this ticket has made already; empty if there is none. Raises Failed: this attempt is over."""
    for commit, attempt in checkout.trailers(TICKET, task.ticket_id, ATTEMPT):
        if attempt.isdecimal() and int(attempt) > task.attempt:
            raise Failed(
                f"attempt {attempt} of this ticket has committed {commit}: attempt {task.attempt} is over"
            )
        say(f"this ticket has committed already, in its attempt {attempt}")
        return commit
    return ""


def _write(task: Task, checkout: Path, path: str) -> list[Path]:
    """Writes the files into the checkout; their paths in it."""
    folder = inside(checkout, path)
    written = (
        _from_archive(task.parameters["archive"], checkout, folder) if "archive" in task.parameters else []
    )
    for name, value in task.parameters.items():
        if name.startswith((_FILE, _ARTIFACT)):
            target = _place(checkout, folder, name.partition(".")[2])
            if name.startswith(_FILE):
                target.write_text(value)
            elif Path(value).is_file():
                shutil.copyfile(value, target)
            else:
                raise Unfit(f"the parameter {name} names no file: {value[:200]}")
            written.append(target)
    if not written:
        raise Unfit("there is nothing to commit: the archive is empty")
    return [file.relative_to(checkout) for file in written]


def _from_archive(archive: str, checkout: Path, folder: Path) -> list[Path]:
    """Unpacked beside the checkout first, so that each path can be looked at before it is written."""
    unpacked = Path("unpacked").absolute()
    shutil.rmtree(unpacked, ignore_errors=True)
    targets = []
    for name in unpack(Path(archive), unpacked):
        targets.append(_place(checkout, folder, str(name)))
        shutil.copy2(unpacked / name, targets[-1], follow_symlinks=False)
    return targets


def _place(checkout: Path, folder: Path, name: str) -> Path:
    """Where a file is written: in its folder, not through a link, and not among git's own files. Raises Unfit."""
    target = inside(folder, name)
    if any(part.lower() == ".git" for part in target.relative_to(checkout).parts):
        raise Unfit("no file can be committed into .git")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    return target


if __name__ == "__main__":
    run_program(deploy)
