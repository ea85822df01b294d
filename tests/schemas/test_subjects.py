"""The registry's state, folded from records that another registry may have written."""

from typing import Any

import pytest

from neural_hive.connectors.schema_subjects import OWN_IDS_FROM, Refused, Subjects, canonical


def schema_record(subject: str, version: int, schema_id: int, text: str, **more: Any) -> tuple[Any, Any]:
    key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
    return key, {"subject": subject, "version": version, "id": schema_id, "schema": text, **more}


@pytest.fixture
def state() -> Subjects:
    folded = Subjects()
    for key, value in (
        ({"keytype": "NOOP", "magic": 0}, None),
        schema_record("a", 1, 1, '"string"', guid="x", ts=5),
        schema_record("a", 2, 2, '"long"'),
        schema_record("p", 1, 3, 'syntax = "proto3";', schemaType="PROTOBUF"),
        ({"keytype": "CONTEXT", "tenant": "default", "context": ".", "magic": 0}, {"context": "."}),
    ):
        folded.apply(key, value)
    return folded


def test_a_topic_of_another_registry_is_taken_over(state: Subjects) -> None:
    assert state.names() == ["a", "p"]
    assert [version.id for version in state.versions("a")] == [1, 2]
    assert state.schema(3) == 'syntax = "proto3";'


def test_a_removed_version_keeps_its_id_readable(state: Subjects) -> None:
    state.apply({"keytype": "SCHEMA", "subject": "a", "version": 2, "magic": 1}, None)
    assert [version.version for version in state.versions("a")] == [1]
    assert state.schema(2) == '"long"'
    state.apply({"keytype": "CLEAR_SUBJECT", "subject": "a", "magic": 0}, None)
    with pytest.raises(Refused, match="'a' not found"):
        state.existing("a")


def test_new_ids_leave_the_low_ones_free_and_old_schemas_keep_theirs(state: Subjects) -> None:
    fresh = state.registration("b", '"bytes"', None, None)
    again = state.registration("b", '"long"', None, None)
    assert fresh and again
    assert (fresh.id, again.id) == (OWN_IDS_FROM, 2)


def test_a_level_and_a_mode_are_taken_back(state: Subjects) -> None:
    state.apply({"keytype": "CONFIG", "subject": None, "magic": 0}, {"compatibilityLevel": "NONE"})
    assert state.level("a") == "NONE"
    state.apply({"keytype": "CONFIG", "subject": None, "magic": 0}, None)
    assert state.level("a") == "FULL_TRANSITIVE"
    state.apply({"keytype": "MODE", "subject": "a", "magic": 0}, {"mode": "READONLY"})
    with pytest.raises(Refused, match="read-only"):
        state.registration("a", '"bytes"', None, None)


def test_the_order_of_attributes_is_no_other_schema(state: Subjects) -> None:
    one = canonical('{"type": "record", "name": "R", "fields": []}')
    other = canonical('{"name": "R", "type": "record", "fields": []}')
    state.apply(*schema_record("r", 1, 9, one))
    assert state.lookup("r", other).id == 9
    assert canonical('{"type": "string"}') == '"string"'
