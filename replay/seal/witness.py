"""The witness: cosigns the checkpoints of one log, each only if the log has only grown since the last one it saw.

It needs no right to read the log and trusts neither it nor the sealer: with each checkpoint stand the proofs that every
partition begins with what was sealed before, and from what is sealed it makes the tree of seals itself. What it has
seen it keeps on a disk of its own, so that nobody can show it one log today and another one tomorrow.
"""

import hashlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from confluent_kafka import KafkaException
from prometheus_client import Gauge

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.disk import write_whole
from neural_hive.connectors.kafka_log import LostLog, Offsets, UnreadableLog
from neural_hive.connectors.publisher import Publisher
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.checkpoint import Checkpoint, opened
from neural_hive.replay.seal.follow import Follower
from neural_hive.replay.seal.leaf import Head
from neural_hive.replay.seal.ledger import NoSealFile, SealFile, seal_of
from neural_hive.replay.seal.merkle import Frontier
from neural_hive.replay.seal.note import BadNote, Note, PrivateKey, PublicKey
from neural_hive.replay.seal.seal import CHECKPOINTS, WITNESSED, WITNESSES, BadSeal, Seal, Sealed

_POLL_S: Final = 1.0
_RETRY_S: Final = 2.0
_PASSING: Final = (UnreadableLog, KafkaException, NoSealFile, OSError)
SIZE: Final = Gauge("neural_hive_witness_size", "The last checkpoint that was cosigned.")
REFUSED: Final = Gauge(
    "neural_hive_witness_refused", "1: a checkpoint does not follow on what was seen, and none is cosigned."
)
log = structlog.get_logger(__name__)


class WitnessRefused(RuntimeError):
    """The log's signer shows another log than before; the text says where they part."""


class Seen(msgspec.Struct, frozen=True):
    """What is kept of one log: enough to tell whether the next checkpoint follows."""

    note: str
    before: Frontier
    last: Sealed
    heads: tuple[Head, ...]


class Witness:
    """What was seen of one log, and who cosigns."""

    def __init__(self, key: PrivateKey, log_key: PublicKey, folder: Path) -> None:
        """Raises WitnessRefused: what was kept is damaged, and only its owner knows why."""
        self.key, self._log_key = key, log_key
        name = hashlib.sha256(log_key.text.encode()).hexdigest()[:16]
        self._file, self._evidence = folder / f"{name}.json", folder / f"{name}.refused"
        self.chain = self._kept()

    def _kept(self) -> Chain:
        try:
            seen = msgspec.json.decode(self._file.read_bytes(), type=Seen)
            return Chain.restored(self._log_key, seen.note, seen.before, seen.last, seen.heads)
        except FileNotFoundError:
            return Chain(self._log_key)
        except (msgspec.MsgspecError, UnicodeDecodeError, BadSeal) as error:
            raise WitnessRefused(
                f"what was seen before, in {self._file}, is damaged: {error}. Restore it from a backup; without it "
                "this witness would take any log for the first one"
            ) from None

    def see(self, seals: Iterable[Seal]) -> Note | None:
        """Looks at seals in their order, and cosigns the newest; None, if none is new.

        Raises WitnessRefused: one does not follow, which is kept as evidence. What came before it stays unsigned.
        """
        is_new = False
        for seal in seals:
            is_new |= self._look(seal)
        chain = self.chain
        if not is_new or chain.note is None or chain.last is None:
            return None
        heads = tuple(head for _, head in sorted(chain.heads.items()))
        # Before it is said: whoever forgets what it signed can be shown another log.
        write_whole(
            self._file, msgspec.json.encode(Seen(chain.note.content, chain.before, chain.last, heads))
        )
        return chain.note.with_signatures(self.key.sign(chain.note.text, int(time.time())))

    def _look(self, seal: Seal) -> bool:
        """Whether it is a new one that follows."""
        try:
            _, checkpoint = opened(seal.note, self._log_key)
        except BadNote as error:
            log.warning("not a checkpoint of the log", why=str(error))
            return False
        if checkpoint.size < self.chain.size:
            return False  # an old one: what it says is in the last one that was seen
        if checkpoint.size == self.chain.size:
            self._check_same(seal, checkpoint)
            return False
        try:
            self.chain.take(seal)
        except BadSeal as error:
            raise self._refusal(seal, str(error)) from error
        return True

    def _check_same(self, seal: Seal, checkpoint: Checkpoint) -> None:
        if self.chain.note is not None and self.chain.note.text != checkpoint.text:
            raise self._refusal(seal, f"there are two checkpoints {checkpoint.size}")

    def _refusal(self, seal: Seal, why: str) -> WitnessRefused:
        seen = self.chain.note.content if self.chain.note else ""
        write_whole(self._evidence, f"{why}\n\nseen:\n\n{seen}\nshown:\n\n{seal.note}".encode())
        return WitnessRefused(f"{why}. Both checkpoints, signed, are kept in {self._evidence}")


def run(
    config: Mapping[str, Any],
    key: PrivateKey,
    log_key: PublicKey,
    folder: Path,
    seals: str | None,
    stopping: threading.Event,
    ready: Callable[[bool], None] = lambda ready: None,
) -> None:
    """Cosigns until `stopping` is set. `seals`: a file or URL with seals; None: they come from the topic."""
    publisher = Publisher(config, "neural-hive.witness", is_traced=False)
    while not stopping.is_set():
        try:
            witness = Witness(key, log_key, folder)
            follow = _from_topic(config, log_key, stopping) if seals is None else _from_file(seals, stopping)
            for found in follow:
                if note := witness.see(found):
                    publish(publisher, witness, note, stopping)
                ready(True)
        except WitnessRefused as error:
            ready(False)
            REFUSED.set(1)
            log.critical("nothing more is cosigned: the log is not the one that was seen", why=str(error))
            stopping.wait()
        except (LostLog, BadSeal, *_PASSING) as error:
            ready(False)
            log.warning("the witness waits, and tries again", why=str(error)[:500])
            stopping.wait(_RETRY_S)


def publish(publisher: Publisher, witness: Witness, note: Note, stopping: threading.Event) -> None:
    """Publishes a cosigned checkpoint. What is not delivered when told to stop is made up for by the next one."""
    outcome: list[str] = []
    name = witness.key.name
    header = publisher.header(WITNESSED, derived_id(name, note.content), witness.chain.key.name)
    publisher.publish(WITNESSES, header, {"note": note.content, "witness": name}, outcome.append)
    while not outcome and not stopping.is_set():
        publisher.poll(0.1)
    SIZE.set(witness.chain.size)
    REFUSED.set(0)


def _from_topic(
    config: Mapping[str, Any], log_key: PublicKey, stopping: threading.Event
) -> Iterator[list[Seal]]:
    """All seals of the topic from the first one on: a topic that was exchanged is noticed at the next start."""
    with closing(Offsets({**config, "log_level": 2})) as offsets:
        begins = offsets.begins([(CHECKPOINTS, number) for number in offsets.partitions(CHECKPOINTS)])
    with closing(Follower({**config, "log_level": 2}, begins)) as follower:
        while not stopping.is_set():
            found = []
            for record in follower.records(_POLL_S):
                if record.key != log_key.name.encode():
                    continue
                try:
                    found.append(seal_of(record))
                except BadSeal as error:
                    log.warning("not a seal", why=str(error))
            yield found


def _from_file(named: str, stopping: threading.Event) -> Iterator[list[Seal]]:
    while not stopping.is_set():
        yield list(_fetched(named)) if "://" in named else list(SealFile(Path(named)).seals())
        stopping.wait(_RETRY_S)


def _fetched(url: str) -> Iterator[Seal]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            for line in answer:
                if line.endswith(b"\n"):
                    yield Seal.of_line(line)
    except (urllib.error.URLError, ValueError) as error:
        raise UnreadableLog(f"{url} cannot be fetched: {error}") from error
