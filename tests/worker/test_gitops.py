"""DEPLOY into real git repositories: one commit for a ticket, whatever is repeated and whoever else pushes."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.worker.executing import Bench, write


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def git(*arguments: str, at: Path) -> str:
    identity = {
        f"GIT_{role}_{part}": "test" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
    }
    environment = {**os.environ, **identity, "HOME": str(at)}
    done = subprocess.run(
        ["git", *arguments], cwd=at, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    bare = tmp_path / "repository.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare), at=tmp_path)
    return bare


def wanted(repository: Path, **more: str) -> dict[str, str]:
    return {"repository": str(repository), "path": "apps", "file.greeter.yaml": "version: 1\n", **more}


def commits(repository: Path, branch: str = "main") -> int:
    return int(git("rev-list", "--count", branch, at=repository))


def test_files_artifacts_and_archives_become_one_commit(bench: Bench, repository: Path) -> None:
    archive = bench.archive("source.tar", {"sub/a.txt": "a\n", ".gitignore": "*.log\n", "kept.log": "b\n"})
    parameters = wanted(
        repository, archive=archive.uri, message="Release it", author="Ann Lee <ann@example.com>", tag="v1"
    )
    parameters["artifact.copy.tar"] = archive.uri
    report = bench.run("DEPLOY", parameters, inputs=(archive,))
    assert report.ended == "COMPLETED", report.error
    commit = git("rev-parse", "main", at=repository)
    assert report.outputs == {"commit": commit, "branch": "main", "changed": "true", "tries": "1"}
    names = git("ls-tree", "-r", "--name-only", "main", at=repository).splitlines()
    assert names == [
        f"apps/{name}" for name in (".gitignore", "copy.tar", "greeter.yaml", "kept.log", "sub/a.txt")
    ]
    assert git("show", "main:apps/greeter.yaml", at=repository) == "version: 1"
    told = git("log", "-1", "--format=%an <%ae>%n%B", "v1", at=repository).splitlines()
    assert told[:2] == ["Ann Lee <ann@example.com>", "Release it"]
    assert told[-2:] == ["Neural-Hive-Ticket: ticket-1", "Neural-Hive-Attempt: 1"]


def test_texts_are_utf_8_in_any_language(bench: Bench, repository: Path) -> None:
    parameters = wanted(repository, message="Grüße → 蜂") | {"file.grüße.txt": "蜂\n"}
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    report = bench.run("DEPLOY", parameters, environment=plain)
    assert report.ended == "COMPLETED", report.error
    assert git("show", "main:apps/grüße.txt", at=repository) == "蜂"
    assert git("log", "-1", "--format=%s", "main", at=repository) == "Grüße → 蜂"


def test_a_repeat_finds_its_commit_even_under_later_ones(bench: Bench, repository: Path) -> None:
    first = bench.run("DEPLOY", wanted(repository))
    other = wanted(repository) | {"file.greeter.yaml": "version: 2\n"}
    bench.run("DEPLOY", other, ticket_id="ticket-2")
    for attempt in (1, 2):
        again = bench.run("DEPLOY", wanted(repository), attempt=attempt)
        assert again.outputs == first.outputs | {"changed": "false"}
    assert commits(repository) == 2
    assert git("show", "main:apps/greeter.yaml", at=repository) == "version: 2"


def test_an_attempt_that_a_later_one_has_overtaken_is_refused(bench: Bench, repository: Path) -> None:
    assert bench.run("DEPLOY", wanted(repository), attempt=2).ended == "COMPLETED"
    late = bench.run("DEPLOY", wanted(repository), attempt=1)
    assert late.ended == "FAILED"
    assert "attempt 1 is over" in late.error
    assert commits(repository) == 1


def test_the_same_files_make_no_empty_commit(bench: Bench, repository: Path) -> None:
    first = bench.run("DEPLOY", wanted(repository))
    same = bench.run("DEPLOY", wanted(repository), ticket_id="ticket-2")
    assert same.outputs == first.outputs | {"changed": "false"}
    assert commits(repository) == 1


def test_commits_at_the_same_time_all_arrive(bench: Bench, repository: Path) -> None:
    """Three at once: in each of the three tries one of them gets through."""

    def deploy(number: int) -> str:
        parameters = wanted(repository) | {f"file.{number}.yaml": "x"}
        report = bench.run("DEPLOY", parameters, ticket_id=f"ticket-{number}")
        assert report.ended == "COMPLETED", report.error
        return report.outputs["commit"]

    with ThreadPoolExecutor(3) as pool:
        made = set(pool.map(deploy, range(3)))
    assert len(made) == commits(repository) == 3
    names = git("ls-tree", "-r", "--name-only", "main", at=repository).splitlines()
    assert names == ["apps/0.yaml", "apps/1.yaml", "apps/2.yaml", "apps/greeter.yaml"]


def test_a_push_that_was_overtaken_is_tried_again_and_given_up_after_three(
    bench: Bench, repository: Path
) -> None:
    """The hook pushes another commit first, as often as there are numbers in its file."""
    bench.run("DEPLOY", wanted(repository), ticket_id="ticket-0")
    left = bench.folder / "left"
    hook = repository / "hooks" / "pre-receive"
    hook.write_text(
        f"""#!/bin/sh
[ "$(wc -l < {left})" -gt 0 ] || exit 0
sed -i 1d {left}
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x
git update-ref refs/heads/main $(git commit-tree -p main -m other main^{{tree}})
"""
    )
    hook.chmod(0o755)
    left.write_text("1\n2\n")
    report = bench.run("DEPLOY", wanted(repository) | {"file.greeter.yaml": "version: 2\n"})
    assert report.ended == "COMPLETED", report.error
    assert report.outputs["tries"] == "3"
    assert commits(repository) == 4

    left.write_text("1\n2\n3\n")
    report = bench.run(
        "DEPLOY", wanted(repository) | {"file.greeter.yaml": "version: 3\n"}, ticket_id="ticket-2"
    )
    assert report.ended == "FAILED"
    assert report.error.endswith("others pushed to main at the same time, 3 times in a row")
    assert git("show", "main:apps/greeter.yaml", at=repository) == "version: 2"


def test_a_tag_is_never_moved_and_nothing_is_pushed_beside_it(bench: Bench, repository: Path) -> None:
    bench.run("DEPLOY", wanted(repository, tag="v1"))
    other = wanted(repository, tag="v1") | {"file.greeter.yaml": "version: 2\n"}
    report = bench.run("DEPLOY", other, ticket_id="ticket-2")
    assert report.ended == "FAILED"
    assert "the tag v1 exists and is another commit" in report.error
    assert commits(repository) == 1
    same = bench.run("DEPLOY", wanted(repository, tag="v1"), ticket_id="ticket-3")
    assert same.ended == "COMPLETED", same.error


def test_the_branch_that_a_work_tree_has_checked_out(bench: Bench, tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {"readme": "text"})
    git("init", "--quiet", "--initial-branch=main", ".", at=tree)
    git("add", "readme", at=tree)
    git("commit", "--quiet", "--message=first", at=tree)
    refused = bench.run("DEPLOY", wanted(tree))
    assert refused.ended == "FAILED"
    assert "set receive.denyCurrentBranch to updateInstead there" in refused.error
    git("config", "receive.denyCurrentBranch", "updateInstead", at=tree)
    assert bench.run("DEPLOY", wanted(tree)).ended == "COMPLETED"
    assert (tree / "apps" / "greeter.yaml").read_text() == "version: 1\n"
    beside = bench.run("DEPLOY", wanted(tree, branch="staging"), ticket_id="ticket-2")
    assert beside.ended == "COMPLETED", beside.error
    assert commits(tree, "staging") == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"repository": "/no/such/repository"}, "git ls-remote failed"),
        ({"repository": "https://ann:secret@127.0.0.1:1/x.git"}, "could not be reached, 3 times"),
        ({"repository": "--upload-pack=touch"}, "must be a URL or a path"),
        ({"repository": "ext::sh -c touch"}, "must be a URL or a path"),
        ({"repository": ""}, "the parameter repository is missing"),
        ({"branch": "a..b"}, "no name of a branch"),
        ({"author": "nobody"}, "must be written Name <email>"),
        ({"path": "../elsewhere"}, "leads out of its folder"),
        ({"path": "link"}, "leads out of its folder"),
        ({"path": ".git/hooks"}, "into .git"),
        ({"artifact.b": "/no/such/file"}, "the parameter artifact.b names no file"),
        ({"fil.b": "x"}, "there is no parameter 'fil.b'"),
        ({"archive": "EMPTY", "file.greeter.yaml": None}, "the archive is empty"),
        ({"file.greeter.yaml": None}, "there is nothing to commit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(
    bench: Bench, repository: Path, changes: dict[str, str | None], told: str
) -> None:
    archive = bench.archive("empty.tar", {})
    link = bench.folder / "seed"
    git("clone", "--quiet", str(repository), str(link), at=bench.folder)
    (link / "link").symlink_to(bench.folder)
    git("add", "link", at=link)
    git("commit", "--quiet", "--message=link", at=link)
    git("push", "--quiet", "origin", "HEAD:main", at=link)
    parameters = {name: value for name, value in (wanted(repository) | changes).items() if value is not None}
    if "archive" in parameters:
        parameters["archive"] = archive.uri
    report = bench.run("DEPLOY", parameters, inputs=(archive,))
    assert report.ended == "FAILED"
    assert told in report.error
    assert "secret" not in report.error
    assert "Traceback" not in report.error
    assert commits(repository) == 1


def test_a_repository_that_is_away_for_a_moment(bench: Bench, repository: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    ssh = tmp_path / "ssh"
    # Takes the place of ssh: refuses the first calls as ssh would, then runs the command on this machine.
    ssh.write_text(
        f"#!/bin/sh\necho call >> {calls}\n"
        f'[ $(wc -l < {calls}) -gt $AWAY ] && {{ shift; exec sh -c "$*"; }}\n'
        'echo "ssh: connect to host config port 22: Connection refused" >&2; exit 255\n'
    )
    ssh.chmod(0o755)
    parameters = wanted(repository) | {"repository": f"ssh://config{repository}"}
    environment = {"GIT_SSH_COMMAND": str(ssh), "GIT_SSH_VARIANT": "simple"}
    gone = bench.run("DEPLOY", parameters, environment=environment | {"AWAY": "1000"})
    assert gone.ended == "FAILED"
    assert gone.error.endswith("could not be reached, 3 times in a row")
    assert len(calls.read_text().splitlines()) == 3
    calls.unlink()
    report = bench.run("DEPLOY", parameters, environment=environment | {"AWAY": "2"})
    assert report.ended == "COMPLETED", report.error
    assert report.outputs["tries"] == "3"
    assert commits(repository) == 1


def test_a_push_whose_answer_is_lost_counts_once(bench: Bench, repository: Path, tmp_path: Path) -> None:
    hook = repository / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\n[ -e {tmp_path}/lost ] || {{ touch {tmp_path}/lost; kill -9 $PPID; }}\n")
    hook.chmod(0o755)
    report = bench.run("DEPLOY", wanted(repository))
    assert report.ended == "COMPLETED", report.error
    assert (tmp_path / "lost").exists()
    assert (report.outputs["tries"], report.outputs["changed"]) == ("2", "false")
    assert report.outputs["commit"] == git("rev-parse", "main", at=repository)
    assert commits(repository) == 1
