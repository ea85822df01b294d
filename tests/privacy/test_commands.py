"""`erase`, `subject` and `--reveal` where something is wrong: one line that says what to do, and nothing destroyed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from neural_hive import erasing
from neural_hive.cli import build
from neural_hive.connectors.kafka_admin import ensure_topics
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.key_folder import KeyFolder
from neural_hive.connectors.personal import Personal
from neural_hive.connectors.subject_keys import Erased, SubjectKeysUnusable, UnknownSubject
from neural_hive.erasing import Eraser, NotAnswered
from neural_hive.replay.reader import KafkaSource
from neural_hive.schemas.codec import decode, encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.schemas.topics import TOPICS

NOWHERE = "127.0.0.1:1"
NAME = "Wilhelmina Ostrogoth"


def run(folder: Path, *arguments: str, stdin: str | None = None) -> Result:
    environment = {
        "NEURAL_HIVE_KAFKA_BOOTSTRAP": NOWHERE,
        "NEURAL_HIVE_SUBJECT_KEYS": str(folder / "keys"),
        "COLUMNS": "200",
    }
    return CliRunner().invoke(build(list(arguments)), list(arguments), env=environment, input=stdin)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give the name of a person or a subject id"),
        ((NAME, "--from-log"), "give the name of a person or a subject id"),
        ((NAME,), "give a reason"),
        ((NAME, "--reason", " "), "give a reason"),
        ((NAME, "--reason", "x" * 1_001), "give a reason of 1 to 1,000 characters"),
        ((NAME, "--reason", f"{NAME.lower()} has asked"), "say it without the name"),
        (("x" * 129, "--reason", "why"), "at most 128 bytes"),
    ],
)
def test_what_cannot_be_asked_for_ends_with_2(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    KeyFolder(tmp_path / "keys").made(NAME)
    refused = run(tmp_path, "erase", *arguments)
    assert (refused.exit_code, why in refused.output) == (2, True), refused.output
    assert not arguments or arguments[0] not in refused.output
    assert KeyFolder(tmp_path / "keys").subject_of(NAME)


def test_who_is_not_known_is_told_so(tmp_path: Path) -> None:
    for name in ("Nobody Known", "0" * 32):
        assert isinstance(run(tmp_path, "erase", name, "--reason", "why").exception, UnknownSubject)
    assert isinstance(run(tmp_path, "subject", NAME).exception, UnknownSubject)
    made = KeyFolder(tmp_path / "keys").made(NAME)
    assert run(tmp_path, "subject", "-", stdin=f"{NAME}\n").stdout.strip() == made.subject_id
    (tmp_path / "keys").chmod(0o755)
    assert isinstance(run(tmp_path, "subject", NAME).exception, SubjectKeysUnusable)


def test_a_format_that_names_would_break_is_refused(tmp_path: Path) -> None:
    refused = run(tmp_path, "query", "SELECT 1", "--format", "CSV", "--reveal")
    assert (refused.exit_code, "cannot be used with the format CSV" in refused.output) == (2, True)
    refused = run(tmp_path, "query", "SELECT 1 FORMAT Native", "--reveal")
    assert "cannot be used with the format Native" in refused.output


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of its own: the topics have fixed names."""
    with EmbeddedKafka(tmp_path_factory.mktemp("privacy-kafka")) as kafka:
        topics = [topic for topic in TOPICS.values() if topic.name.startswith("privacy.")]
        ensure_topics(kafka.bootstrap, topics, 1, 1)
        yield kafka


class Answering(KafkaSource):
    """The log; as a processor would, it answers each command once it `works`."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.works = False

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        commands = [r for batch in super().batches("privacy.commands", 0, 0, self._end()) for r in batch]
        yield [_event(record) for record in commands] if self.works else []

    def _end(self) -> int:
        return self.ranges("privacy.commands")[0][1]


def _event(command: Record) -> Record:
    asked = decode(command.value or b"", "message").payload
    envelope = Envelope(
        "SubjectErased", "subject", 1, "logic", "privacy.0", "e", asked["subject_id"], 1, 1, "", "m",
        "0" * 32, "0" * 16, 1, "privacy.commands", 0, command.offset, NO_HASH,
    )  # fmt: skip
    value = encode_event(envelope, {**asked, "erased_at": 7})
    return Record("privacy.subjects", 0, command.offset, 0, None, value, ())


def test_the_log_comes_first(broker: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer: nothing is destroyed. Then whatever ended is ended by the same call, and asked for once."""
    kafka = {"bootstrap.servers": broker.bootstrap}
    keys, source = KeyFolder(tmp_path / "keys"), Answering(kafka)
    eraser, made = Eraser(kafka, source, Personal(keys)), keys.made(NAME)
    with pytest.raises(NotAnswered, match="give the command again"):
        eraser.erase(NAME, "why", by=NAME, timeout_s=0.5)
    assert keys.key_of(made.subject_id) == made.key

    source.works = True
    with monkeypatch.context() as patched:

        def full(subject_id: str) -> bool:
            raise SubjectKeysUnusable("the disk is gone")

        patched.setattr(keys, "erase", full)
        with pytest.raises(SubjectKeysUnusable):
            eraser.erase(NAME, "why")
    assert keys.key_of(made.subject_id) == made.key, "the log says so already, the key is still there"

    outcome = eraser.erase(NAME, "why")
    assert (outcome.subject_id, outcome.was_there) == (made.subject_id, True)
    with pytest.raises(Erased):
        keys.key_of(made.subject_id)
    assert not eraser.erase(NAME, "why").was_there
    assert not eraser.erase(made.subject_id, "why").was_there
    assert source._end() == 1, "one command, however often it was called"
    [told] = erasing.erasures(source)
    assert (told.subject_id, told.reason, told.erased_at) == (made.subject_id, "why", 7)

    restored = KeyFolder(tmp_path / "restored")
    monkeypatch.setattr("os.urandom", lambda n: bytes.fromhex(made.subject_id) if n == 16 else bytes(n))
    assert restored.made(NAME).subject_id == made.subject_id, "a copy of the keys has brought it back"
    [again] = Eraser(kafka, source, Personal(restored)).erase_again()
    assert (again.subject_id, again.was_there) == (made.subject_id, True)
    with pytest.raises(Erased):
        restored.key_of(made.subject_id)
