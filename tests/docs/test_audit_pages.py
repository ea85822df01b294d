"""The pages about audit, seal, what-if and erasure, run as test_pages runs the others, on a system beside theirs."""

from typing import Final

import pytest

from tests.docs.pages import ROOT, Reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a page is many commands
DOCS = ROOT / "docs"
SETTINGS: Final = {"NEURAL_HIVE_SEAL_EVERY_S": "1"}  # what is asked for is sealed soon


def test_audit(toured: Reader) -> None:
    assert toured.follow(DOCS / "audit.md") >= 34


def test_audit_seal(toured: Reader) -> None:
    assert toured.follow(DOCS / "audit-seal.md") >= 14


def test_what_if(toured: Reader) -> None:
    assert toured.follow(DOCS / "what-if.md") >= 7


def test_erasure(toured: Reader) -> None:
    assert toured.follow(DOCS / "erasure.md") == 10
