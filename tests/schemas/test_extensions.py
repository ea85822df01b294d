"""What installed packages declare is found, and what cannot be used is refused with its name."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neural_hive.schemas import extensions
from neural_hive.schemas.extensions import TOPICS_GROUP, BadExtension, all_topics, declared
from neural_hive.schemas.topics import TOPICS

Install = Callable[[str, str], None]
GROUP = "neural_hive.projections"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install(name, entry_points)` puts a package with these entry points on the path."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "added_here.py").write_text(
        "from neural_hive.schemas.topics import Kind, Topic\n"
        "MODEL = 'a read model'\n"
        "OWN = (Topic('doors.commands', Kind.INPUT, 6),)\n"
        "TAKEN = (Topic('plans.consensus', Kind.INPUT, 6),)\n"
    )

    def package(name: str, entry_points: str) -> None:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(entry_points)

    extensions.all_topics.cache_clear()
    yield package
    extensions.all_topics.cache_clear()
    for name in set(sys.modules) - before:
        if name == "added_here":
            del sys.modules[name]


def test_nothing_installed_adds_nothing() -> None:
    assert declared(GROUP, ()) == {}
    assert all_topics() == TOPICS


def test_what_a_package_declares_is_loaded(install: Install) -> None:
    install("doors", f"[{GROUP}]\ndoors = added_here:MODEL\n[{TOPICS_GROUP}]\ndoors = added_here:OWN\n")
    assert declared(GROUP, ("tickets",)) == {"doors": "a read model"}
    assert all_topics().keys() - TOPICS.keys() == {"doors.commands"}


def test_what_cannot_be_imported_is_named(install: Install) -> None:
    install("doors", f"[{GROUP}]\ndoors = added_here:MISSING\n")
    with pytest.raises(
        BadExtension, match=r"entry point doors .* of package doors cannot be loaded: AttributeError"
    ):
        declared(GROUP, ())


def test_names_are_given_once(install: Install) -> None:
    install("doors", f"[{GROUP}]\ntickets = added_here:MODEL\ndoors = added_here:MODEL\n")
    with pytest.raises(BadExtension, match=r"entry point tickets .* the name is taken"):
        declared(GROUP, ("tickets",))
    install("gates", f"[{GROUP}]\ndoors = added_here:MODEL\n")
    with pytest.raises(BadExtension, match=r"entry point doors .* the name is taken"):
        declared(GROUP, ())


def test_topics_of_others_are_not_taken_over(install: Install) -> None:
    install("doors", f"[{TOPICS_GROUP}]\ndoors = added_here:TAKEN\n")
    with pytest.raises(BadExtension, match=r"plans\.consensus is declared already"):
        all_topics()
