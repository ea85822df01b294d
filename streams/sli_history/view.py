"""How far histories were counted, as the SLA calculator says: read whole by who counts them."""

from typing import Any, Final

from neural_hive.aggregates.sli_history import SLI_HISTORY, Span, history_id_of
from neural_hive.schemas.codec import decode
from neural_hive.streams.kernel.broadcast import View

Histories = dict[str, dict[tuple[str, int], Span]]  # by history and partition
NOT_BEGUN: Final = Span()


def _with(known: Histories, record: Any) -> Histories:
    payload, event_type = (decoded := decode(record.value(), "event")).payload, decoded.schema.name
    if event_type not in ("HistoryCounted", "HistoryLost"):
        return known
    name, place = (
        history_id_of(payload["slo_id"], payload["measure"]),
        (payload["topic"], payload["partition"]),
    )
    before = known.get(name, {})
    is_whole = before.get(place, NOT_BEGUN).is_whole or payload.get("is_whole", False)
    return {**known, name: {**before, place: Span(payload["to_offset"], is_whole)}}


HISTORIES: Final[View[Histories]] = View(SLI_HISTORY.topic, {}, _with)


def span_of(known: Histories, slo_id: str, measure: int, topic: str, partition: int) -> Span:
    """How far one partition was counted for an SLO."""
    return known.get(history_id_of(slo_id, measure), {}).get((topic, partition), NOT_BEGUN)
