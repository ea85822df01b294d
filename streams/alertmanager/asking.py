"""A request to Alertmanager, counted; one that is refused holds up no other."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from neural_hive.connectors.json_api import ApiRefused
from neural_hive.streams.alertmanager import metrics

ALERTS, SILENCES = "alerts", "silences"

log = structlog.get_logger()


class Asked:
    """What became of a request."""

    def __init__(self) -> None:
        self.is_accepted = False


@contextmanager
def asking(about: str) -> Iterator[Asked]:
    """While a request is made. What it raises as refused is told and goes no further. Raises ApiAway."""
    asked, outcome = Asked(), "away"
    try:
        yield asked
        asked.is_accepted, outcome = True, "accepted"
    except ApiRefused as error:
        outcome = "refused"
        log.error("alertmanager_refuses", about=about, why=str(error))
    finally:
        metrics.REQUESTS.labels(about, outcome).inc()
