"""VALIDATE by policies in Rego: what they deny, and that whatever cannot be judged has failed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neural_hive.connectors.executors.documents import CannotJudge, read_json
from tests.worker.executing import Bench, write
from tests.worker.judging import Judge, judging

REPLICAS = """\
package main
import rego.v1
deny contains text if {
    input.replicas < 2
    text := sprintf("%s has %d replicas", [input.name, input.replicas])
}
deny contains "no owner" if not input.owner
default small := false
small if input.replicas < 10
"""


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with judging() as judge:
        yield judge


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def validate(bench: Bench, given: Any, **parameters: str) -> Any:
    files = {"main.rego": REPLICAS, "main_test.rego": "nonsense", "input.json": json.dumps(given)}
    folder = write(bench.folder / "policies", files)
    whole = {"executor": "rego", "policy": str(folder), "input": str(folder / "input.json")} | parameters
    return bench.run("VALIDATE", whole)


def test_what_is_denied_fails_with_the_violations(bench: Bench) -> None:
    report = validate(bench, {"name": "shop", "replicas": 1})
    assert (report.ended, report.exit_code) == ("FAILED", 1)
    assert report.error.endswith("2 violations of the policy; policy.json names them")
    violations = ["no owner", "shop has 1 replicas"]
    assert report.outputs["violations"] == "2"
    assert json.loads(report.outputs["first"]) == violations
    kept = json.loads(bench.kept(report, "policy.json"))
    assert kept == {"policies": ["main.rego"], "violations": violations}


def test_what_is_not_denied_completes(bench: Bench) -> None:
    report = validate(bench, {"name": "shop", "replicas": 3, "owner": "me"})
    assert report.ended == "COMPLETED", report.error
    assert report.outputs == {"violations": "0", "first": "[]"}


def test_a_rule_that_must_be_true(bench: Bench) -> None:
    small = {"name": "shop", "replicas": 1}
    assert validate(bench, small, allow="data.main.small").ended == "COMPLETED"
    both = validate(bench, small, allow="data.main.small", query="data.main.deny")
    assert both.outputs["violations"] == "2"
    large = validate(bench, {"name": "shop", "replicas": 10}, allow="data.main.small")
    assert large.ended == "FAILED"
    assert "- data.main.small is not true" in large.error


def test_policies_and_input_may_be_artifacts_and_data_is_theirs(bench: Bench) -> None:
    policies = bench.archive(
        "policies.tar", {"lib/names.rego": "package names\ngood(n) if n in data.known\n"}
    )
    (bench.folder / "input.json").write_text('{"name": "shop"}')
    kept = bench.store.put(bench.folder / "input.json")
    main = 'package main\nimport data.names\ndeny contains "unknown" if not names.good(input.name)\n'
    files = write(bench.folder / "own", {"main.rego": main, "data.json": '{"known": ["shop"]}'})
    parameters = {
        "executor": "rego",
        "policy": policies.uri,
        "policy.own": str(files / "main.rego"),
        "data": str(files / "data.json"),
        "input": kept.uri,
    }
    given = (policies, type(policies)("input.json", kept.uri, kept.sha256, kept.size_bytes))
    report = bench.run("VALIDATE", parameters, inputs=given)
    assert report.ended == "COMPLETED", report.error
    (files / "data.json").write_text('{"known": []}')
    assert json.loads(bench.run("VALIDATE", parameters, inputs=given).outputs["first"]) == ["unknown"]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"query": "data.main.denied"}, "data.main.denied is undefined"),
        ({"query": "data.other.deny"}, "data.other.deny is undefined"),
        ({"query": "data.main.deny; true"}, "is no reference to a rule"),
        ({"input": "/no/such.json"}, "the parameter input names no file"),
        ({"policy": "/no/such.rego"}, "there is no /no/such.rego"),
        ({"polity": "x"}, "there is no parameter 'polity'"),
        ({"allow": "data.main.large"}, "data.main.large is undefined"),
    ],
)
def test_what_cannot_be_judged_has_failed(bench: Bench, parameters: dict[str, str], told: str) -> None:
    report = validate(bench, {"name": "shop", "replicas": 3, "owner": "me"}, **parameters)
    assert report.ended == "FAILED"
    assert told in report.error
    assert "Traceback" not in report.error


def test_a_policy_that_is_broken_has_failed(bench: Bench) -> None:
    folder = write(bench.folder / "broken", {"a.rego": "package main\ndeny contains x if {"})
    report = validate(bench, {}, policy=str(folder / "a.rego"))
    assert (report.ended, report.exit_code) == ("FAILED", 1)
    assert report.error.endswith("a.rego is not Rego: this is unclosed; this is unclosed")
    assert "no .rego file" in validate(bench, {}, policy=str(write(bench.folder / "x", {"a.txt": ""}))).error


@pytest.mark.parametrize(
    ("source", "told"),
    [
        # Open Policy Agent refuses these, or says so; the engine by itself would say that nothing is denied.
        (
            'deny contains "x" if inptu.replicas < 2',
            "policy.rego:3: inptu.replicas < 2: a variable that nothing",
        ),
        ('deny contains "x" if { input.b; not cuont }', "a variable that nothing sets"),
        ('deny contains "x" if regex.match("(?i)a", input.a)', "the evaluation failed: error parsing regexp"),
        ('deny contains "x" if { input.c; data.lib.bad(1) }', "there is no function data.lib.bad"),
        ('deny contains "x" if { input.c; http.send({}) }', "there is no function http.send"),
        ("deny contains x if x := opa.runtime()", "opa.runtime is not allowed here"),
        ('deny contains "x" if input.a == "\\u00e4"', "write the characters themselves"),
        ('deny contains "x" if to_number(input.a) > 1', "the evaluation failed: "),
        ("v := 1 if input.a\nv := 2 if input.a\ndeny contains v", "the evaluation failed: "),
        ('f(n) := f(n + 1)\ndeny contains "x" if f(1)', "Recursion detected"),
        ("deny contains x if { x := input.a } else := 3", "cannot be compiled"),
        ("deny := input.nothing", "data.main.deny is undefined"),
    ],
)
def test_what_the_engine_would_let_pass_is_refused(judge: Judge, source: str, told: str) -> None:
    with pytest.raises(CannotJudge) as refused:
        judge(source, {"a": "b", "replicas": 1})
    assert told in str(refused.value)


@pytest.mark.parametrize("text", ["two\nlines", 'a "word"', "C:\\", "\x01"])
def test_texts_that_the_engine_keeps_escaped(judge: Judge, text: str) -> None:
    given = {"deep": [{"text": text}], "list": [1, 2, 3]}
    same = f"deny contains input.deep[0].text if input.deep[0].text == {json.dumps(text)}"
    assert judge(same, given) == [text]
    for expression in ("count(input.list) > 2", "regex.match(`a.b`, input.x)", 'contains(input.x, "n")'):
        with pytest.raises(CannotJudge, match=r"input\.deep\[0\]\.text holds quotes"):
            judge(f'deny contains "x" if {expression}', given)
    assert judge('deny contains "x" if count(input.list) > 2', {"list": [1, 2, 3]}) == ["x"]


@pytest.mark.parametrize(
    "value", [2**70, -(2**70), 2**63, 9007199254740993, 0.1, 1.5, "ä😀", "raw", None, True, [], {}]
)
def test_values_come_back_as_they_went_in(judge: Judge, value: Any) -> None:
    assert judge("deny contains input.a", {"a": value}) == [value]
    assert judge("deny contains 1 if input.a == data.a", {"a": value}, a=value) == [1]
    if isinstance(value, int) and not isinstance(value, bool):
        assert judge("deny contains 1 if input.a > 100", {"a": value}) == ([1] if value > 100 else [])


def test_a_text_between_backquotes_is_the_same_text(judge: Judge) -> None:
    assert judge("deny contains 1 if input.a == `raw`", {"a": "raw"}) == [1]
    assert judge("deny contains 1 if regex.match(`^\\w+$`, input.a)", {"a": "raw"}) == [1]


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "[NaN]", "[1e300]", "[1", "", b"\xff", '"\\ud800"'])
def test_a_document_that_can_be_read_in_two_ways_is_refused(text: str | bytes) -> None:
    with pytest.raises(CannotJudge, match="the input cannot be read as JSON"):
        read_json(text if isinstance(text, bytes) else text.encode(), "the input")


@pytest.mark.parametrize(
    ("source", "told"), [("deny := true", 1), ("deny := {}", 0), ("deny[x] { x := 1 }", 1)]
)
def test_other_forms_of_violations(bench: Bench, source: str, told: int) -> None:
    folder = write(bench.folder / "form", {"a.rego": f"package main\n{source}\n"})
    assert validate(bench, {}, policy=str(folder)).outputs["violations"] == str(told)
    write(folder, {"a.rego": 'package main\ndeny := "text"\n'})
    assert "must give a set, list, object" in validate(bench, {}, policy=str(folder)).error
