"""What a schema registry knows, as the records of its topic say: subjects, versions, ids, configuration, modes.

Keys and values are those of Confluent's Schema Registry, so that its tools can read the topic, and it can take the
topic over. Nothing here reads or writes: `apply` folds one record; the rest asks or checks.
"""

from typing import Any, Final

import avro.errors
import avro.schema
import msgspec
import orjson

from neural_hive.schemas.compatibility import unreadable

OWN_IDS_FROM: Final = 1_000_000  # ids below are fixed by those who import them, and must stay free
SCHEMAS_MAX: Final = 50_000
SCHEMA_BYTES_MAX: Final = 1024 * 1024
DEFAULT_LEVEL: Final = "FULL_TRANSITIVE"
LEVELS: Final = frozenset(
    {"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}
)
READ_WRITE: Final = "READWRITE"
MODES: Final = frozenset({READ_WRITE, "READONLY", "READONLY_OVERRIDE", "IMPORT"})

Record = tuple[dict[str, Any], dict[str, Any] | None]  # key and value of one record of the topic


class Refused(Exception):
    """What the API answers with: an HTTP status, the registry's error code, and what is wrong."""

    def __init__(self, status: int, code: int, text: str) -> None:
        self.status, self.code, self.text = status, code, text
        super().__init__(text)


class Version(msgspec.Struct, frozen=True):
    """One version of a subject."""

    subject: str
    version: int
    id: int
    schema: str
    deleted: bool = False

    def record(self) -> Record:
        key = {"keytype": "SCHEMA", "subject": self.subject, "version": self.version, "magic": 1}
        return key, msgspec.structs.asdict(self)


def canonical(text: object) -> str:
    """The schema's text without blanks. Raises Refused: not an Avro schema."""
    if not isinstance(text, str) or not text:
        raise Refused(422, 42201, 'Invalid schema: the body needs the schema as a string, in "schema"')
    if len(text) > SCHEMA_BYTES_MAX:
        raise Refused(422, 42201, f"Invalid schema: more than {SCHEMA_BYTES_MAX} characters")
    try:
        tree = orjson.loads(text)
        avro.schema.parse(orjson.dumps(tree).decode())
    except (orjson.JSONDecodeError, avro.errors.AvroException, RecursionError, TypeError, KeyError) as error:
        raise Refused(422, 42201, f"Invalid schema: {error}") from error
    if isinstance(tree, dict) and list(tree) == ["type"] and isinstance(tree["type"], str):
        tree = tree["type"]
    return orjson.dumps(tree).decode()


def same(one: str, other: str) -> bool:
    """Whether two texts are the same schema, whatever the order of their attributes."""
    return one == other or _sorted(one) == _sorted(other)


def _sorted(text: str) -> bytes:
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:  # a Protobuf schema, in a topic that another registry wrote before
        return text.encode()


class Subjects:
    """The registry's state. One writer changes it, by `apply` of what was written to the topic."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Version]] = {}
        self._by_id: dict[int, str] = {}
        self._ids: dict[bytes, int] = {}
        self._levels: dict[str | None, str] = {}
        self._modes: dict[str | None, str] = {}
        self._count = 0

    def apply(self, key: dict[str, Any], value: dict[str, Any] | None) -> None:
        """Folds one record of the topic. Kinds that it does not know are other tools' business."""
        kind, subject = key.get("keytype"), key.get("subject")
        if kind == "SCHEMA":
            self._apply_schema(str(subject), int(key["version"]), value)
        elif kind == "DELETE_SUBJECT" and value is not None:
            for version in self._versions.get(str(subject), {}).values():
                if version.version <= value["version"]:
                    self._put(msgspec.structs.replace(version, deleted=True))
        elif kind == "CLEAR_SUBJECT":
            self._versions.pop(str(subject), None)
        elif kind == "CONFIG":
            _set(self._levels, subject, (value or {}).get("compatibilityLevel"))
        elif kind == "MODE":
            _set(self._modes, subject, (value or {}).get("mode"))

    def _apply_schema(self, subject: str, number: int, value: dict[str, Any] | None) -> None:
        if value is None:
            self._versions.get(subject, {}).pop(number, None)
            return
        deleted = bool(value.get("deleted", False))
        self._put(Version(subject, number, int(value["id"]), str(value["schema"]), deleted))

    def _put(self, version: Version) -> None:
        versions = self._versions.setdefault(version.subject, {})
        self._count += version.version not in versions
        versions[version.version] = version
        self._by_id[version.id] = version.schema
        self._ids.setdefault(_sorted(version.schema), version.id)

    def names(self, *, deleted: bool = False) -> list[str]:
        """The subjects that have a version; with `deleted`, also those whose versions are all deleted."""
        return sorted(name for name in self._versions if self.versions(name, deleted=deleted))

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """A subject's versions in order; none if it does not exist."""
        own = self._versions.get(subject, {})
        return [own[number] for number in sorted(own) if deleted or not own[number].deleted]

    def existing(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """As `versions`. Raises Refused: there is none."""
        found = self.versions(subject, deleted=deleted)
        if not found and self.versions(subject, deleted=True):
            raise Refused(404, 40404, f"Subject '{subject}' was soft deleted.")
        if not found:
            raise Refused(404, 40401, f"Subject '{subject}' not found.")
        return found

    def version(self, subject: str, asked: str, *, deleted: bool = False) -> Version:
        """One version: a number, `latest` or -1. Raises Refused: no such version."""
        found = self.existing(subject, deleted=deleted)
        if asked in ("latest", "-1"):
            return found[-1]
        if not asked.isdecimal() or not 1 <= int(asked) < 2**31:
            raise Refused(422, 42202, f"The specified version '{asked}' is not a valid version id.")
        for version in found:
            if version.version == int(asked):
                return version
        raise Refused(404, 40402, f"Version {asked} not found.")

    def schema(self, schema_id: int) -> str:
        """The text under an id, deleted or not: written records carry it. Raises Refused: no such id."""
        if schema_id not in self._by_id:
            raise Refused(404, 40403, f"Schema {schema_id} not found")
        return self._by_id[schema_id]

    def uses(self, schema_id: int, *, deleted: bool = False) -> list[Version]:
        """Where a schema is a version. Raises Refused: no such id."""
        self.schema(schema_id)
        names = self.names(deleted=deleted)
        return [v for name in names for v in self.versions(name, deleted=deleted) if v.id == schema_id]

    def id_max(self) -> int:
        """The highest id in use."""
        return max(self._by_id, default=0)

    def lookup(self, subject: str, text: str, *, deleted: bool = False) -> Version:
        """The version of a subject that is this schema. Raises Refused: none is."""
        for version in reversed(self.existing(subject, deleted=deleted)):
            if same(version.schema, text):
                return version
        raise Refused(404, 40403, "Schema not found")

    def level(self, subject: str | None, *, default: bool = True) -> str:
        """A subject's compatibility level, or the global one (None). Raises Refused: it has none of its own."""
        if subject in self._levels:
            return self._levels[subject]
        if subject is not None and not default:
            text = f"Subject '{subject}' does not have subject-level compatibility configured"
            raise Refused(404, 40408, text)
        return self._levels.get(None, DEFAULT_LEVEL)

    def mode(self, subject: str | None, *, default: bool = True) -> str:
        """A subject's mode, or the global one (None). Raises Refused: it has none of its own."""
        if subject in self._modes:
            return self._modes[subject]
        if subject is not None and not default:
            raise Refused(404, 40409, f"Subject '{subject}' does not have subject-level mode configured")
        return self._modes.get(None, READ_WRITE)

    def breaks(self, subject: str, text: str, against: list[Version] | None = None) -> list[str]:
        """Why a schema does not fit a subject's level; empty if it does. `against`: not all, but these."""
        level = self.level(subject)
        earlier = self.versions(subject) if against is None else against
        if level == "NONE":
            return []
        if against is None and not level.endswith("_TRANSITIVE"):
            earlier = earlier[-1:]
        new, found = orjson.loads(text), []
        for old in earlier:
            then = orjson.loads(old.schema)
            if not level.startswith("FORWARD"):
                found += [
                    f"new schema cannot read version {old.version}: {why}" for why in unreadable(new, then)
                ]
            if not level.startswith("BACKWARD"):
                found += [
                    f"version {old.version} cannot read the new schema: {why}"
                    for why in unreadable(then, new)
                ]
        return found

    def registration(
        self, subject: str, text: str, schema_id: int | None, number: int | None
    ) -> Version | None:
        """The version that registering would write; None if the subject has this schema already.

        With an id it is an import. Raises Refused: mode, id, version or compatibility do not allow it.
        """
        known = next((v for v in self.versions(subject) if same(v.schema, text)), None)
        if known and schema_id in (None, known.id) and number in (None, known.version):
            return None
        self._check_mode(subject, schema_id)
        if self._count >= SCHEMAS_MAX:
            raise Refused(422, 42205, f"The registry holds {SCHEMAS_MAX} versions and takes no more")
        all_versions = self.versions(subject, deleted=True)
        following = all_versions[-1].version + 1 if all_versions else 1
        if schema_id is None:
            if why := self.breaks(subject, text):
                raise Refused(
                    409,
                    409,
                    "Schema being registered is incompatible with an earlier schema: " + "; ".join(why),
                )
            return Version(subject, following, self._id_of(text), text)
        if schema_id in self._by_id and not same(self._by_id[schema_id], text):
            raise Refused(422, 42205, f"Overwrite new schema with id {schema_id} is not permitted.")
        taken = next((v for v in all_versions if v.version == number), None)
        if taken and taken.id != schema_id:
            raise Refused(422, 42205, f"Version {number} of subject {subject} has schema id {taken.id}")
        return Version(subject, number or following, schema_id, text)

    def _check_mode(self, subject: str, schema_id: int | None) -> None:
        mode = self.mode(subject)
        if mode.startswith("READONLY"):
            raise Refused(422, 42205, f"Subject {subject} is in read-only mode")
        if schema_id is not None and mode != "IMPORT":
            raise Refused(422, 42205, f"Subject {subject} is not in import mode")
        if schema_id is None and mode != READ_WRITE:
            raise Refused(422, 42205, f"Subject {subject} is not in read-write mode")

    def _id_of(self, text: str) -> int:
        return self._ids.get(_sorted(text)) or max(self.id_max() + 1, OWN_IDS_FROM)


def config_record(subject: str | None, level: str | None) -> Record:
    """The record that sets a compatibility level; None takes it away."""
    key = {"keytype": "CONFIG", "subject": subject, "magic": 0}
    return key, None if level is None else {"compatibilityLevel": level}


def mode_record(subject: str | None, mode: str | None) -> Record:
    """The record that sets a mode; None takes it away."""
    key = {"keytype": "MODE", "subject": subject, "magic": 0}
    return key, None if mode is None else {"mode": mode}


def _set(table: dict[str | None, str], subject: str | None, value: str | None) -> None:
    if value is None:
        table.pop(subject, None)
    else:
        table[subject] = value
