"""What a worker says of its tickets: ReportStart and ReportResult, the same ids for the same attempt."""

import time
from typing import Any

import msgspec
import structlog

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.process_executor import Report
from neural_hive.connectors.published_spans import Delivered
from neural_hive.connectors.publisher import Placed, Publisher, TooLarge
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.work_ledger import Work

log = structlog.get_logger()


class Reports:
    """The reports of one agent; may be used from many threads."""

    def __init__(self, publisher: Publisher, topic: str, agent_id: str) -> None:
        self._publisher = publisher
        self._topic = topic
        self._agent_id = agent_id

    def start(self, work: Work, delivered: Delivered, placed: Placed) -> None:
        """The attempt begins as soon as Kafka has this."""
        self._publish(
            work, "ReportStart", "start", {"started_at": time.time_ns() // 1_000}, delivered, placed
        )

    def result(self, work: Work, report: Report, delivered: Delivered) -> None:
        """The attempt has ended; what does not fit into a message is told as a failure."""
        log.info("ticket_ended", ticket_id=work.key[0], attempt=work.key[1], outcome=report.ended)
        try:
            self._publish(work, "ReportResult", "result", _payload(report), delivered)
        except (TooLarge, BadRecord) as error:
            unfit = Report(
                "FAILED", report.started_at, report.completed_at, report.exit_code, error=str(error)
            )
            self._publish(work, "ReportResult", "result", _payload(unfit), delivered)

    def _publish(
        self,
        work: Work,
        message_type: str,
        step: str,
        payload: dict[str, Any],
        delivered: Delivered,
        placed: Placed | None = None,
    ) -> None:
        dispatch = work.dispatch
        header = self._publisher.header(
            message_type,
            derived_id(dispatch.ticket_id, str(dispatch.attempt), step),
            dispatch.workflow_id,
            correlation_id=work.cause.correlation_id,
            causation_id=work.cause.event_id,
            trace_id=work.cause.trace_id,
        )
        whole = {
            "workflow_id": dispatch.workflow_id,
            "ticket_id": dispatch.ticket_id,
            "attempt": dispatch.attempt,
            "agent_id": self._agent_id,
            **payload,
        }
        self._publisher.publish(self._topic, header, whole, delivered, placed)


def _payload(report: Report) -> dict[str, Any]:
    return {
        "outcome": report.ended,
        "started_at": report.started_at,
        "completed_at": report.completed_at,
        "exit_code": report.exit_code,
        "outputs": report.outputs,
        "artifacts": [msgspec.structs.asdict(file) for file in report.artifacts],
        "error": report.error,
    }
