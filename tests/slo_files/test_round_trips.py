"""What is written is read as the same; and whatever is read, nothing is raised."""

import json

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.freeze_policy import Policy
from neural_hive.aggregates.slo import Definition, check
from neural_hive.slo_files import Form, Outcome, read, write
from tests.slo_files.made import definitions, policies


@settings(deadline=None, max_examples=60)
@given(definitions(), policies())
def test_our_own_form_says_all(slos: list[Definition], frozen: list[Policy]) -> None:
    for slo in slos:
        check(slo)
    written = write(slos, frozen)
    report = read(written.text, "slos.yaml")
    assert not written.findings
    assert list(report.definitions) == slos, report.text()
    assert list(report.policies) == frozen, report.text()
    assert report.is_whole


@settings(deadline=None, max_examples=60)
@given(definitions())
def test_openslo_says_all_of_slos(slos: list[Definition]) -> None:
    written = write(slos, form=Form.OPENSLO)
    report = read(written.text, "openslo.yaml")
    assert not written.findings
    assert list(report.definitions) == slos, report.text()
    assert {finding.outcome for finding in report.findings} == {Outcome.READ}
    again = write(report.definitions, form=Form.OPENSLO)
    assert again.text == written.text


@settings(deadline=None, max_examples=50)
@given(definitions())
def test_json_is_read_as_yaml_is(slos: list[Definition]) -> None:
    for form in Form:
        documents = list(yaml.safe_load_all(write(slos[:1], form=form).text))
        assert list(read(json.dumps(documents[0]), "slo.json").definitions) == slos[:1]


_WORDS = st.sampled_from(
    [
        *(
            "kind",
            "Slo",
            "FreezePolicy",
            "SLO",
            "SLI",
            "apiVersion",
            "openslo/v1",
            "metadata",
            "name",
            "spec",
        ),
        *("objectives", "target", "indicator", "ratioMetric", "good", "total", "metricSource", "query"),
        *(
            "type",
            "Prometheus",
            "timeWindow",
            "duration",
            "1d",
            "groups",
            "rules",
            "alert",
            "expr",
            "up == 0",
        ),
        *("sum(rate(a[5m])) / sum(rate(b[5m])) > 0.1", "labels", "record", "slo_id", "0.9", "true", ""),
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=6),
    max_leaves=20,
)


@settings(deadline=None, max_examples=150)
@given(st.lists(_VALUES, min_size=1, max_size=3))
def test_nothing_is_raised_whatever_is_read(values: list[object]) -> None:
    text = yaml.safe_dump_all(values, allow_unicode=True)
    report = read(text, "some.yaml")
    assert report.findings
    assert json.loads(report.json())["name"] == "some.yaml"
    assert report.text().startswith("some.yaml")


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    report = read(text, "text")
    assert not report.definitions
    assert report.findings
    json.loads(report.json())


def _mangled(text: str, places: list[tuple[int, str]]) -> str:
    for place, put in places:
        at = place % (len(text) + 1)
        text = text[:at] + put + text[at + len(put) // 2 :]
    return text


@settings(deadline=None, max_examples=60)
@given(
    definitions(),
    st.sampled_from(Form),
    st.lists(st.tuples(st.integers(0), st.text(max_size=4)), min_size=1, max_size=3),
)
def test_a_damaged_file_raises_nothing(
    slos: list[Definition], form: Form, places: list[tuple[int, str]]
) -> None:
    report = read(_mangled(write(slos, form=form).text, places), "damaged.yaml")
    json.loads(report.json())
    for slo in report.definitions:
        check(slo)
