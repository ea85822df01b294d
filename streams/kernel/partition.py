"""One partition of a system: one producer, one state, one transaction for each batch. Blocking; runs in a thread.

Open: fence (nobody with our transactional id can commit any more), then read offsets, then recover the state.
Step: cut what is done already, decide, commit events with input offsets in one transaction, then write the state.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import structlog

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.partition import AcceptLog
from neural_hive.connectors.kafka_log import LostLog, Record, StalledLog
from neural_hive.connectors.tracing import tracer
from neural_hive.projections.whole_log import ArchiveAway, OpenArchive, WholeLog
from neural_hive.schemas.catalogue import writable
from neural_hive.schemas.codec import Decoded, EventEncoder, HeldBack
from neural_hive.streams.kernel import metrics
from neural_hive.streams.kernel.acceptance import accepted_for, forget_accepted, set_aside
from neural_hive.streams.kernel.broadcast import Broadcast
from neural_hive.streams.kernel.broker_time import BrokerTime
from neural_hive.streams.kernel.clock import Clock, SystemClock
from neural_hive.streams.kernel.failed_timers import FailedTimers
from neural_hive.streams.kernel.fold import NEVER, Fold, Route
from neural_hive.streams.kernel.inbox import Mail, Misrouted, dead_letter, open_mail, timer_letter
from neural_hive.streams.kernel.partition_log import Fenced, Indefinite, KafkaPartitionLog, PartitionLog
from neural_hive.streams.kernel.reading import RegistryAway
from neural_hive.streams.kernel.recovery import BrokenLog, Recovered, causes, last_acceptance, recover
from neural_hive.streams.kernel.rocks import DamagedState, StateUnusable, set_damaged_aside
from neural_hive.streams.kernel.standing import StateView
from neural_hive.streams.kernel.state import Store, Timer, TopicPosition
from neural_hive.streams.kernel.state_folders import remove_older
from neural_hive.streams.kernel.system import Committed, System
from neural_hive.streams.kernel.timer_cause import cause_of
from neural_hive.streams.kernel.tracing import BatchTrace
from neural_hive.streams.kernel.transport import Batch, batches_of
from neural_hive.streams.kernel.unit import Cause, RecordAway, Work, cause_digest

TRANSACTION_OUTPUTS_MAX = 20_000
TRANSACTION_BYTES_MAX = 16 << 20
IDLE_COMMIT_S = 1.0  # how long a position that passed only markers may wait for its commit
LATE_TIMERS_MAX = 1_000  # timers fired in one transaction
DUE_TIMERS_MAX = 10_000  # timers fired before inputs are looked at again
log = structlog.get_logger()


class Place(msgspec.Struct, frozen=True):
    """What a partition needs to know of its surroundings."""

    kafka: dict[str, Any]  # librdkafka settings of the connection
    folder: Path  # of this partition's state
    topic_ids: dict[str, str]  # of the event topics
    partitions_of: dict[str, int]  # partition counts of every topic that may be written
    logic_version: str
    state_version: str
    stall_s: float
    read: Callable[[bytes], Decoded]  # decodes a message of an input
    clock: Clock = SystemClock()
    open_store: Callable[[Path], Store] = Store
    open_log: Callable[[str, str, int], PartitionLog] | None = None
    """Makes the log of a group, a transactional id and a partition; None: Kafka's."""
    member: str = ""  # the instance id by which the group knows this process
    open_archive: OpenArchive | None = None  # goes on where Kafka has no more; None: nothing does
    input_ids: dict[str, str] = {}  # topic ids of the inputs that the archive may go on with
    schemas_until: tuple[int, ...] = ()  # see schemas.catalogue.writable


class Partition:
    """The state and the transactions of one partition."""

    def __init__(
        self, system: System, number: int, place: Place, views: Mapping[str, Broadcast[Any]]
    ) -> None:
        self.system, self.number, self.place, self.views = system, number, place, views
        self.name = f"{system.name}.{number}"
        self.next: dict[str, int] = {}  # per input topic: the offset that comes next
        self.messages = metrics.of(system.name, number)
        self.opening = False  # may take as long as the broker is away, or the log is long
        self.commits = 0
        self._inputs = system.topics
        self._encoders = {
            event.__name__: EventEncoder(
                event.__name__, aggregate.name, place.logic_version, system.name, version
            )
            for aggregate in system.all_aggregates
            for event in aggregate.events
            if (version := writable(event.__name__, place.schemas_until)) is not None
        }
        self._log: PartitionLog | None = None
        self._is_noted = False  # whether the log knows which inputs were begun
        self._is_told = False  # whether those who follow know that it is open
        self._store: Store | None = None
        self._ends: tuple[int, dict[str, int]] | None = None  # when asked (µs), end of each input then
        self._failed_timers = FailedTimers()
        self._begun_at = 0.0  # when the batch was begun that is in hand
        self._passed_at: float | None = None  # since when the position is ahead of the committed offset
        self._time = BrokerTime(place.clock, self._ask_time)

    def open(self) -> None:
        """Fence, read the offsets, recover the state. Also the way back from any error that leaves a doubt.

        Waits for a broker that is away. Raises BrokenLog, NewerLog, StalledLog, Fenced, DiskFull.
        """
        wait_s = 0.1
        self.opening = True
        try:
            while not self._try_open():
                self.place.clock.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)
        finally:
            self.opening = False

    def _try_open(self) -> bool:
        try:
            self._open()
            return True
        except (Indefinite, ArchiveAway) as error:
            log.warning("cannot recover yet", partition=self.name, why=str(error))
        except DamagedState as error:
            self._set_aside(error)
        return False

    def _set_aside(self, error: DamagedState) -> None:
        """The state is only a fold of the log: where its files are damaged, it is folded anew from the beginning."""
        self._close_store()
        kept = set_damaged_aside(self.place.folder / self.place.state_version)
        log.error("damaged state set aside", partition=self.name, why=str(error), kept=str(kept))

    def _open(self) -> None:
        started = self.place.clock.elapsed_s()
        self.close()
        self.log.take_over()
        with closing(WholeLog(self.log, self.place.topic_ids, self.place.open_archive)) as whole:
            recovered, accepted = self._recover(whole)
            self.position = recovered.position
            self._read_offsets(whole)
        self._await_views()
        self._ends, self._passed_at = None, None
        if accepted is not None:
            self._record(accepted)
        forget_accepted(self.place.folder)
        self._is_told = True
        for follower in self.system.opened:
            self._call(follower, self.number, StateView(self.fold))
        took_s = self.place.clock.elapsed_s() - started
        self.messages.recovery_seconds.set(took_s)
        self.messages.recoveries.inc()
        log.info("partition open", partition=self.name, folded=recovered.folded, took_s=round(took_s, 3))
        if removed := remove_older(self.place.folder, self.place.state_version):
            log.info("older states removed", partition=self.name, state_versions=removed)

    def _await_views(self) -> None:
        """What an owner before has decided by was committed before it was shut out. Raises Indefinite: it is not read
        yet."""
        for name in self.system.awaited:
            try:
                self.views[name].read_to_end(self.place.stall_s)
            except TimeoutError as error:
                raise Indefinite(str(error)) from error

    @property
    def log(self) -> PartitionLog:
        """The partition's way to Kafka."""
        if self._log is None:
            place, about = self.place, (self.system.name, self.name, self.number)
            made = place.open_log(*about) if place.open_log else None
            self._log = made or KafkaPartitionLog(place.kafka, *about, place.stall_s, place.member)
        return self._log

    def _recover(self, whole: WholeLog) -> tuple[Recovered, AcceptLog | None]:
        """The state at the log's end; and what to record first, if somebody accepts a damaged log now."""
        place = self.place
        is_new = not (place.folder / place.state_version).exists()
        try:
            return self._fold_log(whole), None
        except BrokenLog as error:
            accepted = accepted_for(place.folder)
            until = NEVER if accepted else last_acceptance(whole, place.topic_ids)
            # A state from before that the log does not explain is evidence: only a person's word sets it aside.
            if until == 0 or not (accepted or is_new):
                raise
            log.warning("passing over an accepted damage", partition=self.name, why=str(error))
            expected = repr(self._store.position() if self._store else None)
            self._close_store()
            set_aside(place.folder / place.state_version)
            recovered = self._fold_log(whole, until)
            if accepted is None:
                return recovered, None
            found = repr(recovered.position)
            return recovered, AcceptLog(accepted.reason, accepted.requested_by, f"{expected}: {error}", found)

    def _fold_log(self, whole: WholeLog, accepted_until: int = 0) -> Recovered:
        place = self.place
        self._store = place.open_store(place.folder / place.state_version)
        self.fold = Fold(self.system.all_aggregates, self._store)
        return recover(self.fold, whole, place.topic_ids, place.state_version, accepted_until)

    def _record(self, command: AcceptLog) -> None:
        """Writes that a damaged log was accepted, as the first event after it."""
        work = self._new_work()
        message_id = derived_id(self.name, "accept-log", command.found_position)
        digest = cause_digest(message_id)
        route = Route(self.name, self.name, digest.hex())
        work.begin(Cause(message_id, digest, route, self.place.clock.now(), "", self.number, 0))
        work.execute(self.system.all_aggregates[-1], self.name, command)
        self._commit(work, {})

    def _read_offsets(self, whole: WholeLog) -> None:
        """The committed input offsets. Where an input is new (on the very first start all are), its beginning is
        committed, in so many words.
        """
        found = self.log.committed(self._inputs)
        missing = [topic for topic, offset in found.items() if offset < 0]
        if missing and (lost := self._read_before(missing, whole)):
            raise BrokenLog(
                f"{self.name} has read {', '.join(lost)} before, and has no committed offset for it: the group's "
                "offsets expired or were deleted, and starting over would process everything again. Set the group's "
                "offset by hand (kafka-consumer-groups.sh --reset-offsets) to the record after the last one processed"
            )
        if missing:
            begin = {topic: self.log.range(topic)[0] for topic in missing}
            log.info("inputs begin", partition=self.name, offsets=begin)
            found |= begin
            self.log.commit([], found)
        self.next = found
        if not self._is_noted:
            if unnoted := set(self._inputs) - self.log.begun(self._inputs):
                self.log.note_begun(unnoted)
            self._is_noted = True

    def _read_before(self, missing: list[str], whole: WholeLog) -> list[str]:
        """Which inputs without a committed offset were read before. A newer build may have inputs that are new.

        That an input was begun is noted when it is; if that is gone too, or a build from before was here, events may
        still name the input as their cause.
        """
        begun = self.log.begun(missing)
        if self.position.sequence > 0 and not begun.issuperset(missing):
            if len(missing) == len(self._inputs):
                return missing  # a group's offsets expire together
            begun |= causes(whole, self.place.topic_ids)
        return [topic for topic in missing if topic in begun]

    def close(self) -> None:
        """Lets go of state and producer. What was not committed is gone; the log has the rest."""
        if self._is_told:
            self._is_told = False
            for follower in self.system.closed:
                self._call(follower, self.number)
        self._close_store()

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def step(self, batches: list[Batch]) -> bool:
        """Processes batches in turn, in as few transactions as may be, then the timers that are due.

        False: it waits for the schema registry, or for the word that an event may be written, having done what it
        could; hand the same over again, later.
        Raises Fenced: another process took over; BrokenLog: records are missing. On any doubt whether a transaction
        was committed the partition recovers from the log and goes on with what the log does not have.
        """
        while True:
            try:
                if batches:
                    self._process(batches)
                self._fire_timers()
                self._commit_passed()
                return True
            except (Indefinite, ArchiveAway) as error:
                log.warning("recovering from the log", partition=self.name, why=str(error))
                self.open()
            except DamagedState as error:
                self._set_aside(error)
                self.open()
            except RegistryAway as error:
                log.warning("waiting for the schema registry", partition=self.name, why=str(error))
                return False
            except RecordAway as error:
                log.warning("waiting for a record", partition=self.name, why=str(error))
                return False
            except HeldBack as error:
                log.error("waiting for the word to write newer events", partition=self.name, why=str(error))
                return False

    def _process(self, batches: Iterable[Batch]) -> None:
        work, reached = self._new_work(), dict[str, int]()
        for batch in batches:
            topic = batch.topic
            if batch.first > reached.get(topic, self.next[topic]):
                self._finish(work, reached)
                self._take_expired(batch)
                work, reached = self._new_work(), {}
            at = reached.get(topic, self.next[topic])
            for record in batch.records:
                if record.offset < at:
                    continue  # Faust hands over again what it had buffered before a rebalance
                try:
                    self._handle(work, record)
                except (RegistryAway, RecordAway, HeldBack):
                    if work.records:
                        self._commit(work, reached | {topic: record.offset})  # what came before it stands
                    raise
                work.records += 1
                if _is_full(work):
                    self._commit(work, reached | {topic: record.offset + 1})
                    work, reached = self._new_work(), {}
            reached[topic] = max(batch.next, at)
        self._finish(work, reached)

    def _finish(self, work: Work, reached: dict[str, int]) -> None:
        """Commits what was done of batches, with the offsets behind them."""
        if work.records:
            self._commit(work, reached)
        elif any(offset > self.next[topic] for topic, offset in reached.items()):
            self.next.update(reached)
            self._passed_at = self._passed_at or self.place.clock.elapsed_s()

    def _take_expired(self, batch: Batch) -> None:
        """Processes from the archive what Kafka deleted while nobody read it: the records before the batch.

        Raises BrokenLog: the archive does not have them; Fenced: Kafka still has them.
        """
        at, place = self.next[batch.topic], self.place
        where = f"{batch.topic}:{batch.partition} continues at offset {batch.first}, expected {at}"
        if self.log.range(batch.topic)[0] <= at:
            raise Fenced(f"{where}: batches were dropped on their way in a rebalance, and are fetched again")
        with closing(WholeLog(self.log, place.input_ids, place.open_archive)) as whole:
            try:
                records = whole.read(batch.topic, at, batch.first)
                for expired in batches_of(records, batch.topic, batch.partition, at, batch.first):
                    self._process([expired])
            except LostLog as error:
                raise BrokenLog(f"{where}: records expired before they were processed: {error}") from error

    def _new_work(self) -> Work:
        self._begun_at = self.place.clock.elapsed_s()
        return Work(
            self.fold,
            self.number,
            self._encoders,
            {name: broadcast.snapshot() for name, broadcast in self.views.items()},
            self.place.partitions_of,
            self.system.name,
            self.position.sequence,
            bool(self.system.observers),
            self._look_up,
            BatchTrace(found, self.system.name, self.number) if (found := tracer()) else None,
        )

    def _look_up(self, topic: str, partition: int, offset: int) -> Record | None:
        """See LookUp. From the archive where Kafka has it no more. Raises LostLog: nor has the archive."""
        place = self.place
        if partition not in range(place.partitions_of.get(topic, 0)):
            return None
        try:
            with closing(WholeLog(self.log.at(partition), place.input_ids, place.open_archive)) as whole:
                if not 0 <= offset < whole.range(topic)[1]:
                    return None
                with closing(whole.read(topic, offset, offset + 1)) as found:
                    return next(found, None)
        except (Indefinite, ArchiveAway, StalledLog) as error:
            raise RecordAway(f"{topic}:{partition}:{offset}: {error}") from error

    def _handle(self, work: Work, record: Any) -> None:
        """One record, to its end: its events, or its forwarding, or its dead letter.

        It never fails. Raises RegistryAway, RecordAway, HeldBack: it can be read or answered only later, and nothing
        was done.
        """
        try:
            mail = open_mail(self.system, self.place.read, record, self.number, self.place.partitions_of)
        except Misrouted as error:
            work.forward(error.topic, record, error.routing_id)
            return
        except RegistryAway:
            raise
        except Exception as error:
            self._refuse(work, record, error)
            return
        work.begin(mail.cause)
        try:
            mail.handler(work, mail.message)
        except StateUnusable:
            raise
        except (HeldBack, RecordAway):
            work.refuse()
            raise
        except Exception as error:
            work.refuse()
            self._refuse(work, record, error, mail)

    def _refuse(self, work: Work, record: Any, error: Exception, mail: Mail | None = None) -> None:
        expected = isinstance(error, (Rejected, ValueError, LookupError))
        log.warning(
            "dead letter",
            partition=self.name,
            place=f"{record.topic}:{record.partition}:{record.offset}",
            why=f"{type(error).__name__}: {error}",
            **({"trace_id": mail.cause.route.trace_id} if mail else {}),
            exc_info=None if expected else error,
        )
        work.refuse_with(dead_letter(record, error, self.name, self.place.partitions_of, mail))

    def _commit(self, work: Work, offsets: dict[str, int]) -> None:
        """The log first, then the state."""
        work.tell_sums()
        started = self.place.clock.elapsed_s()
        topics = self._landed(work, self.log.commit(work.outputs, self.next | offsets))
        self.position = msgspec.structs.replace(
            self.position, sequence=work.sequence, topics=self.position.topics | topics
        )
        work.fold.write(self.position)
        self.next.update(offsets)
        self.commits += 1
        self._passed_at = None
        ended = self.place.clock.elapsed_s()
        self.messages.transaction_seconds.observe(ended - started)
        self.messages.batch_seconds.observe(ended - self._begun_at)
        self.messages.batch_records.observe(work.records)
        self.messages.records.inc(work.records)
        self.messages.events.inc(work.events)
        self.messages.repeats.inc(work.repeats)
        self.messages.dead_letters.inc(work.letters)
        if work.trace is not None:
            work.trace.committed(work.outputs)
        if self.system.observers:
            self._tell(Committed(self.number, tuple(work.observed), tuple(work.measured)))

    def _landed(self, work: Work, offsets: Mapping[str, int]) -> dict[str, TopicPosition]:
        """Where the last event of each topic stands."""
        hashes = {output.topic: output.hash for output in work.outputs if output.hash is not None}
        return {
            topic: TopicPosition(self.place.topic_ids[topic], offsets[topic], digest)
            for topic, digest in hashes.items()
        }

    def _tell(self, committed: Committed) -> None:
        for observer in self.system.observers:
            self._call(observer, committed)

    def _call(self, observer: Callable[..., None], *what: Any) -> None:
        try:
            observer(*what)
        except StateUnusable:
            raise
        except Exception as error:
            log.error("an observer failed", partition=self.name, exc_info=error)

    def _commit_passed(self) -> None:
        """Commits a position that has passed only markers for a while, so that the group's lag reaches zero."""
        if self._passed_at is not None and self.place.clock.elapsed_s() - self._passed_at > IDLE_COMMIT_S:
            self.log.commit([], self.next)
            self._passed_at = None

    def wait_s(self) -> float:
        """How long a step without a batch can wait, s."""
        if self._passed_at is not None or self._ends is not None:
            return 0.05
        return min(self._time.left_s(self.fold.next_due), 1.0) if self.fold.next_due < NEVER else 1.0

    def _fire_timers(self) -> None:
        """Fires what is due, once every input was read up to the end that it had at or after the due time.

        Or results that wait in the topic after an outage would be overtaken by their time-outs.
        """
        if self._ends is None:
            now = self._time.reached(self.fold.next_due) if self.fold.next_due < NEVER else None
            if now is None:
                return
            self._ends = (now, self._input_ends())
        asked_at, ends = self._ends
        if any(self.next[topic] < end for topic, end in ends.items()):
            return
        self._ends = None
        due = (t for t in self.fold.due_timers(asked_at) if self._failed_timers.may_fire(t, asked_at))
        self._fire_all(list(islice(due, DUE_TIMERS_MAX)), asked_at)
        self._failed_timers.forget_unless(self.fold.is_set)
        self.fold.rescan_timers(self._failed_timers)
        self.fold.next_due = min(self.fold.next_due, self._failed_timers.next_at)

    def _fire_all(self, due: list[Timer], now: int) -> None:
        work, failed = self._new_work(), list[Timer]()
        for count, timer in enumerate(due, 1):
            if not self._fire(work, timer):
                failed.append(timer)
            if count == len(due) or count % LATE_TIMERS_MAX == 0 or _is_full(work):
                self._commit(work, {})
                self._failed_timers.note(failed, now)  # only now has the log their letters
                work, failed = self._new_work(), []

    def _fire(self, work: Work, timer: Timer) -> bool:
        """Whether all is well: False if the handler failed."""
        if not self.fold.is_set(timer):
            return True  # an earlier timer of this batch changed the aggregate
        cause = cause_of(self.fold, timer, self.number)
        work.begin(cause)
        try:
            self.system.timers[timer.aggregate, timer.name](work, timer.aggregate_id)
            if self.fold.is_set(timer):
                raise RuntimeError(f"the handler of timer {timer.name} left it as it was")
        except StateUnusable:
            raise
        except HeldBack as error:
            work.refuse()
            log.error("a timer waits for the word to write newer events", timer=repr(timer), why=str(error))
            return False
        except RecordAway as error:
            work.refuse()
            log.warning("a timer waits for a record", timer=repr(timer), why=str(error))
            return False
        except Exception as error:
            work.refuse()
            self.messages.failed_timers.inc()
            trace_id = cause.route.trace_id
            log.error(
                "a timer's handler failed",
                partition=self.name,
                timer=repr(timer),
                trace_id=trace_id,
                exc_info=error,
            )
            if timer not in self._failed_timers:
                work.refuse_with(timer_letter(timer, cause, error, self.name, self.place.partitions_of))
            return False
        return True

    def _ask_time(self) -> int:
        return self.log.ask_time(self.system.event_topics[0])

    def _input_ends(self) -> dict[str, int]:
        return {topic: self.log.range(topic)[1] for topic in self._inputs}


def _is_full(work: Work) -> bool:
    """Whether the transaction shall hold no more."""
    return work.held_outputs > TRANSACTION_OUTPUTS_MAX or work.held_bytes > TRANSACTION_BYTES_MAX


__all__ = ["Fenced", "Partition", "Place"]
