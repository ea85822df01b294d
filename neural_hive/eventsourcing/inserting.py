"""From what an application wants to insert to the records of the log. Pure: nothing is read but the draft."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from eventsourcing.persistence import DataError, IntegrityError, StoredEvent, Tracking

from neural_hive.eventsourcing.draft import Draft
from neural_hive.eventsourcing.records import VERSION_MAX, Insert, RecordWriter, Stored, Tracked
from neural_hive.eventsourcing.rows import ID_BYTES_MAX
from neural_hive.schemas.codec import BadRecord


class Made(msgspec.Struct, frozen=True):
    """The records that one insert makes."""

    notification_ids: list[int]
    records: list[tuple[bytes, bytes]]  # key and value


def make(
    draft: Draft,
    writer: RecordWriter,
    insert: Insert,
    events: Sequence[StoredEvent],
    tracking: Tracking | None,
) -> Made:
    """Adds the records of an insert to the draft, all or none.

    Raises IntegrityError: a version is there already, or the upstream position is not above the last one.
    DataError: what cannot be recorded at all.
    """
    _check(draft, events, tracking)
    own = Draft(draft.position, draft.get)
    made = Made([], [])
    for event in events:
        stored = _stored(event, own.position.notification_id + 1)
        made.notification_ids.append(stored.notification_id)
        made.records.append(_append(own, writer, insert, stored))
    if tracking is not None:
        made.records.append(_append(own, writer, insert, _tracked(own, tracking)))
    draft.take(own)
    return made


def _check(draft: Draft, events: Sequence[StoredEvent], tracking: Tracking | None) -> None:
    new = set[tuple[str, int]]()
    for event in events:
        name, version = str(event.originator_id), event.originator_version
        if len(name.encode()) > ID_BYTES_MAX:
            raise DataError(f"an originator's id must have at most {ID_BYTES_MAX} bytes: {name[:100]}…")
        if not 0 <= version <= VERSION_MAX:
            raise DataError(f"the version of an event must be 0 to {VERSION_MAX}, not {version}: {name}")
        if (name, version) in new or draft.has_event(name, version):
            raise IntegrityError(f"version {version} of {name} is recorded already")
        new.add((name, version))
    if tracking is None:
        return
    if not 0 <= tracking.notification_id <= VERSION_MAX:
        raise DataError(f"a notification's id must be 0 to {VERSION_MAX}, not {tracking.notification_id}")
    last = draft.tracking(tracking.application_name)
    if last is not None and tracking.notification_id <= last.notification_id:
        raise IntegrityError(
            f"notification {tracking.notification_id} of {tracking.application_name} is not above "
            f"{last.notification_id}, which was recorded as processed"
        )


def _stored(event: StoredEvent, notification_id: int) -> Stored:
    return Stored(
        str(event.originator_id),
        isinstance(event.originator_id, UUID),
        event.originator_version,
        notification_id,
        event.topic,
        event.state,
    )


def _tracked(draft: Draft, tracking: Tracking) -> Tracked:
    last = draft.tracking(tracking.application_name)
    count = last.count + 1 if last else 1
    return Tracked(tracking.application_name, count, tracking.notification_id)


def _append(
    draft: Draft, writer: RecordWriter, insert: Insert, content: Stored | Tracked
) -> tuple[bytes, bytes]:
    try:
        sequence = draft.position.sequence + 1
        entry, value = writer.write(content, sequence, draft.prev_hash(content), insert)
    except BadRecord as error:
        raise DataError(str(error)) from error
    draft.add(entry)
    name = content.originator_id if isinstance(content, Stored) else content.application_name
    return name.encode(), value
