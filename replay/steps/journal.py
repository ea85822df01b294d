"""A folder that keeps what is done of a verification, so that a run that was broken off goes on from there.

It is bound to the log that it was begun with (topic ids, and the last event of each partition), to what was asked for,
and to the code: results of another one of these are not mixed with new ones, the run is refused.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.connectors.disk import write_whole
from neural_hive.connectors.kafka_cluster import Cluster
from neural_hive.connectors.kafka_log import LostLog, Record, StalledLog, UnreadableLog
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.checks.seal import Sealing
from neural_hive.replay.reader import KafkaSource, LogSource, Range
from neural_hive.replay.seal.leaf import record_leaf
from neural_hive.replay.steps.plan import Plan
from neural_hive.replay.steps.request import Request
from neural_hive.replay.steps.step import SCRATCH
from neural_hive.streams.kernel.versions import code_hash, logic_version

_FORM: Final = 1
_PLAN, _LOCK = "plan", "lock"
_OURS: Final = (_PLAN, f"{_PLAN}.new", _LOCK, "*.done", "*.done.new", "*.causes", "*.silent-*", f"{SCRATCH}*")
_HASH_BYTES: Final = 32
_WINDOW: Final = 64  # offsets: behind the last event stand the markers of transactions
_VERIFIER: Final = "neural_hive.replay.everything"


class JournalRefused(ValueError):
    """The folder's results do not fit this run, or it cannot be used; the text says why and what to do."""


class _Begun(msgspec.Struct, frozen=True):
    """What was begun, of which log, with which code."""

    form: int
    code: str
    asked: str
    topic_ids: dict[str, str]
    tails: dict[str, tuple[int, bytes]]  # partition → offset and hash of its last event
    plan: Plan


class Journal:
    """One folder, for one run at a time. Raises JournalRefused."""

    def __init__(self, folder: Path, request: Request) -> None:
        self._folder, self._request = folder, request
        self._source: LogSource = request.source(KafkaSource(request.kafka, request.stall_s))
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            strangers = [file.name for file in folder.iterdir() if not _is_ours(file)]
            if strangers:
                raise JournalRefused(f"{folder} is no journal of a verification: it holds {strangers[0]}")
            self._lock = (folder / _LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalRefused(f"another verification uses {folder} now") from None
        except OSError as error:
            raise JournalRefused(f"{folder} cannot be used as a journal: {error.strerror}") from None

    def plan(self) -> Plan | None:
        """What an earlier run has begun here; None: none has."""
        file = self._folder / _PLAN
        self._remove((f"{SCRATCH}*",))  # of processes that were killed
        if not file.is_file():
            self._remove(("*.done", "*.causes", "*.silent-*"))  # of a run that had not begun
            return None
        content = file.read_bytes()
        digest, body = content[:_HASH_BYTES], content[_HASH_BYTES:]
        if sha256(body).digest() != digest:
            raise self._refused("it is damaged")
        begun = msgspec.msgpack.decode(body, type=_Begun)
        self._check(begun)
        return begun.plan

    def begin(self, plan: Plan) -> None:
        """From now on the results here are of this plan."""
        tails = {
            f"{topic}:{partition}": tail
            for scope in plan.scopes
            for topic, ranges in scope.events.items()
            for partition, bounds in ranges.items()
            if (tail := _tail(self._source, topic, partition, bounds))
        }
        begun = _Begun(_FORM, self._code(), self._asked(), self._topic_ids(), tails, plan)
        body = msgspec.msgpack.encode(begun)
        write_whole(self._folder / _PLAN, sha256(body).digest() + body)

    def remove(self) -> None:
        """The run has come to its end: a next one begins anew."""
        self._remove(_OURS)
        self._lock.close()
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def close(self) -> None:
        """Lets others use the folder."""
        self._lock.close()

    def _check(self, begun: _Begun) -> None:
        if begun.form != _FORM or begun.code != self._code():
            raise self._refused("it was begun with other code")
        if begun.asked != self._asked():
            raise self._refused("it was begun with other options")
        now = self._topic_ids()
        for topic, topic_id in begun.topic_ids.items():
            if now.get(topic) != topic_id:
                raise self._refused(f"topic {topic} was {topic_id} and is {now.get(topic) or 'not there'}")
        for place, (offset, digest) in begun.tails.items():
            topic, _, partition = place.rpartition(":")
            found = _hash_at(self._source, topic, int(partition), offset)
            if found != digest:
                what = "is gone" if found is None else "is another one"
                raise self._refused(f"the log is not the same: the event at {place}:{offset} {what}")

    def _refused(self, why: str) -> JournalRefused:
        return JournalRefused(
            f"the journal {self._folder} does not fit: {why}. Remove it, and verify from the beginning"
        )

    def _code(self) -> str:
        return "-".join(
            [code_hash(frozenset({_VERIFIER})), *(logic_version(system) for system in self._request.systems)]
        )

    def _asked(self) -> str:
        request = self._request
        asked: dict[str, Any] = {
            "topics": request.topics,
            "from_archive": request.from_archive,
            "systems": [system.name for system in request.systems],
            "archive": request.tables is not None,
            "states": str(request.states and request.states.resolve()),
            "seal": _told(request.sealing),
            "decisions": request.decide is not None,
        }
        return msgspec.json.encode(asked).decode()

    def _topic_ids(self) -> dict[str, str]:
        request = self._request
        names = set(request.archived_topics())
        if request.from_archive:
            assert request.tables is not None
            positions = ArchiveSource(request.tables.clickhouse).positions().values()
            return {at.topic: at.topic_id for at in positions if at.topic in names}
        return {name: found.topic_id for name, found in Cluster(request.kafka).topics(names).items()}

    def _remove(self, patterns: Iterable[str]) -> None:
        for pattern in patterns:
            for file in self._folder.glob(pattern):
                if file.is_dir():
                    shutil.rmtree(file)
                else:
                    file.unlink()


def _told(sealing: Sealing | None) -> list[Any] | None:
    """What the seal is checked with, in words that are the same in every process."""
    if sealing is None:
        return None
    keys = [key.text if key else "" for key in (sealing.key, *sealing.witnesses)]
    return [*keys, str(sealing.file.resolve()), *sorted(sealing.topics)]


def _is_ours(file: Path) -> bool:
    return any(file.match(pattern) for pattern in _OURS)


def _tail(source: LogSource, topic: str, partition: int, bounds: Range) -> tuple[int, bytes] | None:
    """Offset and hash of the last record of a range; None: there is none."""
    first, end = bounds
    window = _WINDOW
    while end > first:
        begin = max(end - window, first)
        last: Record | None = None
        with contextlib.suppress(
            StalledLog
        ):  # behind it a transaction is open: the step that reads it will say so
            for batch in source.batches(topic, partition, begin, end):
                last = batch[-1] if batch else last
        if last is not None:
            return last.offset, _hash(last)
        end, window = begin, window * 8
    return None


def _hash_at(source: LogSource, topic: str, partition: int, offset: int) -> bytes | None:
    try:
        for batch in source.batches(topic, partition, offset, offset + 1):
            for record in batch:
                return _hash(record)
    except (LostLog, UnreadableLog):
        pass
    return None


def _hash(record: Record) -> bytes:
    return sha256(record_leaf(record)).digest()
