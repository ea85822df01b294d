"""What an SLO would have counted: asked of its source, and nothing is changed."""

import time

from neural_hive.aggregates.sli_source import Source
from neural_hive.asked_prometheus import Tested, dry_run, prometheus_of
from neural_hive.sdk.tables import Reader
from neural_hive.settings import Settings
from neural_hive.slo_times import Over
from neural_hive.slo_tried import Tried
from neural_hive.slo_trying import definition_of, tried
from neural_hive.slo_views import SloInfo
from neural_hive.streams.sli_prometheus.promql_counts import Queries


class CannotTest(Exception):
    """Nobody can be asked for what this SLO counts; the text says why."""


def tested(settings: Settings, reader: Reader, slo: SloInfo, over: Over) -> Tested | Tried:
    """What an SLO would have counted; over Prometheus always in the last hour.

    Raises CannotTest; NoPrometheus, ApiAway, ApiError: its server; ClickHouseError: the tables.
    """
    indicator = slo.indicator
    if indicator.source is Source.PROMQL:
        prometheus = prometheus_of(settings)
        try:
            queries = Queries(indicator.good_promql, indicator.valid_promql)
            return dry_run(prometheus, slo.slo_id, slo.target, queries)
        finally:
            prometheus.close()
    definition = definition_of(reader, slo.slo_id)
    if definition is None:
        raise CannotTest(f"{slo.slo_id} is in the tables no more")
    return tried(reader, definition, over, time.time_ns() // 1_000)
