"""Definitions and policies at random, all of them such that the SLA calculator takes them."""

from hypothesis import strategies as st

from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sla_window import WindowKind
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Part, SloType

IDS = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,12}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = TEXTS.filter(lambda text: bool(text.strip()))
QUERIES = st.builds("sum(increase({}[$window])) # {}".format, IDS, TEXTS)
TARGETS = st.floats(0.000001, 0.999999)
_GOOD = {
    Source.TICKETS: ("status = 'COMPLETED'", "status = 'COMPLETED' AND duration_ms <= 5000"),
    Source.WORKFLOWS: ("NOT is_late", "status <> 'FAILED'"),
    Source.TELEMETRY: ("value < 0.3", "outcome IN ('ok', 'it''s')"),
}
_VALID = {
    Source.TICKETS: ("", "task_type = 'DEPLOY'"),
    Source.WORKFLOWS: ("", "task_count > 1"),
    Source.TELEMETRY: ("", "metric LIKE 'http%'"),
}
_GROUPS = {Source.TICKETS: "service", Source.WORKFLOWS: "plan_id", Source.TELEMETRY: "endpoint"}


@st.composite
def indicators(draw: st.DrawFn) -> Indicator:
    """Of events or of PromQL."""
    metric = draw(TEXTS)
    source = draw(st.sampled_from([*_GOOD, Source.PROMQL]))
    if source is Source.PROMQL:
        return Indicator(source, good_promql=draw(QUERIES), valid_promql=draw(QUERIES), metric_name=metric)
    return Indicator(
        source,
        good=draw(st.sampled_from(_GOOD[source])),
        valid=draw(st.sampled_from(_VALID[source])),
        group_by=draw(st.sampled_from(["", _GROUPS[source]])),
        metric_name=metric,
    )


@st.composite
def _definition(draw: st.DrawFn, slo_id: str, indicator: Indicator) -> Definition:
    kind = draw(st.sampled_from([kind for kind in WindowKind if kind is not WindowKind.UNKNOWN]))
    return Definition(
        slo_id=slo_id,
        name=draw(NAMES),
        slo_type=draw(st.sampled_from([kind for kind in SloType if kind is not SloType.UNKNOWN])),
        service_name=draw(NAMES),
        target=draw(TARGETS),
        indicator=indicator,
        window_kind=kind,
        window_days=draw(st.integers(1, 90)) if kind is WindowKind.ROLLING else 30,
        layer=draw(TEXTS),
        namespace=draw(TEXTS),
        description=draw(TEXTS),
        labels=draw(st.dictionaries(TEXTS, TEXTS, max_size=3)),
        enabled=draw(st.booleans()),
    )


@st.composite
def definitions(draw: st.DrawFn) -> list[Definition]:
    """Up to five SLOs; with a composite one of all of them if there are two or more."""
    ids = draw(st.lists(IDS, min_size=1, max_size=5, unique=True))
    made = [draw(_definition(slo_id, draw(indicators()))) for slo_id in ids]
    if len(ids) > 1 and draw(st.booleans()):
        weights = st.integers(1, 99_999).map(lambda hundredths: hundredths / 100)
        whole = Indicator(Source.COMPOSITE, parts=tuple(Part(slo_id, draw(weights)) for slo_id in ids))
        made.append(draw(_definition(f"{ids[0]}-whole", whole)))
    return [one for n, one in enumerate(made) if one.slo_id not in {other.slo_id for other in made[:n]}]


@st.composite
def policies(draw: st.DrawFn) -> list[Policy]:
    """Up to three freeze policies."""
    made = []
    for policy_id in draw(st.lists(IDS, max_size=3, unique=True)):
        scope = draw(st.sampled_from([Scope.SERVICE, Scope.NAMESPACE, Scope.GLOBAL]))
        trigger = draw(st.floats(0, 100))
        actions = [(Action.BLOCK_DEPLOY,), (Action.BLOCK_SCALE, Action.BLOCK_DEPLOY), (Action.ALERT_ONLY,)]
        made.append(
            Policy(
                policy_id=policy_id,
                name=draw(NAMES),
                scope=scope,
                subject="" if scope is Scope.GLOBAL else draw(NAMES),
                actions=draw(st.sampled_from(actions)),
                trigger_percent=trigger,
                unfreeze_percent=draw(st.floats(trigger, 100)),
                trigger_level=draw(st.sampled_from([Level.UNKNOWN, Level.FAST, Level.CRITICAL])),
                description=draw(TEXTS),
                enabled=draw(st.booleans()),
            )
        )
    return made
