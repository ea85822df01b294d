"""The report of a verification in files: JSON that a machine checks, signed by who verified, and Markdown to be read.

The signature is a signed note (c2sp.org/signed-note) over the SHA-256 of the report's bytes as they stand in the file,
and over what it comes to: so its verdict is signed in words, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec

from neural_hive.replay.report import Report, verdict
from neural_hive.replay.seal.note import BadNote, Note, PrivateKey, PublicKey, signed_note

FORMAT: Final = "neural-hive verification v1"
BYTES_MAX: Final = 256 * 1024 * 1024


class ReportRefused(ValueError):
    """A file that is no report, or not as it was signed; the text says why."""


class Verified(msgspec.Struct, frozen=True):
    """A report, when it was made, and of which log: the addresses that it was asked to read."""

    verified_at: str  # ISO 8601, UTC, by the clock of who verified
    kafka: str
    source: str  # "kafka", with the archive where Kafka has no more, or "archive"
    exit_code: int
    report: Report


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the file. `verified` is kept as it is written: its bytes are what is signed."""

    format: str
    verified: msgspec.Raw
    signature: str


def signed(verified: Verified, key: PrivateKey) -> bytes:
    """The JSON file of a report, signed with a key."""
    body = msgspec.json.format(msgspec.json.encode(verified))
    note = signed_note(_text(verified, body), key)
    return msgspec.json.encode(_File(FORMAT, msgspec.Raw(body), note.content)) + b"\n"


def checked(content: bytes, key: PublicKey) -> Verified:
    """The report of a file, if the holder of the key has signed exactly that. Raises ReportRefused."""
    if len(content) > BYTES_MAX:
        raise ReportRefused(f"it has {len(content):,} bytes: no report is so large")
    try:
        file = msgspec.json.decode(content, type=_File)
        if file.format != FORMAT:
            raise ReportRefused(f"it is of format {file.format:.80}, not {FORMAT}")
        body = bytes(file.verified)
        verified = msgspec.json.decode(body, type=Verified)
        note = Note.parse(file.signature)
        note.check_signed(key)
    except (msgspec.DecodeError, BadNote) as error:
        raise ReportRefused(f"it is not a signed report: {error}") from error
    if note.text != _text(verified, body):
        raise ReportRefused("the report is not the one that was signed: it was changed")
    if verified.exit_code != verified.report.exit_code:
        raise ReportRefused("the report's exit code is not what its findings come to")
    return verified


def _text(verified: Verified, body: bytes) -> str:
    verdict_line = " ".join(verdict(verified.report).split())
    lines = (FORMAT, sha256(body).hexdigest(), verified.verified_at, str(verified.exit_code), verdict_line)
    return "".join(f"{line}\n" for line in lines)


def markdown(verified: Verified, signer: PublicKey) -> str:
    """The report to be read. It is a copy: what counts is the signed file."""
    return "\n".join(_lines(verified, signer)) + "\n"


def _lines(verified: Verified, signer: PublicKey) -> Iterator[str]:
    report = verified.report
    yield from ("# Verification", "", f"**{verdict(report)}**", "")
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items())
    read = f"read from {verified.source}: {counts or 'no records'}"
    yield f"At {verified.verified_at}, of the log at {verified.kafka}, {read}."
    yield f"It took {report.duration_s:.1f} s. Signed, in the JSON file beside this one, by `{signer.text}`."
    yield from _table(
        "Checks",
        ("check", "looked at", "findings"),
        [
            (o.check, f"{o.examined:,}", f"skipped: {o.skipped}" if o.skipped else f"{o.findings:,}")
            for o in report.outcomes
        ],
    )
    yield from _table(
        "Findings",
        ("what", "where", "aggregate", "expected", "found"),
        [(f.check, f.place, f.aggregate, f.expected, f.found) for f in report.findings],
    )
    if report.findings_count > len(report.findings):
        yield f"\n… and {report.findings_count - len(report.findings):,} more."
    yield from _table(
        "Accepted damage",
        ("where", "by", "reason", "findings"),
        [(word.place, word.by, word.reason, f"{word.findings_count:,}") for word in report.accepted],
    )
    yield from _table(
        "Not looked at",
        ("check", "records", "from", "why"),
        [(left.check, f"{left.count:,}", left.place, left.reason) for left in report.left_out],
    )
    if report.seal is not None:
        seal = report.seal
        yield from ("", "## Seal", "")
        yield (
            f"{seal.records:,} records are sealed by {seal.checkpoints:,} checkpoints; {seal.unsealed_records:,} are "
            f"not yet, the oldest for {seal.unsealed_s:g} s. The file of seals: {seal.file}."
        )
    yield from _table(
        "When it was looked at",
        ("what", "from", "to", "by"),
        [
            (each.what, each.began_at, each.ended_at, "an earlier run" if each.earlier else "this run")
            for each in report.looked_at
        ],
    )
    yield from _table(
        "Where it was read",
        ("source", "topic", "partition", "from offset", "to", "records"),
        [
            (p.source, p.topic, str(p.partition), str(p.first_offset), str(p.end_offset), f"{p.records:,}")
            for p in report.parts
        ],
    )


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    found = list(rows)
    if not found:
        return
    yield from ("", f"## {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|")
    for row in found:
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def now() -> str:
    """The time, as a report tells it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
