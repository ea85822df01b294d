"""Asks a system for something, once: publishes a message, and waits for what becomes of it."""

from typing import TYPE_CHECKING, Final

import msgspec

from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import Settings

if TYPE_CHECKING:
    from neural_hive.sdk.outcome import Outcome

ANSWER_TIMEOUT_S: Final = 60.0


class CannotDo(Exception):
    """What was asked for cannot be done; the text says why and what to do."""


def ask(settings: Settings, program: str, topic: str, routing_id: str, message: msgspec.Struct) -> "Outcome":
    """Publishes a message, and waits for what becomes of it. Raises CannotDo: it was refused; NoAnswerYet."""
    from neural_hive.connectors.personal import Personal
    from neural_hive.sdk.log_places import LogPlaces
    from neural_hive.sdk.outcome import Answers
    from neural_hive.sdk.sender import Sender
    from neural_hive.sdk.tables import Tables

    logs_to_stderr()
    kafka = settings.kafka_config()
    sender = Sender(kafka, program, personal=Personal.of(settings))
    token = sender.message(topic, routing_id, message)
    log, tables = LogPlaces(kafka), Tables(settings)
    try:
        outcome = Answers(log, settings, tables).wait(token, ANSWER_TIMEOUT_S)
    finally:
        log.close()
        tables.close()
    if not outcome.is_accepted:
        raise CannotDo(outcome.reason)
    return outcome
