"""What test runners leave: counts in JUnit's XML, coverage in coverage.py's files (XML is Cobertura's)."""

import json
import math
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import msgspec

FILE_BYTES_MAX: Final = 32 * 1024 * 1024
COVERAGE_FILES: Final = ("coverage.xml", "coverage.json")


class BadResults(Exception):
    """A file of results that cannot be read; the text says why."""


class Counts(msgspec.Struct, frozen=True):
    """How many tests there were, and how they ended."""

    tests: int
    failures: int
    errors: int
    skipped: int


def read_junit(file: Path) -> Counts:
    """Counts the test cases themselves: runners disagree on what the sums in the head mean. Raises BadResults."""
    cases = [{child.tag for child in case} for case in _xml(file).iter("testcase")]
    failures = sum("failure" in ends for ends in cases)
    errors = sum("error" in ends and "failure" not in ends for ends in cases)
    skipped = sum("skipped" in ends and not ends & {"failure", "error"} for ends in cases)
    return Counts(len(cases), failures, errors, skipped)


def coverage_percent(folder: Path) -> float | None:
    """The share of lines that ran, 0 to 100; None if no coverage.xml or coverage.json is there. Raises BadResults."""
    try:
        xml, other = (folder / name for name in COVERAGE_FILES)
        if xml.is_file():
            percent = 100 * float(_xml(xml).attrib["line-rate"])
        elif other.is_file():
            percent = float(json.loads(_text(other))["totals"]["percent_covered"])
        else:
            return None
    except (KeyError, TypeError, ValueError) as error:
        raise BadResults(f"the coverage file does not say the coverage: {error!r}") from error
    if not (math.isfinite(percent) and 0 <= percent <= 100):
        raise BadResults(f"the coverage must be within 0 to 100 percent, not {percent}")
    return percent


def _xml(file: Path) -> ElementTree.Element:
    text = _text(file)
    if b"<!ENTITY" in text:  # no runner declares any, and they can make a small file fill the memory
        raise BadResults(f"{file.name} declares entities")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadResults(f"{file.name} is no XML: {error}") from error


def _text(file: Path) -> bytes:
    if file.stat().st_size > FILE_BYTES_MAX:
        raise BadResults(f"{file.name} has more than {FILE_BYTES_MAX:,} bytes, the limit")
    return file.read_bytes()
