"""The toy's schemas, and silence."""

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import toy_schemas
from tests.simulation.run import silent_kernel

__all__ = ["toy_schemas"]


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """See silent_kernel."""
    with silent_kernel():
        yield
