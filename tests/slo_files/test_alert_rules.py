"""Prometheus' alert rules as SLOs, of the shapes that kubernetes-mixin, prometheus-operator, sloth and pyrra write."""

import json

import promql_parser
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, SloType, check
from neural_hive.slo_files import Outcome, Report, alert_rules, read

Rule = dict[str, object]


def rules(*found: Rule, name: str = "shop") -> Report:
    report = read(yaml.safe_dump({"groups": [{"name": name, "rules": list(found)}]}), "rules.yaml")
    for made in report.definitions:
        assert made.indicator.source is Source.PROMQL
        for query in (made.indicator.good_promql, made.indicator.valid_promql):
            promql_parser.parse(query.replace("$window", "5m"))
    return report


def alert(expr: str, name: str = "Alert", **labels: str) -> Rule:
    return {"alert": name, "expr": expr, "labels": labels}


def the_one(report: Report) -> Definition:
    assert len(report.definitions) == 1, report.text()
    return report.definitions[0]


def told(report: Report, outcome: Outcome) -> list[str]:
    return [finding.text for finding in report.findings if finding.outcome is outcome]


ERRORS = 'sum(rate(http_requests_total{job="web", code=~"5.."}[5m]))'
ALL = 'sum(rate(http_requests_total{job="web"}[5m]))'
ERRORS_COUNTED = 'sum(increase(http_requests_total{job="web", code=~"5.."}[$window]))'
ALL_COUNTED = 'sum(increase(http_requests_total{job="web"}[$window]))'
GOOD_COUNTED = f"{ALL_COUNTED} - ({ERRORS_COUNTED} or vector(0))"


@pytest.mark.parametrize(
    ("expr", "target"),
    [
        (f"{ERRORS} / {ALL} > 0.01", 0.99),
        (f"{ERRORS} / {ALL} >= 0.05", 0.95),
        (f"0.01 < {ERRORS} / {ALL}", 0.99),
        (f"100 * {ERRORS} / {ALL} > 1", 0.99),
        (f"({ERRORS} / {ALL}) * 100 > 2.5", 0.975),
        (f"({ERRORS} / {ALL}) > (14.4 * 0.001)", 0.999),
        (f"{ERRORS} / {ALL} / (1 - 0.999) > 14.4", 0.999),
        (f"1 - {ERRORS} / {ALL} < 0.99", 0.99),
        (f"({ALL} - {ERRORS}) / {ALL} < 0.995", 0.995),
        (f"100 - ({ERRORS} / {ALL} * 100) < 99.9", 0.999),
        (f"{ERRORS} / ({ALL} > 0) > 0.01", 0.99),
        (f"{ERRORS} / {ALL} > 0.01 and {ALL} > 10", 0.99),
        (f"{ERRORS} / {ALL} > 0.01 unless on () maintenance == 1", 0.99),
        (f"max({ERRORS} / {ALL} > 0.02) or {ERRORS} / {ALL} > 0.1", 0.98),
    ],
)
def test_a_share_of_bad_events(expr: str, target: float) -> None:
    made = the_one(rules(alert(expr)))
    assert made.target == target
    assert (made.indicator.good_promql, made.indicator.valid_promql) == (GOOD_COUNTED, ALL_COUNTED)
    assert made.service_name == "web"


@pytest.mark.parametrize(
    "expr",
    [
        "sum(rate(ok[5m])) / sum(rate(all[5m])) < 0.99",
        "1 - sum(rate(ok[5m])) / sum(rate(all[5m])) > 0.01",
        "100 * (1 - (sum(rate(ok[5m])) / sum(rate(all[5m])))) > 1",
        "(sum(rate(all[5m])) - sum(rate(ok[5m]))) / sum(rate(all[5m])) > 0.01",
        "sum(increase(ok[1h])) / sum(increase(all[1h])) * 100 < 99",
    ],
)
def test_a_share_of_good_events(expr: str) -> None:
    made = the_one(rules(alert(expr, service="till")))
    assert made.target == 0.99
    assert made.slo_type is SloType.AVAILABILITY
    assert made.indicator.good_promql == "sum(increase(ok[$window]))"
    assert made.indicator.valid_promql == "sum(increase(all[$window]))"


@pytest.mark.parametrize(
    ("expr", "le", "target"),
    [
        ("histogram_quantile(0.95, sum(rate(t_bucket{job='web'}[5m])) by (le)) > 0.3", 'le="0.3"', 0.95),
        ("histogram_quantile(0.99, sum by (le, path) (rate(t_bucket{job='web'}[5m]))) * 1000 > 250", 'le="0.25"', 0.99),
        ("histogram_quantile(0.5, rate(t_bucket{job='web'}[5m])) >= 2", 'le=~"2|2\\\\.0"', 0.5),
    ],
)  # fmt: skip
def test_a_quantile_is_a_share_of_a_bucket(expr: str, le: str, target: float) -> None:
    report = rules(alert(expr))
    made = the_one(report)
    assert (made.slo_type, made.target) == (SloType.LATENCY, target)
    assert made.indicator.good_promql == f'sum(increase(t_bucket{{job="web", {le}}}[$window]))'
    assert made.indicator.valid_promql == 'sum(increase(t_count{job="web"}[$window]))'
    assert any("has a bucket that ends at" in text for text in told(report, Outcome.ASSUMED))


@pytest.mark.parametrize(
    ("expr", "target"),
    [
        ('up{job="node"} == 0', 0.99),
        ('up{job="node"} != 1', 0.99),
        ('avg_over_time(up{job="node"}[10m]) < 0.9', 0.9),
        ('avg by (job) (up{job="node"}) < 0.75', 0.75),
        ('sum(up{job="node"}) / count(up{job="node"}) < 0.8', 0.8),
        ('100 * (count by (job) (up{job="node"} == 0) / count by (job) (up{job="node"})) > 10', 0.9),
    ],
)
def test_what_is_down(expr: str, target: float) -> None:
    report = rules(alert(expr))
    made = the_one(report)
    assert (made.slo_type, made.target, made.service_name) == (SloType.AVAILABILITY, target, "node")
    assert made.indicator.good_promql == 'sum(sum_over_time(up{job="node"}[$window]))'
    assert made.indicator.valid_promql == 'sum(count_over_time(up{job="node"}[$window]))'
    names_none = any("names no target" in text for text in told(report, Outcome.ASSUMED))
    assert names_none is ("== 0" in expr or "!=" in expr) or "count by" in expr


def sloth(with_records: bool) -> list[Rule]:
    """What sloth makes of an SLO of 99.9 % over 28 days."""
    said = {"sloth_id": "shop-requests", "sloth_service": "shop", "sloth_slo": "requests-availability"}
    asked = ", ".join(f'{name}="{value}"' for name, value in said.items())
    records: list[Rule] = [
        {
            "record": f"slo:sli_error:ratio_rate{window}",
            "expr": f"({ERRORS})\n/\n({ALL})\n".replace("5m", window),
            "labels": {**said, "sloth_window": window},
        }
        for window in ("5m", "30m", "1h", "6h")
    ]
    records += [{"record": "slo:time_period:days", "expr": "vector(28)", "labels": said}]

    def pair(short: str, long: str, factor: str) -> str:
        one = "max(slo:sli_error:ratio_rate{}{{{}}} > ({} * 0.0009999999999999432)) without (sloth_window)"
        return f"({one.format(short, asked, factor)} and {one.format(long, asked, factor)})"

    expr = f"{pair('5m', '1h', '14.4')} or {pair('30m', '6h', '6')}"
    alerts = [
        {"alert": "ShopErrors", "expr": expr, "labels": {"severity": severity, "owner": "ann"}}
        for severity in ("page", "ticket")
    ]
    return [*(records if with_records else []), *alerts]


def test_what_sloth_makes_counts_events_by_its_recording_rules() -> None:
    report = rules(*sloth(with_records=True))
    made = the_one(report)
    assert (made.slo_id, made.name, made.service_name) == ("shop-requests", "requests-availability", "shop")
    assert (made.target, made.window_days, made.slo_type) == (0.999, 28, SloType.AVAILABILITY)
    assert (made.indicator.good_promql, made.indicator.valid_promql) == (GOOD_COUNTED, ALL_COUNTED)
    assert made.labels == {"severity": "page,ticket", "owner": "ann"}
    assert not told(report, Outcome.ASSUMED)
    assert report.is_whole
    assert [f.slo_ids for f in report.findings if f.outcome is Outcome.READ] == [("shop-requests",)] * 2


def test_without_them_the_samples_of_the_ratio_count() -> None:
    report = rules(*sloth(with_records=False))
    made = the_one(report)
    assert (made.target, made.window_days) == (0.999, 30)
    assert "sum_over_time(slo:sli_error:ratio_rate5m{" in made.indicator.good_promql
    assert "ratio_rate1h" not in made.indicator.good_promql
    assert any("each of its samples counts as 1,000 events" in text for text in told(report, Outcome.ASSUMED))


def test_what_pyrra_makes() -> None:
    errors = 'sum by (handler) (rate(http_requests_total{code=~"5..",job="web"}[5m]))'
    whole = 'sum by (handler) (rate(http_requests_total{job="web"}[5m]))'
    records = [
        {
            "record": f"http_requests:burnrate{over}",
            "expr": f"{errors} / {whole}".replace("5m", over),
            "labels": {"slo": "web-errors"},
        }
        for over in ("5m", "30m", "1h", "6h")
    ]
    window = {"record": "pyrra_window", "expr": "604800", "labels": {"slo": "web-errors"}}
    burns = [
        alert(
            f'http_requests:burnrate{short}{{job="web",slo="web-errors"}} > ({factor} * (1-0.99)) and '
            f'http_requests:burnrate{long}{{job="web",slo="web-errors"}} > ({factor} * (1-0.99))',
            "ErrorBudgetBurn",
            slo="web-errors",
            severity=severity,
            short=short,
            long=long,
        )
        for short, long, factor, severity in (("5m", "1h", 14, "critical"), ("30m", "6h", 7, "warning"))
    ]
    gone = alert('absent(http_requests_total{job="web"}) == 1', "SLOMetricAbsent", slo="web-errors")
    report = rules(*records, window, *burns, gone)
    made = the_one(report)
    assert (made.slo_id, made.target, made.window_days) == ("web-errors", 0.99, 7)
    assert made.slo_type is SloType.ERROR_RATE
    assert made.labels == {"severity": "critical,warning"}
    assert made.indicator.valid_promql == ('sum(increase(http_requests_total{job="web"}[$window]))')
    assert told(report, Outcome.ASSUMED) == [
        "it is counted over all series together, and not for each of them"
    ]
    assert told(report, Outcome.NOT_UNDERSTOOD) == [
        "it asks whether something is missing: what is not there cannot be counted"
    ]


def test_kubernetes_burn_rates() -> None:
    burns = [
        alert(
            f"sum by(cluster) (apiserver_request:burnrate{long}) > ({factor} * 0.01000)\nand on(cluster)\n"
            f"sum by(cluster) (apiserver_request:burnrate{short}) > ({factor} * 0.01000)",
            "KubeAPIErrorBudgetBurn",
            severity=severity,
        )
        for long, short, factor, severity in (
            ("1h", "5m", "14.40", "critical"),
            ("3d", "6h", "1.00", "warning"),
        )
    ]
    report = rules(*burns, name="kube-apiserver-slos")
    made = the_one(report)
    assert len([text for text in told(report, Outcome.ASSUMED) if "recorded ratio" in text]) == 1
    assert (made.slo_id, made.target) == ("kube-api-error-budget-burn", 0.99)
    assert made.service_name == "kube-apiserver-slos"
    assert "apiserver_request:burnrate5m[$window]" in made.indicator.good_promql


def test_a_rule_object_of_the_prometheus_operator() -> None:
    text = f"""\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {{name: rules, namespace: monitoring}}
spec:
  groups:
  - name: web
    rules:
    - alert: WebErrorsHigh
      annotations:
        description: '{{{{ $value | humanizePercentage }}}} of requests fail.'
        runbook_url: https://example.com/runbook
        summary: Requests to the web fail.
      expr: |
        # of ten minutes
        {ERRORS} / {ALL} > 0.05
      for: 10m
      labels: {{severity: warning, layer: edge, service: shop, team: '{{{{ $labels.team }}}}'}}
"""
    report = read(text, "rules.yaml")
    made = the_one(report)
    assert made.slo_id == "web-errors-high"
    assert (made.service_name, made.layer) == ("shop", "edge")
    assert made.description == "Requests to the web fail."
    assert made.labels == {"severity": "warning", "runbook_url": "https://example.com/runbook"}
    assert report.findings[0].field == "spec.groups[0].rules[0]"
    assert report.findings[0].line == 8
    assert json.loads(report.json())["definitions"][0]["target"] == 0.95


@pytest.mark.parametrize(
    ("expr", "why"),
    [
        ("node_filesystem_avail_bytes / node_filesystem_size_bytes * 100 < 5", "no counted events"),
        ("max_over_time(config_last_reload_successful[5m]) == 0", "a result of max_over_time"),
        ("increase(reloads_failures_total[3h]) > 0", "a result of increase"),
        (f"{ERRORS} / {ALL} * 1e-300 * 1e-300 > 0.1", "too large or too small"),
        (f"{ERRORS} / {ALL} + 1e308 + 1e308 > 0.1", "too large or too small"),
        (f"{ERRORS} / {ALL} > Inf", "two queries"),
        ("sum(up) < 2", "divide by count(up)"),
        ("count(up == 0) > 1", "a result of count"),
        ("avg_over_time((up == 0)[5m:]) > 0.1", "a result of avg_over_time"),
        ("quantile(0.9, a:error_ratio) > 0.1", "a result of quantile"),
        ('absent(up{job="apiserver"})', "whether something is missing"),
        ("histogram_quantile(0.01, sum(rate(expiry_bucket[5m])) by (le)) < 604800", "no promise of speed"),
        ("histogram_quantile(0.9, sum(rate(native[5m]))) > 1", "a histogram without buckets"),
        ("kube_deployment_spec_replicas != kube_deployment_status_replicas", "two queries with each other"),
        ("predict_linear(free[6h], 24*60*60) < 0", "a result of predict_linear"),
        ("vector(1)", "compares nothing"),
        ("kube_job_failed > 0", "as far as its name says"),
        (f"{ERRORS} / {ALL} > 0", "leaves no error budget"),
        (f"{ERRORS} / {ALL} > 1.5", "leaves no error budget"),
        (f"{ERRORS} / {ALL} == 0.5", "== compares with one number"),
        (f"{ERRORS} / {ALL} > 0.1 or sum(rate(a[5m])) / sum(rate(b[5m])) > 0.1", "more than one share"),
        ("sum(rate(a[5m] offset 1d)) / sum(rate(b[5m])) > 0.1", "another time"),
        ("sum(rate(a[5m:1m])) / sum(rate(b[5m])) > 0.1", "a query within a range"),
        ("sum(topk(3, rate(a[5m]))) / sum(rate(b[5m])) > 0.1", "no counted events"),
        ("sum(rate(a[5m])) / sum(rate(b[5m])) / 0 > 0.1", "divides by it"),
        ("sum(", "no PromQL"),
        ("(" * 60 + "up" + ")" * 60 + " == 0", "nested more than 50"),
        ("up == 0" + " or up == 0" * 300, "more than 200 operators"),
        ("up == 0 # " + "x" * 10_000, "characters"),
    ],
)
def test_what_is_not_understood_has_its_reason(expr: str, why: str) -> None:
    report = rules(alert(expr, "Odd"))
    assert not report.definitions and not report.is_whole
    [finding] = report.findings
    assert (finding.outcome, finding.subject) == (Outcome.NOT_UNDERSTOOD, "alert Odd")
    assert finding.field == "groups[0].rules[0].expr"
    assert why in finding.text


def test_one_rule_that_is_not_understood_keeps_no_other_from_being_read() -> None:
    report = rules(
        alert("sum("), alert(f"{ERRORS} / {ALL} > 0.1"), alert("vector(1)"), alert("up == 0", "Down")
    )
    assert [made.slo_id for made in report.definitions] == ["alert", "down"]


def test_the_strictest_target_of_several_alerts_counts() -> None:
    low, high = (
        alert(f"{ERRORS} / {ALL} > {t}", f"Errors{t}", severity=s) for t, s in ((0.01, "w"), (0.1, "c"))
    )
    report = rules(high, low)
    assert the_one(report).target == 0.99
    assert "of the alerts' targets the strictest counts: 0.99" in told(report, Outcome.ASSUMED)
    assert the_one(report).labels["severity"] == "c,w"


def test_alerts_of_one_slo_count_the_same_events() -> None:
    report = rules(
        alert(f"{ERRORS} / {ALL} > 0.1", slo="a"), alert("up == 0", slo="a"), alert("up == 0", slo="b")
    )
    assert [made.slo_id for made in report.definitions] == ["a", "b"]
    assert told(report, Outcome.NOT_UNDERSTOOD) == [
        "it names the SLO a, of which alert Alert counts other events"
    ]


def test_labels_that_are_not_the_service_stay() -> None:
    made = the_one(rules(alert("up == 0", service="till", app="web", team="ann")))
    assert (made.service_name, made.labels) == ("till", {"app": "web", "team": "ann"})


def test_two_services_may_call_their_slos_alike() -> None:
    found = [alert("up == 0", slo="availability", service=service) for service in ("till", "shop")]
    report = rules(*found)
    assert [made.slo_id for made in report.definitions] == ["availability", "shop-availability"]


def test_a_record_with_other_labels_is_not_taken_for_it() -> None:
    record = {"record": "a:error_ratio", "expr": f"{ERRORS} / {ALL}", "labels": {"slo": "other"}}
    made = the_one(rules(record, alert('a:error_ratio{slo="mine"} > 0.1')))
    assert "a:error_ratio{" in made.indicator.good_promql


def test_a_name_that_several_rules_record_is_not_taken_for_one_of_them() -> None:
    reads, writes = (
        {"record": "a:burnrate5m", "expr": f"{ERRORS} / {ALL}".replace("web", verb), "labels": {"verb": verb}}
        for verb in ("read", "write")
    )
    both = alert("sum by (cluster) (a:burnrate5m) > (14.4 * 0.01)")
    assert "sum_over_time(a:burnrate5m[" in the_one(rules(reads, writes, both)).indicator.good_promql
    one = alert('a:burnrate5m{verb="write"} > (14.4 * 0.01)')
    assert 'job="write"' in the_one(rules(reads, writes, one)).indicator.good_promql


def test_records_that_are_no_promql_are_passed_over() -> None:
    broken: list[Rule] = [
        {"record": "slo:time_period:days", "expr": "vector(", "labels": {"sloth_id": "a"}},
        {"record": "a:error_ratio", "expr": "sum("},
    ]
    made = the_one(rules(*broken, alert('a:error_ratio{job="x"} > 0.1', sloth_id="a")))
    assert made.window_days == 30


def test_records_that_stand_in_each_other_end() -> None:
    circle = [{"record": "a:error_ratio", "expr": "a:error_ratio"}, alert("a:error_ratio > 0.1")]
    assert told(rules(*circle), Outcome.NOT_UNDERSTOOD) == ["its recording rules stand in each other"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("HighRequestLatency", SloType.LATENCY),
        ("SlowResponses", SloType.LATENCY),
        ("ServiceUnavailable", SloType.AVAILABILITY),
        ("InstanceDown", SloType.AVAILABILITY),
        ("TooManyErrors", SloType.ERROR_RATE),
        ("JobsFailing", SloType.ERROR_RATE),
        ("ErrorBudgetBurn", SloType.ERROR_RATE),
    ],
)
def test_a_name_says_the_type(name: str, kind: SloType) -> None:
    assert the_one(rules(alert(f"{ERRORS} / {ALL} > 0.1", name))).slo_type is kind


@pytest.mark.parametrize(
    "rule", [{}, {"alert": "A"}, {"expr": "up"}, {"alert": "A", "record": "b", "expr": "up"}, "up", 1]
)
def test_what_is_no_rule_is_wrong(rule: object) -> None:
    report = read(
        json.dumps({"groups": [{"name": "g", "rules": [rule]}, {"name": "no rules"}]}), "rules.json"
    )
    assert [finding.outcome for finding in report.findings] == [Outcome.WRONG, Outcome.WRONG]
    assert report.findings[0].subject == "rule 1 of group g"


def test_rules_over_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_hive.slo_files.files.RULES_MAX", 3)
    found = [alert(f"{ERRORS} / {ALL} > 0.1", f"A{n}", slo=str(n)) for n in range(5)]
    report = rules(*found)
    assert len(report.definitions) == 3
    assert f"more than {alert_rules.RULES_MAX:,} rules" in report.text()


_LEAVES = st.sampled_from(
    [
        *(
            "up",
            "up{job='a'}",
            "rate(a[5m])",
            "rate(t_bucket[5m])",
            "a:error_ratio5m",
            "a",
            "1",
            "0.5",
            "0",
            "14.4",
        ),
        *(
            "absent(up)",
            "avg_over_time(up[5m])",
            "increase(b[1h] offset 5m)",
            "rate(a[5m:1m])",
            "time()",
            "vector(1)",
        ),
    ]
)
_OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "^", ">", "<", "==", "and", "or", "unless", "> bool", "/ on (x)"]
)
_EXPRESSIONS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.builds("({} {} {})".format, inner, _OPERATORS, inner)
        | st.builds(
            "{}({})".format,
            st.sampled_from(["sum", "count", "avg", "max by (x) ", "abs", "scalar", "-"]),
            inner,
        )
        | st.builds("histogram_quantile({}, {})".format, st.sampled_from(["0.9", "a", "2"]), inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(_EXPRESSIONS, _EXPRESSIONS, st.sampled_from([">", "<", "==", "!="]))
def test_any_expression_is_understood_or_told(one: str, other: str, sign: str) -> None:
    recorded: Rule = {"record": "a:error_ratio5m", "expr": other}
    report = rules(recorded, alert(f"{one} {sign} {other}"), alert(f"{one} {sign} 0.1"))
    told_of = {finding.subject for finding in report.findings}
    assert told_of == {"record a:error_ratio5m", "alert Alert"}
    for made in report.definitions:
        check(made)
