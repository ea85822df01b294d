"""What is known of a kind of things, so that they can be listed."""

from collections.abc import Mapping
from typing import Final

import msgspec

from neural_hive.listing.filters import Filter

SINCE: Final = "since"  # a filter that all have: not before a time, µs since 1970 UTC


class Listing(msgspec.Struct, frozen=True):
    """A kind of things, and how its pages are asked for."""

    table: str  # the read model
    key: str
    came_at: str  # SQL of when a thing came to be, over the row of its first event
    born: str  # SQL that holds for that row
    filters: Mapping[str, Filter]
    firsts: str = ""  # where these rows stand; "": in `<table>_versions`

    @property
    def rows(self) -> str:
        """The table with the rows of its events."""
        return self.firsts or f"{self.table}_versions"

    def filter(self, name: str) -> Filter:
        """By its name. Raises LookupError."""
        if found := self.filters.get(name):
            return found
        known = ", ".join((*self.filters, SINCE))
        raise LookupError(f"{self.table} cannot be asked for by {name!r}; but by: {known}")
