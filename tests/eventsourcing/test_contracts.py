"""The cases by which the library tests its own persistence modules, on the real broker."""

import pytest
from eventsourcing.persistence import AggregateRecorder
from eventsourcing.tests import persistence as library
from eventsourcing.utils import Environment

from neural_hive.eventsourcing.factory import Factory
from neural_hive.eventsourcing.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
)
from tests.eventsourcing.conftest import FactoryOf


class OnTheLog:
    """Gives each case an application of its own."""

    factory: Factory

    @pytest.fixture(autouse=True)
    def _own(self, factory_of: FactoryOf) -> None:
        self.factory = factory_of()


class TestAggregateRecorder(OnTheLog, library.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder()


class TestSnapshotRecorder(OnTheLog, library.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder(purpose="snapshots")


class TestApplicationRecorder(OnTheLog, library.ApplicationRecorderTestCase[LogApplicationRecorder]):
    def create_recorder(self) -> LogApplicationRecorder:
        recorder = self.factory.application_recorder()
        assert isinstance(recorder, LogApplicationRecorder)
        return recorder

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTextIds(TestApplicationRecorder):
    def new_originator_id(self) -> str:
        return f"text-{super().new_originator_id()}"


class TestTrackingRecorder(OnTheLog, library.TrackingRecorderTestCase):
    def create_recorder(self) -> LogTrackingRecorder:
        return self.factory.tracking_recorder()


class TestProcessRecorder(OnTheLog, library.ProcessRecorderTestCase):
    def create_recorder(self) -> LogProcessRecorder:
        recorder = self.factory.process_recorder()
        assert isinstance(recorder, LogProcessRecorder)
        return recorder


class TestNonInterleaving(OnTheLog, library.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> LogApplicationRecorder:
        recorder = self.factory.application_recorder()
        assert isinstance(recorder, LogApplicationRecorder)
        return recorder


class MyTrackingRecorder(LogTrackingRecorder):
    """A view of a user's own."""


class TestFactory(library.InfrastructureFactoryTestCase[Factory]):
    @pytest.fixture(autouse=True)
    def _own(self, variables: dict[str, str], name: str) -> None:
        self.env = Environment(name, variables)

    def expected_factory_class(self) -> type[Factory]:
        return Factory

    def expected_aggregate_recorder_class(self) -> type[LogAggregateRecorder]:
        return LogAggregateRecorder

    def expected_application_recorder_class(self) -> type[LogApplicationRecorder]:
        return LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[LogTrackingRecorder]:
        return LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[LogTrackingRecorder]:
        return MyTrackingRecorder

    def expected_process_recorder_class(self) -> type[LogProcessRecorder]:
        return LogProcessRecorder
