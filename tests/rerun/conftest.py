"""Silence, as in the simulated worlds."""

from tests.simulation.conftest import silence

__all__ = ["silence"]
