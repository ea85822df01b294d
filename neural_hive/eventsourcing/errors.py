"""What goes wrong with the log or the index, as the errors that the library's users expect."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing.persistence import InternalError, OperationalError

from neural_hive.connectors.kafka_admin import KafkaUnreachable, WrongTopic
from neural_hive.connectors.kafka_log import LostLog, StalledLog, UnreadableLog
from neural_hive.eventsourcing.draft import BrokenLog
from neural_hive.streams.kernel.partition_log import Fenced, Indefinite
from neural_hive.streams.kernel.rocks import StateUnusable

_PASSING = (Indefinite, UnreadableLog, StalledLog, StateUnusable, KafkaUnreachable)
_LASTING = (BrokenLog, LostLog, WrongTopic)


class Replaced(OperationalError):
    """Another process writes for this application now: this one only reads from here on."""


@contextmanager
def library_errors() -> Iterator[None]:
    """Raises Replaced, OperationalError: it may work later. InternalError: somebody must look at the log first."""
    try:
        yield
    except Fenced as error:
        raise Replaced(
            "another process has begun to write for this application, and this one may not any more; nothing of "
            f"this insert was recorded. End this process, or construct the application again to take over ({error})"
        ) from error
    except _PASSING as error:
        raise OperationalError(str(error)) from error
    except _LASTING as error:
        raise InternalError(str(error)) from error
