"""What is encrypted comes back for who has the key, and for nobody and nothing else."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors import personal
from neural_hive.connectors.personal import ERASED, Personal, Shown, Unencryptable
from neural_hive.connectors.subject_keys import BadName, Erased, UnknownSubject
from neural_hive.schemas import personal as wire
from neural_hive.schemas.catalogue import registered, schema_of
from neural_hive.schemas.personal import CIPHERTEXT, PlainPersonalData, check_encrypted, is_ciphertext, marked
from tests.privacy.memory_keys import MemoryKeys

SOURCES = Path(wire.__file__).parent
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30
).filter(lambda name: bool(name.split()))
FIELDS = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)


@given(NAMES, FIELDS)
def test_the_same_is_the_same_bytes_and_comes_back(name: str, field: str) -> None:
    person = Personal(MemoryKeys())
    ciphertext = person.hide(name, field)
    assert ciphertext == person.hide(name, field)
    assert is_ciphertext(ciphertext, field)
    assert person.revealed(ciphertext) == name
    assert len(name) < 4 or name not in ciphertext


@given(NAMES, FIELDS, FIELDS)
def test_it_is_bound_to_its_field(name: str, field: str, other: str) -> None:
    person = Personal(MemoryKeys())
    ciphertext = person.hide(name, field)
    moved = ciphertext.replace(f":{field}:", f":{other}:", 1)
    if other == field:
        return
    assert not is_ciphertext(ciphertext, other)
    with pytest.raises(Unencryptable):
        person.revealed(moved)


@given(NAMES, NAMES)
def test_it_is_bound_to_its_person(name: str, other: str) -> None:
    person = Personal(MemoryKeys())
    one, two = person.hide(name, "requested_by"), person.hide(other, "requested_by")
    ids = [CIPHERTEXT.fullmatch(text)[1] for text in (one, two)]  # type: ignore[index]
    if ids[0] != ids[1]:
        with pytest.raises(Unencryptable):
            person.revealed(one.replace(ids[0], ids[1]))
    with pytest.raises(UnknownSubject):
        Personal(MemoryKeys()).revealed(one)


@given(NAMES, st.data())
def test_what_was_altered_is_not_decrypted(name: str, data: st.DataObject) -> None:
    person = Personal(MemoryKeys())
    ciphertext = person.hide(name, "requested_by")
    at = data.draw(st.integers(0, len(ciphertext) - 1))
    put = data.draw(st.characters(codec="ascii").filter(lambda c: c != ciphertext[at]))
    with pytest.raises((Unencryptable, UnknownSubject)):
        person.revealed(ciphertext[:at] + put + ciphertext[at + 1 :])


def test_its_length_does_not_tell_the_names() -> None:
    person = Personal(MemoryKeys())
    assert len({len(person.hide("x" * n, "requested_by")) for n in range(1, 33)}) == 1
    longest = person.hide("x" * 128, "requested_by")
    assert len(longest) <= 256, "aggregates/decision.py takes no more"


@pytest.mark.parametrize("name", ["", " ", "x" * 129, "a\0b", "\ud800"])
def test_what_names_nobody_is_refused(name: str) -> None:
    with pytest.raises((BadName, Unencryptable)) as refused:
        Personal(MemoryKeys()).hide(name, "requested_by")
    assert "xxx" not in str(refused.value)


def test_who_is_erased_is_read_by_nobody() -> None:
    keys = MemoryKeys()
    person = Personal(keys)
    ciphertext = person.hide("ann", "requested_by")
    keys.erase(keys.subject_of("ann"))
    with pytest.raises(Erased):
        person.revealed(ciphertext)
    assert person.hide("Ann", "requested_by") != ciphertext, "who comes back is another subject"
    assert person.shown(ciphertext, Shown.CLEAR) == person.shown(ciphertext, Shown.SHORT) == ERASED


class Told(msgspec.Struct, frozen=True):
    text: str
    inner: tuple[dict[str, str], ...]


def test_texts_are_shown_wherever_they_stand() -> None:
    person = Personal(MemoryKeys())
    ann, bob = (person.hide(name, "requested_by") for name in ("ann", "bob"))
    told = Told(f"{ann} asked for it, and {bob}", ({"by": ann},))
    assert person.shown_in(told, Shown.CLEAR) == Told("ann asked for it, and bob", ({"by": "ann"},))
    short = person.shown_in(told, Shown.SHORT)
    assert short.inner[0]["by"] == f"enc:{person.keys.subject_of('ann')[:8]}…"
    person.keys.erase(person.keys.subject_of("bob"))
    assert person.shown_in([told], Shown.CLEAR)[0].text == "ann asked for it, and erased"
    stranger = Personal(MemoryKeys())
    assert stranger.shown(ann, Shown.CLEAR) == short.inner[0]["by"], "without the key nothing is said"


def test_every_field_that_names_a_person_is_marked() -> None:
    """By the words that this project uses for it; a new one must be marked, or be said here not to name a person."""
    found = {
        (row.name, field["name"])
        for row in registered().values()
        for field in schema_of(row.id)["fields"][1]["type"]["fields"]
        if field["name"].endswith("_by") and field["type"] == "string"
    }
    assert found
    for record, name in found:
        assert name in {one.field for one in marked(record)}, (record, name)


def test_marks_of_sources_are_those_of_the_schemas() -> None:
    for file in [*SOURCES.glob("events/*.avsc"), *SOURCES.glob("messages/*.avsc")]:
        source = json.loads(file.read_bytes())
        told = {field["name"] for field in source["fields"] if field.get("personal")}
        assert told == {one.field for one in marked(source["name"])}, file.name


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ({"name": "by", "type": "long", "personal": True}, "only a string"),
        ({"name": "by", "type": "string", "personal": "nobody"}, "the name of a field that is so"),
        ({"name": "by", "type": "string", "personal": False}, "the name of a field that is so"),
        (
            {"name": "by", "type": {"type": "array", "items": {"fields": [{"personal": True}]}}},
            "the payload itself",
        ),
    ],
)
def test_a_mark_that_would_protect_nothing_is_no_schema(field: dict[str, object], problem: str) -> None:
    [found] = wire.mark_problems({"fields": [field]})
    assert problem in found


def test_a_text_about_a_person_is_encrypted_with_the_persons_key(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {
        "fields": [
            {"name": "by", "type": "string", "personal": True},
            {"name": "remark", "type": "string", "personal": "by"},
        ]
    }
    assert list(wire.mark_problems(schema)) == []
    marks = tuple(wire.marked_in(schema))
    monkeypatch.setattr(personal, "marked", lambda record: marks)
    person = Personal(MemoryKeys())
    hidden = person.hidden("Remarked", {"by": "ann", "remark": "Ann has moved"})
    assert person.hidden("Remarked", {"by": hidden["by"], "remark": "Ann has moved"}) == hidden
    assert person.shown_in(hidden, Shown.CLEAR) == {"by": "ann", "remark": "Ann has moved"}
    person.keys.erase(person.keys.subject_of("ann"))
    assert person.shown_in(hidden, Shown.CLEAR) == {"by": ERASED, "remark": ERASED}
    with pytest.raises(Unencryptable, match="say in by about whom"):
        person.hidden("Remarked", {"by": "", "remark": "somebody has moved"})


def test_nothing_a_ciphertext_and_nobody_pass() -> None:
    person = Personal(MemoryKeys())
    for value in ("", "somebody", person.hide("ann", "requested_by")):
        check_encrypted("PauseWorkflow", {"requested_by": value})
    check_encrypted("Heartbeat", {"requested_by": "not marked there"})
    payload = {"workflow_id": "w", "reason": "why", "requested_by": "ann"}
    hidden = person.hidden("PauseWorkflow", payload)
    check_encrypted("PauseWorkflow", hidden)
    assert person.hidden("PauseWorkflow", hidden) is hidden
    assert {**hidden, "requested_by": ""} == {**payload, "requested_by": ""}


@pytest.mark.parametrize(
    "value", ["Ann Example", "enc:v1:Ann Example", "enc:v1:" + "0" * 32 + ":requested_by:" + "A" * 64]
)
def test_what_is_in_the_clear_is_refused_without_being_repeated(value: str) -> None:
    if value.endswith("A"):  # it has the form: whether it can be decrypted only who has keys can tell
        assert is_ciphertext(value, "requested_by")
        value = value[:-1]
    with pytest.raises(PlainPersonalData, match="requested_by of PauseWorkflow") as refused:
        check_encrypted("PauseWorkflow", {"requested_by": value})
    assert value not in str(refused.value)


def test_a_ciphertext_for_another_field_is_refused_but_may_wander_into_an_event() -> None:
    requested = Personal(MemoryKeys()).hide("ann", "requested_by")
    check_encrypted("TicketCompleted", {"completed_by": requested}, wanders=True)
    with pytest.raises(PlainPersonalData):
        check_encrypted("TicketCompleted", {"completed_by": "ann"}, wanders=True)
    with pytest.raises(PlainPersonalData):
        check_encrypted("PauseWorkflow", {"requested_by": Personal(MemoryKeys()).hide("ann", "completed_by")})
