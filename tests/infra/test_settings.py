"""Settings: what wins, what is refused, what a child process gets."""

from pathlib import Path

import pytest

from neural_hive.settings import BadSettings, load_settings


def test_overrides_win_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('agent_id = "file"\npartitions = 12\nreplication = 3\n')
    monkeypatch.setenv("NEURAL_HIVE_AGENT_ID", "environment")
    monkeypatch.setenv("NEURAL_HIVE_PARTITIONS", "6")
    settings = load_settings(file, agent_id="option", data=tmp_path, running=False)
    assert (settings.agent_id, settings.partitions, settings.replication) == ("option", 6, 3)


def test_yaml_files_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("partitions: 12\nsystems: [orchestrator]\n")
    assert load_settings(file, data=tmp_path, running=False).partitions == 12


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.toml", "partitons = 4", "there is no setting partitons"),
        ("a.toml", 'partitions = "many"', "partitions .*valid integer"),
        ("a.toml", "partitions = ", "a.toml is not valid"),
        ("a.yaml", "- 1", "must hold `name: value` pairs"),
        ("a.yaml", "a: [", "a.yaml is not valid"),
    ],
)
def test_a_wrong_file_is_refused_with_its_reason(tmp_path: Path, name: str, text: str, reason: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(BadSettings, match=reason):
        load_settings(file, data=tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"cannot read settings file .*No such file"):
        load_settings(tmp_path / "none.toml")


def test_a_child_process_gets_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        data=tmp_path,
        running=False,
        kafka_sasl_password="s3cret",
        systems=("a", "b"),
        kafka_security_protocol="SASL_SSL",
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    again = load_settings(running=False)
    assert again == settings
    assert again.kafka_config()["sasl.password"] == "s3cret"
    assert "s3cret" not in repr(again)


def test_the_embedded_engines_passwords_are_found(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, running=False)
    assert settings.password_of("ingest") == ""
    settings.clickhouse_folder.mkdir()
    (settings.clickhouse_folder / "ingest.password").write_text("kept\n")
    assert settings.password_of("ingest") == "kept"
    assert (
        load_settings(data=tmp_path, clickhouse_password="given", running=False).password_of("ingest")
        == "given"
    )


def test_a_client_is_not_sent_to_a_system_that_it_did_not_name(tmp_path: Path) -> None:
    """A default address would reach whatever else listens there."""
    with pytest.raises(BadSettings, match="nothing runs on"):
        load_settings(data=tmp_path)
    assert load_settings(data=tmp_path, kafka_bootstrap="elsewhere:9092").kafka_bootstrap == "elsewhere:9092"
