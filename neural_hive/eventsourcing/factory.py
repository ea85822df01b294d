"""Makes the recorders of one application. Its name is the environment's, its settings are those of Neural Hive.

Each setting may be given for one application alone, as everywhere in the library: BANKACCOUNTS_NEURAL_HIVE_DATA.
"""

from typing import Any, Final, TypeVar

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic

from neural_hive.eventsourcing.errors import library_errors
from neural_hive.eventsourcing.journal import Journal
from neural_hive.eventsourcing.preparing import prepared
from neural_hive.eventsourcing.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
)
from neural_hive.eventsourcing.sharing import Key, join, leave
from neural_hive.eventsourcing.topics import EVENTS, PREFIX, topic_of
from neural_hive.settings import PREFIX as VARIABLE
from neural_hive.settings import Settings, load_settings

R = TypeVar("R")
_OURS: Final = ("data", "replication", *(name for name in Settings.model_fields if name.startswith("kafka_")))


class Factory(InfrastructureFactory[LogTrackingRecorder]):
    """See the library's InfrastructureFactory. Recorders that one application has share its log, and one index.

    Raises BadSettings. Each method that makes a recorder creates the topic if it is not there and reads what the index
    lacks; it raises BadName, OperationalError, InternalError.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        given: dict[str, Any] = {name: self.env.get(VARIABLE + name.upper()) for name in _OURS}
        self.settings = load_settings(**given)
        self._journals: dict[str, Journal] = {}

    def aggregate_recorder(self, purpose: str = EVENTS) -> AggregateRecorder:
        """For events of aggregates, or for what else is recorded of them, such as their snapshots."""
        return LogAggregateRecorder(self._journal(purpose))

    def application_recorder(self) -> ApplicationRecorder:
        """For the events of an application."""
        return self._class(self.APPLICATION_RECORDER_TOPIC, LogApplicationRecorder)(self._journal())

    def tracking_recorder(
        self, tracking_recorder_class: type[LogTrackingRecorder] | None = None
    ) -> LogTrackingRecorder:
        """For how far upstream applications were processed."""
        chosen = tracking_recorder_class or self._class(self.TRACKING_RECORDER_TOPIC, LogTrackingRecorder)
        return chosen(self._journal())

    def process_recorder(self) -> ProcessRecorder:
        """For the events of an application that follows others."""
        return self._class(self.PROCESS_RECORDER_TOPIC, LogProcessRecorder)(self._journal())

    def close(self) -> None:
        """Lets Kafka and the indexes go, unless another factory of this process uses them."""
        while self._journals:
            leave(self._journals.popitem()[1])

    def _class(self, variable: str, own: type[R]) -> type[R]:
        named = self.env.get(variable)
        chosen: Any = resolve_topic(named) if named else own
        if not (isinstance(chosen, type) and issubclass(chosen, own)):
            raise TypeError(f"{variable} must name a subclass of {own.__name__}, not {named}")
        return chosen

    def _journal(self, purpose: str = EVENTS) -> Journal:
        if purpose not in self._journals:
            topic, settings = topic_of(self.env.name, purpose), self.settings
            kafka, folder = (
                settings.kafka_config(),
                settings.data / PREFIX / topic.name.removeprefix(f"{PREFIX}."),
            )

            def opened() -> Journal:
                with library_errors():
                    topic_id = prepared(topic, kafka, settings.replication)
                return Journal(topic.name, topic_id, kafka, folder)

            key = Key(settings.kafka_bootstrap, topic.name, settings.data)
            self._journals[purpose] = join(key, opened)
        return self._journals[purpose]
