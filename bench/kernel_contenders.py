"""Who does the kernel benchmark's work, and how each is started: in the way its own documentation says."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from bench.topics import PARTITIONS, Topics
from neural_hive.connectors.child import Child
from neural_hive.schemas.catalogue import FOLDERS_VARIABLE
from tests.toy.harness import ROOT, SCHEMAS

HIVE: Final = "Neural Hive"
LOOP: Final = "confluent-kafka loop"
BYTEWAX: Final = "Bytewax"
BYTEWAX_RECOVERY: Final = "Bytewax with recovery"
QUIX: Final = "Quix Streams, at least once"
QUIX_EXACTLY: Final = "Quix Streams, exactly once"
FAUST: Final = "Faust agent and table"
PEERS_PYTHON: Final = ROOT / ".venv-bench" / "bin" / "python"
PEERS: Final = ROOT / "bench" / "peers"
_SCHEMA: Final = SCHEMAS / "registered" / "100002.avsc"
Start = Callable[[Topics, Path], Child]


class NoPeers(RuntimeError):
    """The peers' environment is missing; the text says how to make it."""


class Contender(msgspec.Struct, frozen=True):
    """A name, and how its process is started, in a folder of its own."""

    name: str
    start: Start
    part: float = 1.0  # of the records: the slow ones get fewer


def contenders() -> list[Contender]:
    """All of them. Raises NoPeers."""
    if not PEERS_PYTHON.exists():
        raise NoPeers("the peers are not installed: run `make bench`, or `make .venv-bench/.installed`")
    return [
        Contender(HIVE, hive),
        Contender(LOOP, _script("plain_loop.py")),
        Contender(BYTEWAX, _bytewax),
        Contender(BYTEWAX_RECOVERY, _bytewax_recovering),
        Contender(QUIX, _script("quix_app.py", "at-least-once")),
        Contender(QUIX_EXACTLY, _script("quix_app.py", "exactly-once")),
        Contender(FAUST, faust, part=0.1),
    ]


def _child(line: list[str], topics: Topics, folder: Path, **more: str) -> Child:
    environment = os.environ | {
        FOLDERS_VARIABLE: str(SCHEMAS),
        "BENCH_SCHEMA": str(_SCHEMA),
        "BENCH_BOOTSTRAP": topics.bootstrap,
        "BENCH_SOURCE": topics.source,
        "BENCH_EVENTS": topics.events,
        **more,
    }
    return Child(line, folder / "out.log", environment=environment, folder=folder)


def _arguments(topics: Topics) -> list[str]:
    return [topics.bootstrap, topics.source, topics.events, topics.name]


def hive(topics: Topics, folder: Path) -> Child:
    """A worker of Neural Hive."""
    line = [sys.executable, "-m", "bench.kernel_worker", *_arguments(topics), str(folder)]
    return _child(line, topics, folder, PYTHONPATH=str(ROOT))


def _script(name: str, *more: str) -> Start:
    def start(topics: Topics, folder: Path) -> Child:
        line = [str(PEERS_PYTHON), str(PEERS / name), *_arguments(topics), str(folder), *more]
        return _child(line, topics, folder)

    return start


def faust(topics: Topics, folder: Path) -> Child:
    """Faust's agent, with its table in the folder."""
    line = [sys.executable, str(PEERS / "faust_agent.py"), *_arguments(topics), str(folder)]
    return _child(line, topics, folder)


def _bytewax(topics: Topics, folder: Path, *recovery: str) -> Child:
    line = [str(PEERS_PYTHON), "-m", "bytewax.run", f"{PEERS / 'bytewax_flow.py'}:flow", *recovery]
    return _child(line, topics, folder, PYTHONPATH=str(PEERS))


def _bytewax_recovering(topics: Topics, folder: Path) -> Child:
    store = folder / "recovery"
    store.mkdir()
    made = [str(PEERS_PYTHON), "-m", "bytewax.recovery", str(store), str(PARTITIONS)]
    subprocess.run(made, check=True, capture_output=True)
    return _bytewax(
        topics,
        folder,
        "--recovery-directory",
        str(store),
        "--snapshot-interval",
        "1",
        "--backup-interval",
        "0",
    )
