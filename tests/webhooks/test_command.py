"""`neural-hive webhooks`: what it refuses before anything is published, and how it keeps secrets."""

import stat
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from neural_hive.cli import build
from neural_hive.commands.webhooks import CannotDo, _keep_secret, _name_of
from neural_hive.connectors.webhook_signing import BadSecret, keys_in, new_secret
from neural_hive.settings import Settings
from neural_hive.system import plan_system

URL = "https://hooks.example/x"


def run(tmp_path: Path, *arguments: str) -> Result:
    line = ["webhooks", *arguments, "--data", str(tmp_path)]
    # Nobody listens there: who gets so far would say that Kafka does not answer.
    environment = {"NEURAL_HIVE_KAFKA_BOOTSTRAP": "127.0.0.1:9", "COLUMNS": "200"}
    return CliRunner().invoke(build(line), line, env=environment)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give a URL, or --agents"),
        ((URL, "--agents"), "give a URL, or --agents"),
        ((URL, "--task-type", "SLEEP"), "none of BUILD"),
        ((URL, "--events", "TicketFell"), "there is no event"),
        (("ftp://h/", "--events", "*"), "webhook_url must be"),
        (("https://user:pw@h/",), "webhook_url must be"),
        ((URL, "--id", "../x"), "id must be"),
        (("--agents", "--events", "*"), "without a URL only"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    result = run(tmp_path, "subscribe", *arguments)
    assert result.exit_code != 0 and reason in f"{result.output}{result.exception}"
    assert not (tmp_path / "webhooks").exists(), "nothing is left of it"


def test_a_bad_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password")
    result = run(tmp_path, "subscribe", URL, "--secret-file", str(tmp_path / "secret"))
    assert isinstance(result.exception, BadSecret) and "whsec_" in str(result.exception)
    assert "password" not in str(result.exception)


def test_a_secret_is_made_once_and_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    file = _keep_secret(settings, "s", None)
    made = keys_in(file)
    assert _keep_secret(settings, "s", None) == file and keys_in(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    given = tmp_path / "given"
    given.write_text(f"{new_secret()}\n{new_secret()}\n")
    assert keys_in(_keep_secret(settings, "s", given)) == keys_in(given)
    assert [found.name for found in file.parent.iterdir()] == ["s"]


def test_names_follow_from_urls() -> None:
    one, other = _name_of(URL), _name_of(URL + "2")
    assert len({one, other, _name_of(URL, "Ticket*"), _name_of(URL, "Workflow*")}) == 4
    assert one != other and one == _name_of(URL) and one.startswith("hooks.example-")
    assert _name_of("https://[::1]:8443/x").startswith("---1--8443-")


def test_nobody_answers(tmp_path: Path) -> None:
    result = run(tmp_path, "unsubscribe", "s")
    assert result.exit_code != 0 and "Kafka at 127.0.0.1:9 does not answer" in str(result.exception)
    assert issubclass(CannotDo, Exception)


@pytest.mark.parametrize("systems", [("orchestrator",), ("orchestrator", "webhooks")])
def test_up_starts_a_sender_where_webhooks_are_wanted(tmp_path: Path, systems: tuple[str, ...]) -> None:
    given = {"kafka_bootstrap": "127.0.0.1:9", "schema_registry_url": "http://127.0.0.1:9"}
    plan = plan_system(Settings(data=tmp_path, systems=systems, metrics_port=31_000, **given))
    names = [service.name for stage in plan.stages for service in stage.services]
    assert ("webhook-sender" in names) == ("webhooks" in systems)
