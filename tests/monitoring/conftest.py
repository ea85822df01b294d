"""The toy system's schemas, for the kernel's own spans."""

from tests.kernel.conftest import toy_schemas

__all__ = ["toy_schemas"]
