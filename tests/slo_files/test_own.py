"""Our own form: what is read, and what is told of what is wrong."""

import json

import pytest

from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Part, SloType
from neural_hive.slo_files import Outcome, Report, files, read, write

CHECKOUT = """\
kind: Slo
slo_id: checkout-deploys
name: Deployments of checkout
slo_type: AVAILABILITY
service_name: checkout
target: 0.99
indicator:
  source: TICKETS
  good: status = 'COMPLETED'
  valid: task_type = 'DEPLOY' AND service = 'checkout'
window_days: 28
labels: {team: payments, costs: 007}
"""
FREEZE = """\
kind: FreezePolicy
policy_id: checkout-freeze
name: No deployments without a budget
scope: SERVICE
subject: checkout
actions: [BLOCK_DEPLOY, BLOCK_SCALE]
trigger_percent: 10
unfreeze_percent: 25
"""
WHOLE = """\
kind: Slo
slo_id: shop
name: The shop
slo_type: CUSTOM
service_name: shop
target: 0.95
indicator:
  source: COMPOSITE
  parts:
    - {slo_id: checkout-deploys, weight: 3}
    - slo_id: search
"""


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def the_wrong(report: Report) -> list[tuple[str, str]]:
    return [(f.field, f.text) for f in report.findings if f.outcome is Outcome.WRONG]


def test_several_documents_of_both_kinds() -> None:
    report = read("---\n".join([CHECKOUT, FREEZE, WHOLE]), "slos.yaml")
    assert report.is_whole
    checkout, shop = report.definitions
    assert checkout == Definition(
        "checkout-deploys",
        "Deployments of checkout",
        SloType.AVAILABILITY,
        "checkout",
        0.99,
        Indicator(Source.TICKETS, "status = 'COMPLETED'", "task_type = 'DEPLOY' AND service = 'checkout'"),
        window_days=28,
        labels={"team": "payments", "costs": "007"},
    )
    assert shop.indicator.parts == (Part("checkout-deploys", 3.0), Part("search"))
    assert report.policies == (
        Policy(
            "checkout-freeze",
            "No deployments without a budget",
            Scope.SERVICE,
            "checkout",
            (Action.BLOCK_DEPLOY, Action.BLOCK_SCALE),
            10.0,
            25.0,
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "field", "why"),
    [
        ("target: 0.99", "target: 99 %", "target", "must be a number, not '99 %'"),
        ("target: 0.99", "target: 99", "target", "99.9 % is 0.999"),
        ("target: 0.99\n", "", "target", "is missing"),
        ("target: 0.99", "target: .nan", "target", "must be a number"),
        ("target: 0.99", "target: nan", "target", "within 0 and 1"),
        ("window_days: 28", "window_days: 4w", "window_days", "must be a whole number, not '4w'"),
        ("window_days: 28", "window_days: 91", "window_days", "within 1 and 90"),
        ("window_days: 28", "windowdays: 28", "windowdays", "did you mean 'window_days'?"),
        ("AVAILABILITY", "Availability", "slo_type", "must be AVAILABILITY, LATENCY, ERROR_RATE or CUSTOM"),
        ("TICKETS", "TICKET", "indicator.source", "TICKETS, WORKFLOWS, TELEMETRY, PROMQL or COMPOSITE"),
        ("good: status", "good: state", "indicator.good", "there is no field 'state'"),
        ("  good: status = 'COMPLETED'\n", "", "indicator.good", "good must say which events are good"),
        ("slo_id: checkout-deploys", "slo_id: Checkout", "slo_id", "small letters"),
        ("{team: payments, costs: 007}", "[team]", "labels", "must be a mapping of texts, not a list"),
        ("labels:", "enabled: perhaps\nlabels:", "enabled", "must be true or false, not 'perhaps'"),
        ("indicator:\n", "indicator: x\nother:\n", "indicator", "must be a mapping with source, good"),
    ],
)
def test_errors_name_the_field_and_say_what_to_do(old: str, new: str, field: str, why: str) -> None:
    report = read(changed(CHECKOUT, old, new), "slos.yaml")
    assert not report.definitions
    told = the_wrong(report)
    assert any(found == field and why in text for found, text in told), told


def test_half_a_character_is_told() -> None:
    text = '{"kind": "Slo", "slo_id": "a", "labels": {"team": "\\ud800"}}'
    assert ("labels", "holds half a character: nobody could write it down") in the_wrong(read(text, "a.json"))


def test_what_is_null_is_left_out() -> None:
    text = changed(CHECKOUT, "labels: {team: payments, costs: 007}", "labels:\ndescription: null\nlayer: ~")
    [made] = read(text, "slos.yaml").definitions
    assert (made.labels, made.description, made.layer) == ({}, "", "")


def test_all_that_is_wrong_is_told_with_its_place() -> None:
    text = CHECKOUT + "---\n" + changed(changed(FREEZE, "SERVICE", "CLUSTER"), "trigger_percent: 10", "x: 1")
    report = read(text, "slos.yaml")
    assert [d.slo_id for d in report.definitions] == ["checkout-deploys"]
    lines = report.text().splitlines()
    assert any(
        line.startswith("slos.yaml:17:8: document 2: freeze policy checkout-freeze: scope: wrong: must be")
        for line in lines
    ), lines
    assert [field for field, _ in the_wrong(report)] == ["trigger_percent", "scope", "x"]
    assert lines[-1] == "slos.yaml: 1 SLO, 0 freeze policies (1 read, 3 wrong)"


def test_every_rule_that_is_broken_is_a_finding_of_its_own() -> None:
    broken = changed(changed(CHECKOUT, "window_days: 28", "window_days: 0"), "status =", "state =")
    broken = changed(broken, "indicator:", "description: ''\nindicator:\n  group_by: nothing")
    told = the_wrong(read(broken, "slos.yaml"))
    assert [field for field, _ in told] == ["indicator.group_by", "indicator.good", "window_days"]


def test_one_id_stands_once() -> None:
    report = read("---\n".join([CHECKOUT, FREEZE, CHECKOUT, FREEZE]), "slos.yaml")
    assert len(report.definitions) == len(report.policies) == 1
    assert the_wrong(report) == [
        ("slo_id", "stands twice in this file"),
        ("policy_id", "stands twice in this file"),
    ]


def test_many_problems_are_cut() -> None:
    many = CHECKOUT + "".join(f"field{n}: 1\n" for n in range(100))
    told = the_wrong(read(many, "slos.yaml"))
    assert len(told) == 21
    assert told[0] == ("", "and 80 more") or ("", "and 80 more") in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("---\n---\n", "it is empty"),
        ("a: [1", "it is not YAML"),
        ("a: &x 1\nb: *x\n", "anchors and aliases are not read"),
        ("a: 1\na: 2\n", "stands twice in one mapping"),
        ("- 1\n", "a document must be a mapping"),
        ("{", "it is not JSON"),
        ("a: \ud800", "half of one"),
        ("a: \0", "it is not YAML"),
        ('{"a": ' + "[" * 50 + "]" * 50 + "}", "nested too deeply"),
        ("x" * (files.FILE_BYTES_MAX + 1), "bytes; at most"),
        ("-\n" * (files.VALUES_MAX + 1), "values: divide it"),
        ('{"a": [' + "1," * files.VALUES_MAX + "1]}", "values: divide it"),
        ("kind: 1\n---\n" * (files.DOCUMENTS_MAX + 1), "documents; at most"),
    ],
)
def test_what_is_no_file_of_slos(text: str, why: str) -> None:
    report = read(text, "some.yaml")
    assert not report.is_whole
    assert why in report.text()


def test_findings_without_end_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FINDINGS_MAX", 10)
    report = read("1\n---\n" * 30, "some.yaml")
    assert len(report.findings) == 11
    assert report.findings[-1].text == "and 20 more findings: divide the file"


def test_another_kind_is_not_understood_and_said_so() -> None:
    text = "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\n"
    [finding] = read(text, "pyrra.yaml").findings
    assert finding.outcome is Outcome.NOT_UNDERSTOOD
    assert finding.subject == "pyrra.dev/v1alpha1 ServiceLevelObjective"
    assert "`apiVersion: openslo/v1`" in finding.text


def test_a_report_as_json() -> None:
    report = json.loads(read(CHECKOUT, "slos.yaml").json())
    assert report["definitions"][0]["indicator"]["source"] == "TICKETS"
    assert report["findings"] == [
        {
            "outcome": "READ",
            "text": "as it is written",
            "document": 1,
            "subject": "SLO checkout-deploys",
            "field": "",
            "line": 1,
            "column": 1,
            "slo_ids": ["checkout-deploys"],
        }
    ]


def test_what_is_at_its_default_is_not_written() -> None:
    report = read(CHECKOUT, "slos.yaml")
    text = write(report.definitions).text
    assert text.startswith("---\nkind: Slo\nslo_id: checkout-deploys\n")
    assert "enabled" not in text and "parts" not in text
