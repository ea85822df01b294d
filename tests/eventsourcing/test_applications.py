"""The library's example applications, projections and systems, on the real broker."""

from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application, ProcessingEvent
from eventsourcing.domain import Aggregate, DomainEventProtocol
from eventsourcing.persistence import Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.system import MultiThreadedRunner, ProcessApplication, Runner, SingleThreadedRunner, System
from eventsourcing.tests import application as library
from eventsourcing.tests import projection
from eventsourcing.tests.projection import Counters

from neural_hive.eventsourcing.recorders import LogProcessRecorder
from tests.eventsourcing.conftest import MODULE


class InTheEnvironment:
    """The library's cases name their applications themselves; each gets a name of its own here."""

    @pytest.fixture(autouse=True)
    def _variables(self, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for application in (Application, library.BankAccounts, Counters):
            monkeypatch.setattr(application, "name", f"{application.__name__}-{uuid4().hex[:8]}")


class TestExampleApplication(InTheEnvironment, library.ExampleApplicationTestCase):
    expected_factory_topic = f"{MODULE}.factory:Factory"


class TestApplication(InTheEnvironment, library.ApplicationTestCase):
    @pytest.mark.skip("it is about the names that are changed here")
    def test_name(self) -> None: ...


class TestProjectionOfTheLog(InTheEnvironment, projection.EventSourcedProjectionTestCase):
    """An application, and a projection that is one too, both on the log."""


class CountersInMemory(POPOTrackingRecorder, projection.EventCountersView):
    """A view that is elsewhere than the log it follows."""

    def __init__(self) -> None:
        super().__init__()
        self._created = self._subsequent = 0

    def get_created_event_counter(self) -> int:
        return self._created

    def get_subsequent_event_counter(self) -> int:
        return self._subsequent

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self.insert_tracking(tracking)
        self._created += 1

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self.insert_tracking(tracking)
        self._subsequent += 1


class TestViewOfTheLog(InTheEnvironment, projection.AggregateEventCountersProjectionTestCase):
    view_class = CountersInMemory
    env: ClassVar[dict[str, str]] = {"EVENTCOUNTERS_PERSISTENCE_MODULE": "eventsourcing.popo"}


class Follower(ProcessApplication[UUID]):
    """Makes an aggregate of its own for each that is made upstream."""

    def policy(
        self, domain_event: DomainEventProtocol[UUID], processing_event: ProcessingEvent[UUID]
    ) -> None:
        if isinstance(domain_event, Aggregate.Created):
            processing_event.collect_events(Aggregate())


class Leader(Application[UUID]):
    """Where it begins."""


@pytest.mark.parametrize("runner_class", [SingleThreadedRunner, MultiThreadedRunner])
def test_a_system_of_applications(
    runner_class: type[Runner[UUID]], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for application in (Leader, Follower):
        monkeypatch.setattr(application, "name", f"{application.__name__}-{uuid4().hex[:8]}")
    with runner_class(System(pipes=[[Leader, Follower]]), env=variables) as runner:
        leader, follower = runner.get(Leader), runner.get(Follower)
        last = [leader.save(Aggregate())[-1].notification.id for _ in range(5)][-1]
        assert isinstance(follower.recorder, LogProcessRecorder)
        follower.recorder.wait(Leader.name, last, timeout=30)
        assert follower.recorder.max_notification_id() == follower.recorder.max_tracking_id(Leader.name) == 5
