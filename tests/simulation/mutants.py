"""Kernels that are broken on purpose, each in one of the ways that the real one must not be."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.streams.kernel.partition import Partition
from neural_hive.streams.kernel.transport import Batch
from neural_hive.streams.kernel.unit import Output, Work
from tests.simulation.broker import SimulatedLog


class StateBeforeLog(Partition):
    """The state is written first: a crash before the commit leaves effects that have no event."""

    def _commit(self, work: Work, offsets: dict[str, int]) -> None:
        work.tell_sums()
        self.position = msgspec.structs.replace(self.position, sequence=work.sequence)
        work.fold.write(self.position)
        topics = self._landed(work, self.log.commit(work.outputs, self.next | offsets))
        self.position = msgspec.structs.replace(self.position, topics=self.position.topics | topics)
        work.fold.write(self.position)
        self.next.update(offsets)


class NoFence(SimulatedLog):
    """A new owner does not shut the old one out: both may commit."""

    def take_over(self) -> None:
        """Only looks at who is the owner."""
        self._epoch = self._broker.epochs.setdefault(self._id, 0)


class OffsetsApart(SimulatedLog):
    """Offsets are committed after the transaction that holds the events: a crash between them repeats the inputs."""

    def commit(self, outputs: list[Output], offsets: Mapping[str, int]) -> dict[str, int]:
        """Two transactions."""
        landed = super().commit(outputs, {}) if outputs else {}
        super().commit([], offsets)
        return landed


class NoCut(Partition):
    """Takes every batch as it comes, as if the consumer never repeated or skipped anything."""

    def _process(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            work = self._new_work()
            for record in batch.records:
                self._handle(work, record)
            self._commit(work, {batch.topic: batch.next})


class ShortRecovery(SimulatedLog):
    """Recovery stops at the last stable offset: what lies behind an open transaction is forgotten."""

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """Does not wait."""
        stable = self._broker.stable_end((topic, self.partition))
        return super().read(topic, first, min(end, max(stable, first)))


class EagerTimers(Partition):
    """Timers fire when they are due, whatever still waits in the inputs."""

    def _input_ends(self) -> dict[str, int]:
        return {}


class EagerOwner(Partition):
    """Works by the views as it has them, although the owner before may have known more."""

    def _await_views(self) -> None:
        pass


class OwnTime(Partition):
    """Timers are due when this machine's clock says so."""

    def _ask_time(self) -> int:
        return self.place.clock.now()


MUTANTS: Mapping[str, Mapping[str, type]] = {
    "state before log": {"partition_class": StateBeforeLog},
    "no fence": {"log_of": NoFence},
    "offsets outside the transaction": {"log_of": OffsetsApart},
    "no cut at the own position": {"partition_class": NoCut},
    "recovery stops at a stalled last stable offset": {"log_of": ShortRecovery},
    "timers overtake waiting inputs": {"partition_class": EagerTimers},
    "timers believe the own clock": {"partition_class": OwnTime},
}
VIEW_MUTANTS: Mapping[str, Mapping[str, type]] = {  # of systems that name views to be waited for
    "an owner knows less than the one before": {"partition_class": EagerOwner},
}
