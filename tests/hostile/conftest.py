"""The toy system, as the kernel's tests have it, and silence."""

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import make_toy, toy_schemas
from tests.simulation.run import silent_kernel

__all__ = ["make_toy", "toy_schemas"]


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """See silent_kernel."""
    with silent_kernel():
        yield
