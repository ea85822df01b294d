"""A real Alertmanager: alerts are read, silences made, changed and ended."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neural_hive.connectors.alertmanager import Alert, Alertmanager, Matcher, NoSuchSilence, Silence
from neural_hive.connectors.json_api import ApiAway, ApiRefused, JsonApi
from tests.prometheus.servers import alertmanager, needs_alertmanager
from tests.webhooks.receiver import receiving, says

BEGIN = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
OTHER_ID = "6f1a3b0e-2a0f-4f0e-9f43-6d1d5f1f0000"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JsonApi]:
    """A server with three alerts."""
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as url:
        found = JsonApi("Alertmanager", url)
        alerts = [
            {"labels": {"alertname": "Burns", "slo": slo, "severity": severity}, "startsAt": BEGIN}
            for slo, severity in (("shop", "page"), ("shop", "ticket"), ("search", "page"))
        ]
        assert found.ask("POST", "/api/v2/alerts", json=alerts).status == 200
        yield found
        found.close()


@pytest.fixture
def server(api: JsonApi) -> Iterator[Alertmanager]:
    """The server; its silences are ended."""
    found = Alertmanager(api)
    yield found
    for silence in found.silences():
        if silence.status.state != "expired":
            found.end_silence(silence.id)


def labels(alerts: list[Alert]) -> list[tuple[str, str]]:
    return sorted((alert.labels["slo"], alert.labels["severity"]) for alert in alerts)


def the(server: Alertmanager, silence_id: str) -> Silence:
    [found] = [silence for silence in server.silences() if silence.id == silence_id]
    return found


@needs_alertmanager
def test_alerts_that_fit(server: Alertmanager) -> None:
    assert labels(server.alerts()) == [("search", "page"), ("shop", "page"), ("shop", "ticket")]
    assert labels(server.alerts(['slo="shop"'])) == [("shop", "page"), ("shop", "ticket")]
    assert labels(server.alerts(['slo=~"s.*"', 'severity!="ticket"'])) == [
        ("search", "page"),
        ("shop", "page"),
    ]
    assert server.alerts(['slo="none"']) == []
    assert server.alerts(receiver="somebody") == []
    [alert] = server.alerts(['slo="search"'], receiver="nobody")
    assert (alert.starts_at, alert.status.silenced_by) == (BEGIN, ()) and alert.fingerprint
    with pytest.raises(ApiRefused, match="400"):
        server.alerts(["no filter"])


@needs_alertmanager
def test_a_silence_from_its_making_to_its_end(server: Alertmanager) -> None:
    matchers = [Matcher("slo", "shop"), Matcher("severity", "page|ticket", is_regex=True)]
    made = server.silence(matchers, BEGIN, BEGIN + HOUR, "sla", "deploys are frozen")
    found = the(server, made)
    assert (found.created_by, found.comment, found.status.state) == ("sla", "deploys are frozen", "active")
    assert (found.starts_at >= BEGIN, found.ends_at) == (True, BEGIN + HOUR)
    assert sorted(found.matchers, key=lambda m: m.name, reverse=True) == matchers
    assert labels(server.alerts(silenced=False)) == [("search", "page")]
    silenced = server.alerts(['slo="shop"'])
    assert [alert.status.silenced_by for alert in silenced] == [(made,), (made,)]
    assert labels(server.alerts(active=False)) == [("shop", "page"), ("shop", "ticket")]
    longer = server.silence(matchers, found.starts_at, BEGIN + 2 * HOUR, "sla", "longer", made)
    assert (longer, the(server, longer).ends_at) == (made, BEGIN + 2 * HOUR)
    server.end_silence(made)
    assert the(server, made).status.state == "expired"
    assert len(server.alerts(silenced=False)) == 3
    server.end_silence(made)
    assert the(server, made).status.state == "expired"


@needs_alertmanager
def test_all_but_some(server: Alertmanager) -> None:
    made = server.silence([Matcher("slo", "shop", is_equal=False)], BEGIN, BEGIN + HOUR, "sla", "x")
    assert labels(server.alerts(silenced=False)) == [("shop", "page"), ("shop", "ticket")]
    assert [silence.id for silence in server.silences(['slo!="shop"'])] == [made]


@needs_alertmanager
def test_what_makes_no_sense_is_refused(server: Alertmanager) -> None:
    with pytest.raises(ApiRefused, match="400"):
        server.silence([Matcher("slo", "shop")], BEGIN, BEGIN - HOUR, "sla", "ends before it begins")
    with pytest.raises(ApiRefused, match="422"):
        server.silence([], BEGIN, BEGIN + HOUR, "sla", "silences all")
    with pytest.raises(ApiRefused, match="404"):
        server.silence([Matcher("slo", "shop")], BEGIN, BEGIN + HOUR, "sla", "x", OTHER_ID)
    with pytest.raises(ValueError, match="time zone"):
        server.silence([Matcher("slo", "shop")], datetime(2026, 5, 4), BEGIN + HOUR, "sla", "x")  # noqa: DTZ001 (that is the mistake)
    for silence_id in (OTHER_ID, "../alerts", ""):
        with pytest.raises(NoSuchSilence):
            server.end_silence(silence_id)


def test_other_answers() -> None:
    with receiving() as receiver:
        asked = Alertmanager(JsonApi("Alertmanager", receiver.url))
        receiver.answer = lambda request: says(502, body=b"bad gateway")
        with pytest.raises(ApiAway, match="502: bad gateway"):
            asked.alerts()
        receiver.answer = lambda request: says(200, body=b"<html>")
        with pytest.raises(ApiAway, match="not as Alertmanager does"):
            asked.silences()
        for status, body, error in (
            (404, b'"silence not found"', NoSuchSilence),
            (404, b"", NoSuchSilence),
            (404, b"404 page not found", ApiRefused),
            (500, b'"disk full"', ApiAway),
        ):
            receiver.answer = lambda request, told=(status, body): says(told[0], body=told[1])
            with pytest.raises(error):
                asked.end_silence(OTHER_ID)
        asked.close()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ApiAway):
        Alertmanager(JsonApi("Alertmanager", "http://127.0.0.1:9")).alerts()
