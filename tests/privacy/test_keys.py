"""The stores of keys: what each promises, and what the folder does when it ends anywhere in between."""

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from neural_hive.connectors import subject_keys
from neural_hive.connectors.key_folder import KeyFolder
from neural_hive.connectors.personal import Personal
from neural_hive.connectors.subject_keys import (
    BadName,
    Erased,
    SubjectKeys,
    SubjectKeysUnusable,
    UnknownSubject,
)
from tests.privacy.memory_keys import MemoryKeys

NOBODYS = "0" * 32


@pytest.fixture(params=["folder", "memory"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> SubjectKeys:
    return KeyFolder(tmp_path / "keys") if request.param == "folder" else MemoryKeys()


def test_a_person_has_one_key(keys: SubjectKeys) -> None:
    made = keys.made("Ann  Example")
    assert keys.made("ann example") == made
    assert keys.subject_of("ANN EXAMPLE") == made.subject_id
    assert keys.key_of(made.subject_id) == made.key
    assert len(made.key) == 64
    assert keys.made("bob").key != made.key


def test_who_is_not_known_is_told_so(keys: SubjectKeys) -> None:
    with pytest.raises(UnknownSubject):
        keys.subject_of("ann")
    with pytest.raises(UnknownSubject):
        keys.key_of(NOBODYS)
    with pytest.raises(UnknownSubject):
        keys.erase(NOBODYS)
    with pytest.raises(BadName):
        keys.made(" ")


def test_an_erasure_is_for_ever_and_can_be_repeated(keys: SubjectKeys) -> None:
    made = keys.made("ann")
    assert keys.erase(made.subject_id) is True
    assert keys.erase(made.subject_id) is False
    with pytest.raises(Erased):
        keys.subject_of("ann")
    with pytest.raises(Erased):
        keys.key_of(made.subject_id)
    again = keys.made("ann")
    assert again.subject_id != made.subject_id
    assert keys.subject_of("ann") == again.subject_id
    with pytest.raises(Erased):
        keys.key_of(made.subject_id)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.erase(keys.made("ann").subject_id)
    keys.made("bob")
    for path in (tmp_path / "keys", *(tmp_path / "keys").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_no_name_stands_in_the_folder(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    made = keys.made("ann")
    keys.erase(made.subject_id)
    for path in (tmp_path / "keys").rglob("*"):
        assert "ann" not in path.name
        if path.is_file():
            assert b"ann" not in path.read_bytes()
            assert made.key not in path.read_bytes()
    leads = [path for path in (tmp_path / "keys" / "names").iterdir() if made.subject_id in path.read_text()]
    assert leads == [], "nothing leads from the name to the subject any more"


def test_a_folder_that_others_reach_is_refused(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.made("ann")
    (tmp_path / "keys").chmod(0o750)
    with pytest.raises(SubjectKeysUnusable, match="chmod 700"):
        keys.made("ann")


def test_a_lost_or_damaged_file_is_told_of(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    made = keys.made("ann")
    (tmp_path / "keys" / "keys" / made.subject_id).write_bytes(b"short")
    with pytest.raises(SubjectKeysUnusable, match="is damaged"):
        keys.made("ann")
    (tmp_path / "keys" / "index.key").unlink()
    for ask in (keys.made, keys.subject_of):
        with pytest.raises(SubjectKeysUnusable, match="without it no person is found"):
            ask("bob")
    blocked = tmp_path / "a file"
    blocked.touch()
    with pytest.raises(SubjectKeysUnusable, match="The setting is subject_keys"):
        KeyFolder(blocked / "keys").made("ann")


def test_many_at_once_make_one_key(tmp_path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait(30)
        found.append(KeyFolder(tmp_path / "keys").made("ann").subject_id)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(list((tmp_path / "keys" / "keys").iterdir())) == 1


class PowerCut(BaseException):
    """The process ends here."""


def cut_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> Callable[[], int]:
    """Ends the process before its call number `calls` that changes a file; gives how many there were."""
    count = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count == calls:
                raise PowerCut
            return original(*arguments, **more)

        return call

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    for name in ("unlink", "replace"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    return lambda: count


def cuts(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many calls a piece of work has that change a file."""
    with monkeypatch.context() as patched:
        counted = cut_after(patched, 0)
        work()
        return counted()


def test_an_erasure_that_ends_anywhere_is_ended_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = KeyFolder(tmp_path / "first")
    made = first.made("ann")
    steps = cuts(lambda: first.erase(made.subject_id), monkeypatch)
    assert steps > 5
    for at in range(1, steps + 1):
        keys = KeyFolder(tmp_path / str(at))
        made = keys.made("ann")
        with monkeypatch.context() as patched:
            cut_after(patched, at)
            with pytest.raises(PowerCut):
                keys.erase(made.subject_id)
        is_found = False
        with suppress(Erased):  # only the last step was left
            is_found = keys.subject_of("ann") == made.subject_id
        if is_found:
            keys.erase(keys.subject_of("ann"))
        _is_gone(tmp_path / str(at), made)


def test_who_comes_back_in_the_middle_of_an_erasure_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = KeyFolder(tmp_path / "first")
    before = first.made("ann")
    steps = cuts(lambda: first.erase(before.subject_id), monkeypatch)
    for at in range(1, steps + 1):
        keys = KeyFolder(tmp_path / str(at))
        made = keys.made("ann")
        with monkeypatch.context() as patched:
            cut_after(patched, at)
            with pytest.raises(PowerCut):
                keys.erase(made.subject_id)
        again = keys.made("ann")
        if again != made:  # else nothing was done yet
            _is_gone(tmp_path / str(at), made)
            assert keys.subject_of("ann") == again.subject_id


def _is_gone(folder: Path, made: subject_keys.SubjectKey) -> None:
    with pytest.raises(Erased):
        KeyFolder(folder).key_of(made.subject_id)
    for path in folder.rglob("*"):
        if path.is_file():
            assert made.key not in path.read_bytes(), path
            assert path.parent.name != "names" or made.subject_id.encode() != path.read_bytes()


def test_a_making_that_ends_anywhere_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = cuts(lambda: KeyFolder(tmp_path / "first").made("ann"), monkeypatch)
    assert steps > 8
    for at in range(1, steps + 1):
        folder = tmp_path / str(at)
        with monkeypatch.context() as patched:
            cut_after(patched, at)
            with pytest.raises(PowerCut):
                KeyFolder(folder).made("ann")
        person = Personal(KeyFolder(folder))
        assert person.revealed(person.hide("ann", "requested_by")) == "ann"


def test_a_copy_of_the_keys_brings_nobody_back_that_is_erased_again(tmp_path: Path) -> None:
    """As `neural-hive erase --from-log` does it."""
    keys = KeyFolder(tmp_path / "keys")
    made = keys.made("ann")
    copy = tmp_path / "copy"
    copy.mkdir(0o700)
    for folder in ("names", "keys", "erased"):
        (copy / folder).mkdir()
        for path in (tmp_path / "keys" / folder).iterdir():
            (copy / folder / path.name).write_bytes(path.read_bytes())
    (copy / "index.key").write_bytes((tmp_path / "keys" / "index.key").read_bytes())
    keys.erase(made.subject_id)
    restored = KeyFolder(copy)
    assert restored.key_of(made.subject_id) == made.key
    assert restored.erase(made.subject_id)
    _is_gone(copy, made)
