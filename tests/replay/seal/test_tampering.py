"""Every way to change a sealed log is found, and its place named: also by who holds the sealer's key."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.schema_log import TOPIC as SCHEMAS
from neural_hive.replay.checks.seal import Sealing, check_seal
from neural_hive.replay.report import Check, Findings, SealSummary
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.ledger import SealFile
from neural_hive.replay.seal.note import WITNESS, PrivateKey
from neural_hive.replay.seal.seal import CHECKPOINTS, SEALED, WITNESSED, WITNESSES, Seal
from neural_hive.replay.seal.trees import Trees
from neural_hive.replay.seal.witness import Witness, WitnessRefused
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from tests.replay.seal.sealing import KEY, T0, Log, MemorySource, edited, records, sealed_in_steps, small_log

WITNESS_KEY = PrivateKey.make("example.com/witness", WITNESS)
TOPICS = ("events", "inputs", SCHEMAS)


def message(message_type: str, payload: dict[str, object], topic: str, offset: int) -> Record:
    header = Header(str(offset), message_type, T0, "log", "log", "", "a" * 32, "b" * 16, "test")
    return Record(topic, 0, offset, T0 // 1000, KEY.name.encode(), encode_message(header, payload), ())


def with_seals(log: Log, seals: list[Seal], notes: Sequence[str]) -> Log:
    """The log, beside it the topics of checkpoints and witnesses."""
    return {
        **log,
        (CHECKPOINTS, 0): [message(SEALED, seal.payload, CHECKPOINTS, n) for n, seal in enumerate(seals)],
        (WITNESSES, 0): [
            message(WITNESSED, {"note": note, "witness": "w"}, WITNESSES, n) for n, note in enumerate(notes)
        ],
    }


def checked(
    log: Log,
    seals: list[Seal],
    file: Path,
    notes: Sequence[str] = (),
    *,
    has_witness: bool = False,
) -> tuple[Findings, SealSummary | None]:
    findings, source = Findings(), MemorySource(with_seals(log, seals, notes))
    witnesses = (WITNESS_KEY.public,) if has_witness else ()
    return findings, check_seal(source, source, Sealing(KEY.public, file, witnesses, TOPICS), findings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file with the seals of the log as it was."""
    SealFile(tmp_path / "seals").append(sealed_in_steps(small_log()))
    return tmp_path / "seals"


def witnessed(seals: list[Seal], folder: Path) -> list[str]:
    """What a witness says of these seals, each as it comes."""
    folder.mkdir(exist_ok=True)
    witness = Witness(WITNESS_KEY, KEY.public, folder)
    return [note.content for seal in seals if (note := witness.see([seal]))]


def test_a_log_as_it_was_sealed(file: Path, tmp_path: Path) -> None:
    log, seals = small_log(), sealed_in_steps(small_log())
    log["events", 1] = records("events", 1, 12)  # three more than are sealed
    findings, summary = checked(log, seals, file, witnessed(seals, tmp_path / "w"), has_witness=True)
    assert findings.kept == []
    assert findings.examined[Check.SEAL] == 46
    assert findings.examined[Check.WITNESS] == 4
    assert summary is not None
    assert (summary.checkpoints, summary.records, summary.unsealed_records) == (4, 46, 3)
    assert (summary.file, summary.witnessed) == ("agrees", {"example.com/witness": 4})


Change = Callable[[list[Record]], list[Record]]


def _swap(held: list[Record]) -> list[Record]:
    one, other = held[5], held[6]
    two = [edited(other, offset=one.offset), edited(one, offset=other.offset)]
    return [*held[:5], *two, *held[7:]]


def _insert(held: list[Record]) -> list[Record]:
    return [*held[:6], edited(held[5], offset=8, key=b"other"), *held[6:]]


def _without(key: bytes) -> Change:
    return lambda held: [record for record in held if record.key != key]


def _shifted(held: list[Record]) -> list[Record]:
    """Rewritten from one event on, as who can recompute every hash of the events would."""
    return [*held[:9], *(edited(record, value=b"rewritten") for record in held[9:])]


def _edit(number: int, **fields: object) -> Change:
    return lambda held: [*held[:number], edited(held[number], **fields), *held[number + 1 :]]


# The partition events:0 has 23 records; the seals cover the first 5, 11, 17 and 23 of them, to offsets 6, 15, 24, 33.
@pytest.mark.parametrize(
    ("change", "place", "found"),
    [
        pytest.param(_edit(5, value=b"valve 7"), "events:0:7 to 15", "with another root", id="a byte"),
        pytest.param(_edit(0, key=None), "events:0:0 to 6", "with another root", id="a key"),
        pytest.param(_edit(12, headers=()), "events:0:16 to 24", "with another root", id="headers"),
        pytest.param(_edit(22, timestamp_ms=5), "events:0:25 to 33", "with another root", id="append time"),
        pytest.param(lambda held: [*held[:7], *held[8:]], "events:0:7 to 15", "5 records", id="one deleted"),
        pytest.param(_swap, "events:0:7 to 15", "with another root", id="two swapped"),
        pytest.param(_insert, "events:0:7 to 15", "7 records", id="one inserted"),
        pytest.param(
            lambda held: held[:-1],
            "events:0:25 to 33",
            "5 records, the last of them at offset 31",
            id="tail cut",
        ),
        pytest.param(lambda held: held[:8], "events:0:7 to 15", "3 records", id="old copy of the topic"),
        pytest.param(lambda held: [], "events:0:0 to 6", "0 records", id="partition emptied"),
        pytest.param(_without(b"key-1"), "events:0:0 to 6", "4 records", id="aggregate removed"),
        pytest.param(_shifted, "events:0:7 to 15", "with another root", id="chain rewritten"),
    ],
)
def test_a_changed_log_is_found_where_it_was_changed(
    file: Path, change: Change, place: str, found: str
) -> None:
    log = small_log()
    log["events", 0] = change(log["events", 0])
    findings, _ = checked(log, sealed_in_steps(small_log()), file)
    [finding] = findings.kept
    assert (finding.check, finding.place) == (Check.SEAL, place)
    assert found in finding.found
    assert "as checkpoint" in finding.expected


def test_a_topic_that_is_gone(file: Path) -> None:
    log = {place: held for place, held in small_log().items() if place[0] != "inputs"}
    findings, _ = checked(log, sealed_in_steps(small_log()), file)
    [finding] = findings.kept
    assert (finding.place, finding.expected) == ("inputs:0", "14 sealed records")


def rewritten() -> Log:
    log = small_log()
    log["events", 0] = _edit(7, value=b"another")(log["events", 0])
    return log


def test_who_holds_the_sealers_key_too_is_found_by_the_file(file: Path) -> None:
    """Log and topic rewritten with right hashes and signatures."""
    findings, _ = checked(rewritten(), sealed_in_steps(rewritten()), file)
    [finding] = findings.kept
    assert (finding.check, finding.place) == (Check.SEAL, f"{CHECKPOINTS} checkpoint 2")
    assert "as" in finding.expected and finding.found.startswith("root ")


def test_who_rewrites_the_file_too_is_found_by_the_witness(tmp_path: Path) -> None:
    notes = witnessed(sealed_in_steps(small_log()), tmp_path / "w")
    forged = sealed_in_steps(rewritten())
    file = tmp_path / "seals"
    SealFile(file).append(forged)
    findings, _ = checked(rewritten(), forged, file)
    assert findings.kept == []  # nothing here knows better
    findings, _ = checked(rewritten(), forged, file, notes, has_witness=True)
    assert {finding.check for finding in findings.kept} == {Check.WITNESS}
    assert [finding.place for finding in findings.kept] == ["checkpoint 2", "checkpoint 3", "checkpoint 4"]
    assert "as example.com/witness has seen it" in findings.kept[0].expected


def test_an_old_copy_of_everything_is_found_by_the_witness(tmp_path: Path) -> None:
    seals = sealed_in_steps(small_log())
    notes, file = witnessed(seals, tmp_path / "w"), tmp_path / "seals"
    SealFile(file).append(seals[:2])
    old = {place: held[: len(held) * 2 // 4] for place, held in small_log().items()}
    findings, _ = checked(old, seals[:2], file)
    assert findings.kept == []
    findings, _ = checked(old, seals[:2], file, notes, has_witness=True)
    assert [f.place for f in findings.kept] == ["checkpoint 3", "checkpoint 4"]
    assert findings.kept[0].found == "2 checkpoints"


def test_checkpoints_cut_from_the_topic_and_from_the_file(file: Path, tmp_path: Path) -> None:
    seals = sealed_in_steps(small_log())
    findings, summary = checked(small_log(), seals[:2], file)
    [finding] = findings.kept
    assert (finding.place, finding.found) == (CHECKPOINTS, "only 2")
    assert summary is not None and summary.checkpoints == 4  # the log is compared with all of them
    SealFile(tmp_path / "short").append(seals[:3])
    findings, _ = checked(small_log(), seals, tmp_path / "short")
    assert [(f.place, f.found) for f in findings.kept] == [(str(tmp_path / "short"), "3 of them")]


def test_forged_and_foreign_checkpoints(file: Path) -> None:
    seals = sealed_in_steps(small_log())
    forged = msgspec.structs.replace(seals[3], sealed_at=1)
    findings, _ = checked(small_log(), [*seals[:3], forged], file)
    assert findings.kept[0].place == f"{CHECKPOINTS} checkpoint 4"
    findings, _ = checked(small_log(), [seals[0], seals[0], *seals[1:]], file)
    assert findings.kept == []  # published twice


def test_two_witnesses_that_were_shown_two_logs(tmp_path: Path, file: Path) -> None:
    """Each log is right in itself: only together they show that there are two."""
    one, other = sealed_in_steps(small_log()), sealed_in_steps(rewritten())
    notes = witnessed(other, tmp_path / "other")
    findings, _ = checked(small_log(), one, file, notes, has_witness=True)
    assert [f.place for f in findings.kept] == ["checkpoint 2", "checkpoint 3", "checkpoint 4"]


def test_a_witness_refuses_a_fork_and_keeps_the_evidence(tmp_path: Path) -> None:
    seals, forged = sealed_in_steps(small_log()), sealed_in_steps(rewritten())
    for shown in ([*seals[:2], forged[2]], [*seals[:2], forged[1]]):
        folder = tmp_path / shown[-1].note[-9:-3].encode().hex()
        folder.mkdir()
        witness = Witness(WITNESS_KEY, KEY.public, folder)
        assert witness.see(shown[:2]) is not None
        again = Witness(WITNESS_KEY, KEY.public, folder)  # it remembers
        with pytest.raises(WitnessRefused, match="are kept in"):
            again.see(shown[2:])
        [evidence] = folder.glob("*.refused")
        assert shown[-1].note in evidence.read_text() and seals[1].note in evidence.read_text()


def test_a_witness_takes_no_foreign_or_old_checkpoint_and_does_not_forget(tmp_path: Path) -> None:
    seals = sealed_in_steps(small_log())
    witness = Witness(WITNESS_KEY, KEY.public, tmp_path)
    assert witness.see(sealed_in_steps(small_log(), key=WITNESS_KEY)) is None
    note = witness.see(seals[:3])
    assert note is not None and note.signed_at(WITNESS_KEY.public)
    assert witness.see(seals[:3]) is None
    [kept] = tmp_path.glob("*.json")
    kept.write_bytes(kept.read_bytes().replace(b'"size":2', b'"size":3', 1))
    with pytest.raises(WitnessRefused, match="is damaged"):
        Witness(WITNESS_KEY, KEY.public, tmp_path)


def test_a_schema_that_is_edited_or_gone(tmp_path: Path) -> None:
    """Compaction may take what a later record replaces, and nothing else."""
    held = records(SCHEMAS, 0, 12)
    seals = sealed_in_steps({(SCHEMAS, 0): held})
    SealFile(tmp_path / "seals").append(seals)
    last_of_key = {record.key: record.offset for record in held}
    compacted = [record for record in held if record.offset == last_of_key[record.key]]
    for log in (held, compacted, [*held[:1], *held[4:]]):
        findings, _ = checked({(SCHEMAS, 0): log}, seals, tmp_path / "seals")
        assert findings.kept == []
    for log in (compacted[1:], [edited(compacted[0], value=b"x"), *compacted[1:]], held[:-1]):
        findings, _ = checked({(SCHEMAS, 0): log}, seals, tmp_path / "seals")
        assert [f.place.rpartition(":")[0] for f in findings.kept] == [f"{SCHEMAS}:0"]


def test_an_edited_log_that_is_sealed_on_is_found(tmp_path: Path) -> None:
    """The sealer did not notice, and sealed what came later: the first range is named."""
    log = small_log()
    trees = Trees(Chain(KEY.public))
    seals = []
    for number in range(4):
        for record in log["events", 0][number * 5 : number * 5 + 5]:
            trees.take(record)
        seals.append(trees.seal(KEY, T0 + number))
        trees.settle(seals[-1])
    SealFile(tmp_path / "seals").append(seals)
    changed = {("events", 0): _edit(6, value=b"x")(log["events", 0])}
    findings, _ = checked(changed, seals, tmp_path / "seals")
    assert [finding.place for finding in findings.kept] == ["events:0:7 to 13"]
