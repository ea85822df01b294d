"""What an SLO would have counted in the last hour: asked of its source, and nothing is changed."""

from neural_hive.aggregates.sli_source import Source
from neural_hive.asked_prometheus import Tested, dry_run, prometheus_of
from neural_hive.settings import Settings
from neural_hive.slo_views import SloInfo
from neural_hive.streams.promql_counts import Queries


class CannotTest(Exception):
    """Nobody can be asked for what this SLO counts; the text says why."""


def tested(settings: Settings, slo: SloInfo) -> Tested:
    """What an SLO would have counted. Raises CannotTest; NoPrometheus, ApiAway, ApiError: its server."""
    indicator = slo.indicator
    match indicator.source:
        case Source.PROMQL:
            prometheus = prometheus_of(settings)
            try:
                queries = Queries(indicator.good_promql, indicator.valid_promql)
                return dry_run(prometheus, slo.slo_id, slo.target, queries)
            finally:
                prometheus.close()
        case _:
            raise CannotTest(
                f"only SLOs over Prometheus can be tested (source PROMQL), and {slo.slo_id} counts {indicator.source}"
            )
