"""The log equals its seal: every partition gives the roots that were signed, and all who keep checkpoints agree."""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import msgspec

from neural_hive.connectors.kafka_log import UnreadableLog
from neural_hive.replay.reader import LogSource
from neural_hive.replay.report import Check, Findings, SealSummary
from neural_hive.replay.seal.checkpoint import Checkpoint, opened
from neural_hive.replay.seal.leaf import Place
from neural_hive.replay.seal.leaves import kept_of, sealed_leaves
from neural_hive.replay.seal.ledger import NoSealFile, SealFile, published
from neural_hive.replay.seal.merkle import Frontier
from neural_hive.replay.seal.note import BadNote, Note, PublicKey
from neural_hive.replay.seal.prove import History, witnessed
from neural_hive.replay.seal.seal import CHECKPOINTS, WITNESSES, BadSeal, Seal


class Sealing(msgspec.Struct, frozen=True):
    """What the seal is checked with."""

    key: PublicKey | None  # the sealer's; None: it is not known
    file: Path
    witnesses: tuple[PublicKey, ...]
    topics: tuple[str, ...]  # what the sealer seals


class Mark(msgspec.Struct, frozen=True):
    """What one checkpoint says of a partition."""

    number: int
    sealed_at: int
    size: int
    root: bytes
    last_offset: int


def check_seal(
    source: LogSource, kafka: LogSource, sealing: Sealing, findings: Findings
) -> SealSummary | None:
    """Compares the log with its seals, and the seals with the file and the witnesses. None: nothing is sealed."""
    if sealing.key is None:
        why = "the sealer's public key is not there: name it in seal_key"
        for check in (Check.SEAL, Check.WITNESS):
            findings.skip(check, why)
        return None
    # In this order, since all may be at work: what a witness has seen was published before, and that was kept before.
    notes = _witnessed(kafka)
    in_topic = _history(sealing.key, _published(kafka, sealing.key, findings), CHECKPOINTS, findings)
    told, history = _check_file(in_topic, kafka, sealing, sealing.key, findings)
    seen = _check_witnesses(history, notes, sealing.witnesses, findings)
    if not history.seals:
        findings.skip(Check.SEAL, "nothing is sealed: is a sealer running?")
        return None
    count, since_ms = _unsealed(source, history, sealing.topics)
    _check_log(source, history, sealing.topics, findings)
    last = history.chain.last
    assert last is not None
    return SealSummary(
        checkpoints=len(history.seals),
        records=history.chain.records,
        sealed_at=last.sealed_at,
        unsealed_records=count,
        unsealed_s=round(max(time.time() - since_ms / 1000, 0), 1) if count else 0.0,
        file=told,
        witnessed=seen,
    )


def _published(kafka: LogSource, key: PublicKey, findings: Findings) -> Iterator[Seal]:
    try:
        yield from (seal for _, seal in published(kafka, key.name))
    except BadSeal as error:
        findings.add(Check.SEAL, CHECKPOINTS, "", "seals", error)
    except UnreadableLog:
        return  # there is none: the file may know more


def _history(key: PublicKey, seals: Iterable[Seal], where: object, findings: Findings) -> History:
    """The seals up to the first one that does not follow on those before."""
    history = History(key, ())
    for seal in seals:
        try:
            history.add(seal)
        except BadSeal as error:
            expected = "a checkpoint that follows on the one before"
            findings.add(Check.SEAL, f"{where} checkpoint {len(history.seals) + 1}", "", expected, error)
            break
    return history


def _check_file(
    in_topic: History, kafka: LogSource, sealing: Sealing, key: PublicKey, findings: Findings
) -> tuple[str, History]:
    """What is to be told of the file, and the seals that the log is compared with: the longer ones."""
    file = SealFile(sealing.file)
    if not sealing.file.is_file():
        return f"{sealing.file} is not there", in_topic
    try:
        seals = list(file.seals())
    except (BadSeal, NoSealFile) as error:
        findings.add(Check.SEAL, str(sealing.file), "", "one seal a line", error)
        return "damaged", in_topic
    count = len(in_topic.seals)
    for number, (one, other) in enumerate(zip(in_topic.seals, seals, strict=False), 1):
        if one.note != other.note:
            where = f"{CHECKPOINTS} checkpoint {number}"
            findings.add(Check.SEAL, where, "", f"as {sealing.file} has it: {_root(other)}", _root(one))
            return "differs", in_topic
    if len(seals) < count:
        expected = f"checkpoints 1 to {count}, as {CHECKPOINTS} has them"
        findings.add(Check.SEAL, str(sealing.file), "", expected, f"{len(seals)} of them")
        return "lacks checkpoints", in_topic
    in_file = _history(key, seals, sealing.file, findings)
    if len(seals) > count and len(list(_published(kafka, key, Findings()))) < len(seals) - 1:
        expected = f"checkpoints {count + 1} to {len(seals)}, as {sealing.file} has them"
        findings.add(Check.SEAL, CHECKPOINTS, "", expected, f"only {count}")
        return "has more checkpoints", in_file
    return "agrees", in_file if len(in_file.seals) > count else in_topic


def _root(seal: Seal) -> str:
    try:
        return f"root {Checkpoint.parse(Note.parse(seal.note).text).root.hex()}"
    except BadNote as error:
        return str(error)


def _check_log(source: LogSource, history: History, topics: Sequence[str], findings: Findings) -> None:
    kept = kept_of(history.seals)
    left_out = []
    for place, marks in sorted(marks_of(history.seals).items()):
        if place[0] not in topics:
            continue
        where = f"{place[0]}:{place[1]}"
        try:
            begin, _ = source.ranges(place[0]).get(place[1], (0, 0))
        except UnreadableLog as error:
            if source.name == "archive":
                left_out.append(where)
            else:
                findings.add(Check.SEAL, where, "", f"{marks[-1].size} sealed records", error)
            continue
        if begin:
            left_out.append(f"{where} before {begin}")
            continue
        leaves = sealed_leaves(source, place, 0, marks[-1].last_offset + 1, kept.get(place, {}))
        check_partition(leaves, place, marks, findings)
    if left_out and not findings.found[Check.SEAL]:
        shown = ", ".join(left_out[:3]) + (f" and {len(left_out) - 3} more" if len(left_out) > 3 else "")
        findings.skip(Check.SEAL, f"the log was read without {shown}")


def marks_of(seals: Iterable[Seal]) -> dict[Place, list[Mark]]:
    """What each checkpoint in turn says of each partition."""
    found: dict[Place, list[Mark]] = {}
    for number, seal in enumerate(seals, 1):
        for growth in seal.grown:
            mark = Mark(number, seal.sealed_at, growth.size, growth.root, growth.last_offset)
            found.setdefault(growth.place, []).append(mark)
    return found


def check_partition(
    leaves: Iterator[tuple[int, bytes]], place: Place, marks: Sequence[Mark], findings: Findings
) -> None:
    """Compares one partition with its checkpoints; names the first range of offsets that is not as it was sealed."""
    tree, first, before = Frontier(), 0, 0
    waiting = next(leaves, None)
    last_offset = -1
    for mark in marks:
        while waiting is not None and waiting[0] <= mark.last_offset:
            last_offset = waiting[0]
            tree.append(waiting[1])
            waiting = next(leaves, None)
        findings.examined[Check.SEAL] += tree.size - before
        if (tree.size, last_offset) == (mark.size, mark.last_offset) and tree.root() == mark.root:
            first, before = mark.last_offset + 1, tree.size
            continue
        where = f"{place[0]}:{place[1]}:{first} to {mark.last_offset}"
        at = datetime.fromtimestamp(mark.sealed_at / 1_000_000, UTC).isoformat(sep=" ", timespec="seconds")
        expected = f"{mark.size - before} records, as checkpoint {mark.number} of {at} has them"
        findings.add(Check.SEAL, where, "", expected, _found(tree, before, mark, last_offset))
        return


def _found(tree: Frontier, before: int, mark: Mark, last_offset: int) -> str:
    count = tree.size - before
    if tree.size == mark.size:
        return f"{count} records, with another root"
    ends = f", the last of them at offset {last_offset}" if last_offset < mark.last_offset else ""
    return f"{count} records{ends}"


def _unsealed(source: LogSource, history: History, topics: Sequence[str]) -> tuple[int, int]:
    """How many records no checkpoint covers yet, and the append time of the oldest of them, ms."""
    count, since_ms = 0, 0
    for topic in topics:
        try:
            ranges = source.ranges(topic)
        except UnreadableLog:
            continue
        for partition, (begin, end) in ranges.items():
            head = history.chain.heads.get((topic, partition))
            first = max(begin, head.last_offset + 1 if head else 0)
            for record in chain.from_iterable(source.batches(topic, partition, first, end)):
                count += 1
                since_ms = min(since_ms or record.timestamp_ms, record.timestamp_ms)
    return count, since_ms


def _witnessed(kafka: LogSource) -> list[Note]:
    try:
        return witnessed(kafka)
    except UnreadableLog:
        return []


def _check_witnesses(
    history: History, notes: Sequence[Note], witnesses: Sequence[PublicKey], findings: Findings
) -> dict[str, int]:
    """The size of the last checkpoint that each witness has cosigned."""
    if not witnesses:
        findings.skip(Check.WITNESS, "no witness is known: name its public key in witness_keys")
        return {}
    seen: dict[str, int] = {}
    for note in notes:
        for witness in witnesses:
            try:
                if note.signed_at(witness) is None:
                    continue
                _, checkpoint = opened(note.content, history.chain.key)
            except BadNote as error:
                findings.add(Check.WITNESS, WITNESSES, "", f"a checkpoint cosigned by {witness.name}", error)
                continue
            findings.examined[Check.WITNESS] += 1
            seen[witness.name] = max(seen.get(witness.name, 0), checkpoint.size)
            _compare(history, checkpoint, witness, findings)
    if not seen:
        findings.skip(Check.WITNESS, "the witness has cosigned nothing yet")
    return seen


def _compare(history: History, checkpoint: Checkpoint, witness: PublicKey, findings: Findings) -> None:
    where = f"checkpoint {checkpoint.size}"
    expected = f"root {checkpoint.root.hex()}, as {witness.name} has seen it"
    if checkpoint.size > len(history.seals):
        findings.add(Check.WITNESS, where, "", expected, f"{len(history.seals)} checkpoints")
    elif history.note(checkpoint.size - 1).text != checkpoint.text:
        findings.add(Check.WITNESS, where, "", expected, _root(history.seals[checkpoint.size - 1]))
