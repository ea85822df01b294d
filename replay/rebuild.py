"""Makes read models anew from the archive, beside the live ones: see projections/rebuilds.py for who does what."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.comparing import Comparison
from neural_hive.projections.projection import Projection
from neural_hive.projections.rebuilds import (
    OPEN,
    Progress,
    Rebuild,
    Step,
    begin,
    compare_filled,
    fill,
    give_up,
    hand_over,
    newest,
)
from neural_hive.projections.store import Store

LOOK_EVERY_S: Final = 0.5
Told = Callable[[Projection, Progress], None]


class NoSuchReadModel(LookupError):
    """There is none of this name; the text says which there are."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one read model."""

    name: str
    step: Step  # SWAPPED; FILLED: no projector has put it in its place yet; GIVEN_UP
    detail: str  # why it was given up
    before: (
        Comparison | None
    )  # the live table, as it was, beside the new one; None: that was told before an interruption

    @property
    def is_live(self) -> bool:
        """Whether readers see the new table."""
        return self.step is Step.SWAPPED


def named(names: Sequence[str]) -> tuple[Projection, ...]:
    """The read models of these names, in the order in which they are filled. Raises NoSuchReadModel."""
    known = {projection.name for projection in PROJECTIONS}
    if unknown := sorted(set(names) - known):
        raise NoSuchReadModel(f"no read model {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    return tuple(projection for projection in PROJECTIONS if projection.name in names)


def rebuild(
    store: Store,
    projections: Sequence[Projection],
    told: Told = lambda projection, progress: None,
    wait_s: float = 60.0,
) -> list[Outcome]:
    """Fills each of them beside the live one, and waits until the projector has put it in its place.

    What was interrupted goes on where it was. `wait_s`: for how long to wait for the projector; it does its part at its
    next start too. Raises StoreUnavailable, StoreRefused.
    """
    begun = [_filled(store, projection, told) for projection in projections]
    until = time.monotonic() + wait_s
    while (ended := newest(store)) and any(ended[made.name].step in OPEN for made, _ in begun):
        if time.monotonic() > until:
            break
        time.sleep(LOOK_EVERY_S)
    return [
        Outcome(made.name, ended[made.name].step, ended[made.name].detail, before) for made, before in begun
    ]


def _filled(store: Store, projection: Projection, told: Told) -> tuple[Rebuild, Comparison | None]:
    made = begin(store, projection)
    if made.step is not Step.FILLING:
        return made, None
    for progress in fill(store, projection, made):
        told(projection, progress)
    before = compare_filled(store, projection, made)
    hand_over(store, made)
    return made, before


def abandon(store: Store, projections: Sequence[Projection]) -> list[str]:
    """Gives up what was begun and is not live yet: the names of those."""
    names = {projection.name for projection in projections}
    found = [made for made in newest(store).values() if made.step in OPEN and made.name in names]
    for made in found:
        give_up(store, made, "a person has given it up")
    return [made.name for made in found]
