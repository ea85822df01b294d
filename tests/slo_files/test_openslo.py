"""OpenSLO v1: what its objects become, what is assumed, and what is told of the rest."""

import msgspec
import pytest

from neural_hive.aggregates.sla_window import WindowKind
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Part, SloType
from neural_hive.slo_files import Form, Outcome, Report, read, write

# The shapes of OpenSLO's specification and examples.
AVAILABILITY = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: web-availability
  displayName: SLO for web availability
  labels:
    env: prod
    team: [identity, rbac]
  annotations:
    openslo.com/dashboard: https://example.com/d/1
spec:
  description: X% of search requests are successful
  service: web
  indicator:
    metadata:
      name: web-successful-requests-ratio
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Prometheus
            spec:
              query: sum(http_requests{k8s_cluster="prod",component="web",code=~"2xx|4xx"})
        total:
          metricSource:
            type: Prometheus
            spec:
              query: sum(http_requests{k8s_cluster="prod",component="web"})
  timeWindow:
    - duration: 1M
      calendar:
        startTime: 2020-01-21 12:30:00
        timeZone: America/New_York
  budgetingMethod: Occurrences
  objectives:
    - displayName: Good
      target: 0.999
"""
RATIO_OF = """\
apiVersion: openslo/v1
kind: SLI
metadata: {{name: the-sli}}
spec:
  ratioMetric:
    {metrics}
---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: the-slo}}
spec:
  service: web
  indicatorRef: the-sli
  timeWindow: [{{duration: 28d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.99}}]
"""


def slo(**spec: object) -> str:
    lines = {
        "service": "web",
        "timeWindow": "[{duration: 28d, isRolling: true}]",
        "budgetingMethod": "Occurrences",
        "indicator": "{spec: {ratioMetric: {counter: true, "
        "good: {metricSource: {type: prometheus, spec: {query: sum(good)}}}, "
        "total: {metricSource: {type: PROMETHEUS, spec: {query: sum(total)}}}}}}",
        "objectives": "[{target: 0.99}]",
    } | spec
    said = "".join(f"  {name}: {value}\n" for name, value in lines.items() if value is not None)
    return f"apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: the-slo}}\nspec:\n{said}"


def the_one(text: str) -> Definition:
    report = read(text, "openslo.yaml")
    assert len(report.definitions) == 1, report.text()
    return report.definitions[0]


def told(report: Report, outcome: Outcome) -> list[str]:
    return [f"{f.field}: {f.text}" for f in report.findings if f.outcome is outcome]


def ratio(metrics: str) -> Indicator:
    return the_one(RATIO_OF.format(metrics=metrics)).indicator


def flow(*parts: str) -> str:
    return f"{{{', '.join(parts)}}}"


def metric(name: str, query: str, kind: str = "Prometheus") -> str:
    return f"{name}: {{metricSource: {{type: {kind}, spec: {{query: '{query}'}}}}}}"


def test_an_slo_with_all_that_it_says() -> None:
    report = read(AVAILABILITY, "openslo.yaml")
    [made] = report.definitions
    assert made.slo_id == "web-availability"
    assert (made.name, made.service_name, made.target) == ("SLO for web availability", "web", 0.999)
    assert made.slo_type is SloType.AVAILABILITY
    assert made.window_kind is WindowKind.MONTH
    assert made.description == "X% of search requests are successful"
    assert made.labels == {
        "env": "prod",
        "team": "identity,rbac",
        "openslo.com/dashboard": "https://example.com/d/1",
    }
    assert made.indicator.source is Source.PROMQL
    assert made.indicator.good_promql.startswith("sum(increase(http_requests{")
    assert 'code=~"2xx|4xx"' in made.indicator.good_promql
    assert made.indicator.valid_promql.count("[$window]") == 1
    assert told(report, Outcome.ASSUMED) == [
        ": calendar windows are those of UTC here, and not of America/New_York"
    ]


@pytest.mark.parametrize(
    "window", ["5m", "{{.window}}", "{{ .Window }}".lower(), "$__range", "$__rate_interval"]
)
def test_the_time_of_a_rate_is_the_window(window: str) -> None:
    metrics = ", ".join(metric(name, f"sum(rate({name}[{window}]))") for name in ("good", "total"))
    found = ratio(f"{{{metrics}}}")
    assert found.good_promql == "sum(increase(good[$window]))"
    assert found.valid_promql == "sum(increase(total[$window]))"


def test_bad_events_are_subtracted_even_if_there_were_none_yet() -> None:
    found = ratio(flow("counter: true", metric("bad", "bad"), metric("total", "total")))
    assert found.good_promql == "sum(increase(total[$window])) - (sum(increase(bad[$window])) or vector(0))"


def test_what_is_no_counter_is_added_up_and_told() -> None:
    text = RATIO_OF.format(metrics=flow(metric("good", "good"), metric("total", "total")))
    report = read(text, "openslo.yaml")
    assert report.definitions[0].indicator.good_promql == "sum(sum_over_time(good[$window]))"
    assert len([text for text in told(report, Outcome.ASSUMED) if "counter: true" in text]) == 1


def test_a_query_over_the_window_is_taken_as_it_is() -> None:
    written = "sum(increase(x[$window] offset 1h)) # as it is"
    found = ratio(flow(metric("good", written), metric("total", "sum(increase(y[$window]))")))
    assert found.good_promql == written


def test_a_threshold_makes_each_minute_an_event() -> None:
    found = the_one(
        slo(
            indicator="{spec: {thresholdMetric: {metricSource: {type: Prometheus, spec: {query: "
            "'histogram_quantile(0.95, sum(rate(latency_bucket[5m])) by (le)) # p95'}}}}}",
            objectives="[{op: lte, value: 0.3, target: 0.95}]",
        )
    ).indicator
    query = "histogram_quantile(0.95, sum(rate(latency_bucket[5m])) by (le)) # p95\n"
    assert found.good_promql == f"sum(sum_over_time((({query}) <= bool 0.3)[$window:1m]))"
    assert found.valid_promql == f"sum(count_over_time(({query})[$window:1m]))"


@pytest.mark.parametrize(
    ("raw_type", "good"),
    [
        ("success", "sum(sum_over_time(((ok) * 1000)[$window:1m]))"),
        (
            "failure",
            "1000 * sum(count_over_time((ok)[$window:1m])) - "
            "(sum(sum_over_time(((ok) * 1000)[$window:1m])) or vector(0))",
        ),
    ],
)
def test_a_ratio_that_is_kept_as_one_metric(raw_type: str, good: str) -> None:
    found = ratio(flow(f"rawType: {raw_type}", metric("raw", "ok")))
    assert found.good_promql == good
    assert found.valid_promql == "1000 * sum(count_over_time((ok)[$window:1m]))"


def test_our_own_event_streams() -> None:
    ours = "metricSource: {type: neural-hive, spec: {source: TICKETS, "
    good = "good: {" + ours + "good: \"status = 'COMPLETED'\", groupBy: service}}}"
    total = "total: {" + ours + "valid: \"task_type = 'DEPLOY'\"}}}"
    found = ratio(flow(good, total))
    assert found == Indicator(Source.TICKETS, "status = 'COMPLETED'", "task_type = 'DEPLOY'", "service")


def test_the_type_is_that_of_the_data_source() -> None:
    source = "{metricSource: {metricSourceRef: prom, spec: {query: 'sum(rate(x[5m]))'}}}"
    text = RATIO_OF.format(metrics=flow(f"good: {source}", f"total: {source}"))
    text += (
        "---\napiVersion: openslo/v1\nkind: DataSource\nmetadata: {name: prom}\n"
        "spec: {type: Prometheus, connectionDetails: {token: secret-token}}\n"
    )
    report = read(text, "openslo.yaml")
    assert report.definitions[0].indicator.good_promql == "sum(increase(x[$window]))"
    assert "secret-token" not in report.text() + report.json().decode()


def test_an_slo_for_each_objective() -> None:
    report = read(
        slo(
            objectives="[{displayName: Good, target: 0.9}, "
            "{displayName: Very good, targetPercent: 99.95}, {target: 0.5}]"
        ),
        "openslo.yaml",
    )
    assert [(made.slo_id, made.target, made.name) for made in report.definitions] == [
        ("the-slo-good", 0.9, "the-slo: Good"),
        ("the-slo-very-good", 0.9995, "the-slo: Very good"),
        ("the-slo-3", 0.5, "the-slo: 3"),
    ]
    assert len({made.indicator for made in report.definitions}) == 1


def test_objectives_with_indicators_make_a_composite_slo() -> None:
    part = (
        "{displayName: %s, target: %s, compositeWeight: %s, indicator: {spec: {ratioMetric: {counter: true, "
        "good: {metricSource: {type: Prometheus, spec: {query: sum(%s_good)}}}, "
        "total: {metricSource: {type: Prometheus, spec: {query: sum(%s_total)}}}}}}}"
    )
    parts = [part % ("API", 0.99, 3, "api", "api"), part % ("Page", 0.95, 1, "page", "page")]
    report = read(slo(indicator=None, objectives=f"[{', '.join(parts)}]"), "openslo.yaml")
    api, page, whole = report.definitions
    assert (api.slo_id, api.target) == ("the-slo-api", 0.99)
    assert page.indicator.good_promql == "sum(increase(page_good[$window]))"
    assert whole.indicator.parts == (Part("the-slo-api", 3.0), Part("the-slo-page", 1.0))
    assert whole.target == 0.98
    assert "weighted mean" in told(report, Outcome.ASSUMED)[0]


@pytest.mark.parametrize(
    ("window", "kind", "days"),
    [
        ("[{duration: 4w, isRolling: true}]", WindowKind.ROLLING, 28),
        ("[{duration: 48h, isRolling: true}]", WindowKind.ROLLING, 2),
        ("[{duration: 30d}]", WindowKind.ROLLING, 30),
        ("[{duration: 1M, isRolling: true}]", WindowKind.ROLLING, 30),
        ("[{duration: 1d, calendar: {timeZone: UTC}}]", WindowKind.DAY, 30),
        ("[{duration: 1W, isRolling: false}]", WindowKind.WEEK, 30),
        ("[{duration: 1M, isRolling: false}]", WindowKind.MONTH, 30),
        ("[{duration: 1Q, isRolling: false}]", WindowKind.QUARTER, 30),
        (None, WindowKind.ROLLING, 30),
    ],
)
def test_windows(window: str | None, kind: WindowKind, days: int) -> None:
    made = the_one(slo(timeWindow=window))
    assert (made.window_kind, made.window_days) == (kind, days)


@pytest.mark.parametrize(
    ("spec", "outcome", "field", "why"),
    [
        ({"budgetingMethod": "Timeslices"}, Outcome.NOT_UNDERSTOOD, "spec.budgetingMethod", "slices of time"),
        (
            {"budgetingMethod": "RatioTimeslices"},
            Outcome.NOT_UNDERSTOOD,
            "spec.budgetingMethod",
            "Occurrences",
        ),
        ({"budgetingMethod": "Often"}, Outcome.WRONG, "spec.budgetingMethod", "must be Occurrences"),
        ({"service": None}, Outcome.WRONG, "spec.service", "is missing"),
        ({"objectives": "[]"}, Outcome.WRONG, "spec.objectives", "1 to 50 objectives"),
        ({"objectives": "[{target: 1}]"}, Outcome.WRONG, "spec.objectives", "99.9 % is 0.999"),
        ({"objectives": "[{target: nan}]"}, Outcome.WRONG, "spec.objectives[0].target", "must be a number"),
        (
            {"timeWindow": "[{duration: 91d, isRolling: true}]"},
            Outcome.WRONG,
            "spec.timeWindow",
            "within 1 and 90",
        ),
        ({"objectives": "[{target: high}]"}, Outcome.WRONG, "spec.objectives[0].target", "must be a number"),
        ({"objectives": "[{}]"}, Outcome.WRONG, "spec.objectives[0]", "target or targetPercent"),
        (
            {"timeWindow": "[{duration: 12h, isRolling: true}]"},
            Outcome.NOT_UNDERSTOOD,
            "spec.timeWindow[0].duration",
            "whole days",
        ),
        (
            {"timeWindow": "[{duration: 1Y, isRolling: false}]"},
            Outcome.NOT_UNDERSTOOD,
            "spec.timeWindow[0].duration",
            "1d, 1w, 1M, 1Q",
        ),
        (
            {"timeWindow": "[{duration: long}]"},
            Outcome.WRONG,
            "spec.timeWindow[0].duration",
            "must be a number with",
        ),
        ({"timeWindow": "[]"}, Outcome.WRONG, "spec.timeWindow", "exactly one"),
        ({"indicator": None}, Outcome.WRONG, "spec", "either indicator or indicatorRef"),
        (
            {"indicator": None, "indicatorRef": "gone"},
            Outcome.NOT_UNDERSTOOD,
            "spec.indicatorRef",
            "no SLI 'gone'",
        ),
    ],
)
def test_what_is_refused_is_told(spec: dict[str, object], outcome: Outcome, field: str, why: str) -> None:
    report = read(slo(**spec), "openslo.yaml")
    assert not report.definitions
    [finding] = report.findings
    assert (finding.outcome, finding.field, finding.subject) == (outcome, field, "SLO the-slo")
    assert why in finding.text
    assert finding.line


@pytest.mark.parametrize(
    ("metrics", "outcome", "why"),
    [
        (
            flow(metric("good", "x", "Datadog"), metric("total", "y", "Datadog")),
            Outcome.NOT_UNDERSTOOD,
            "type datadog",
        ),
        (flow(metric("good", "x")), Outcome.WRONG, "total with good"),
        (flow(metric("good", "sum("), metric("total", "y")), Outcome.NOT_UNDERSTOOD, "no PromQL"),
        (flow(metric("good", "1"), metric("total", "y")), Outcome.NOT_UNDERSTOOD, "no metric"),
        (flow(metric("good", "topk(1, x)"), metric("total", "y")), Outcome.NOT_UNDERSTOOD, "topk"),
        (flow(metric("good", "x offset 1d"), metric("total", "y")), Outcome.NOT_UNDERSTOOD, "another time"),
        (flow(metric("raw", "x"), "rawType: some"), Outcome.WRONG, "success or failure"),
    ],
)
def test_an_sli_that_is_refused_is_named_by_its_slo(metrics: str, outcome: Outcome, why: str) -> None:
    report = read(RATIO_OF.format(metrics=metrics), "openslo.yaml")
    finding = next(f for f in report.findings if f.subject == "SLO the-slo")
    assert (finding.outcome, finding.document) == (outcome, 2)
    assert "its SLI the-sli: spec.ratioMetric" in finding.text and why in finding.text


def test_alert_policies_and_services_are_left_out_and_told() -> None:
    kinds = ("Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
    documents = [f"apiVersion: openslo/v1\nkind: {k}\nmetadata: {{name: a}}\nspec: {{}}\n" for k in kinds]
    report = read(
        "---\n".join([*documents, slo(alertPolicies="[{alertPolicyRef: a}]", mood="good")]), "o.yaml"
    )
    assert report.is_whole and len(report.definitions) == 1
    assert [f.subject for f in report.findings if f.outcome is Outcome.LEFT_OUT] == [
        *(f"{kind} a" for kind in kinds),
        "SLO the-slo",
        "SLO the-slo",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("apiVersion: openslo/v1\nkind: Sli\n", "must be one of Service, SLO, SLI"),
        ("apiVersion: openslo/v1\nkind: SLO\nspec: {}\n", "must be a mapping with `name`"),
        ("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\n", "must be a mapping"),
        ("apiVersion: openslo/v1alpha\nkind: SLO\n", "it is none of"),
        (slo() + "---\n" + slo(), "it stands twice in this file"),
        (slo() + "---\nkind: Slo\n" + "slo_id: the-slo\n", "is missing"),
    ],
)
def test_objects_that_are_none(text: str, why: str) -> None:
    assert why in read(text, "openslo.yaml").text()


def test_what_is_written_is_what_openslo_says() -> None:
    written = write([the_one(AVAILABILITY)], form=Form.OPENSLO)
    assert not written.findings
    assert "  name: web-availability\n" in written.text
    assert "duration: 1M" in written.text and "timeZone: UTC" in written.text
    assert "type: Prometheus" in written.text


def test_names_that_openslo_does_not_take_are_kept_beside() -> None:
    made = the_one(AVAILABILITY)
    odd = [
        msgspec.structs.replace(made, slo_id=slo_id, service_name="Die Kasse") for slo_id in ("a.b", "a_b")
    ]
    written = write(odd, form=Form.OPENSLO)
    names = [line for line in written.text.splitlines() if line.startswith("  name: ")]
    assert len(set(names)) == 2 and all(name.startswith("  name: a-b-") for name in names)
    assert list(read(written.text, "odd.yaml").definitions) == odd


def test_a_composite_slo_without_its_parts_is_left_out() -> None:
    made = the_one(AVAILABILITY)
    whole = Definition(
        "whole",
        "Whole",
        SloType.CUSTOM,
        "web",
        0.9,
        Indicator(Source.COMPOSITE, parts=(Part("web-availability"), Part("b"))),
    )
    written = write([made, whole], form=Form.OPENSLO)
    assert [f.slo_ids for f in written.findings] == [("whole",)]
    assert "its part b is not among those that are written" in written.findings[0].text
    assert list(read(written.text, "o.yaml").definitions) == [made]
