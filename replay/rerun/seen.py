"""What a decision saw of the topics that are read whole: as its events tell it, else what it can have seen.

An allocation tells the positions of its views, and their age; so do events about a ticket that is held. Others that
depend on them (a workflow waits, a ticket is given to an agent's webhook) do not: they were made from a place near
their time, or near the last known one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, product, zip_longest
from typing import Final

from neural_hive.replay.rerun.causes import Caused
from neural_hive.replay.rerun.past_views import PastTopic
from neural_hive.replay.rerun.then.words import Positions, Sight
from neural_hive.schemas.codec import decode

TRIES_MAX: Final = 1_500  # views that are tried for one decision
_NEVER_READ_S: Final = 1e9  # as old as a view that was never whole
_TOLD_AGE: Final = re.compile(r"what is known of the (\w+) is (\d+|inf) s old")


class Seen:
    """What one partition's decisions saw, in their order."""

    def __init__(self, views: Mapping[str, PastTopic]) -> None:
        self._views = views
        self._names = {view.topic: name for name, view in views.items()}
        self._last = {name: view.begins for name, view in views.items()}
        self._ages_s = dict.fromkeys(views, 0.0)

    def note(self, caused: Caused) -> None:
        """Takes what the events of a decision tell of its views."""
        for name, (positions, _) in self._told(caused).items():
            self._last[name] = positions

    def sights(self, caused: Caused) -> Iterator[Sight]:
        """What the decision saw; where its events do not tell, what it can have seen, the likeliest first."""
        told = self._told(caused)
        if told.keys() >= self._views.keys():
            at = {name: positions for name, (positions, _) in told.items()}
            yield Sight(at, {name: age_s for name, (_, age_s) in told.items()})
            return
        yield from islice(self._possible(caused), TRIES_MAX)

    def _possible(self, caused: Caused) -> Iterator[Sight]:
        time_ms = caused.first.record.timestamp_ms
        ages = self._ages(caused)
        likely = {name: view.as_of(time_ms) for name, view in self._views.items()}
        for at in (likely, self._last):
            for ages_s in ages:
                yield Sight(dict(at), ages_s)
        # In turn: a decision depends on one of them, mostly, and nobody knows on which.
        moved = [self._moved(name, likely, ages) for name in self._views]
        for sights in zip_longest(*moved):
            yield from (sight for sight in sights if sight is not None)

    def _moved(
        self, name: str, likely: Mapping[str, Positions], ages: Sequence[dict[str, float]]
    ) -> Iterator[Sight]:
        """With one view at other places than the others."""
        view = self._views[name]
        for base, ages_s in product((likely, self._last), ages):
            for positions in chain(view.near(likely[name]), view.near(self._last[name])):
                yield Sight({**base, name: positions}, ages_s)

    def _ages(self, caused: Caused) -> list[dict[str, float]]:
        """The ages, s, that views can have had: as new as can be, as the events say, older than any limit."""
        fresh = dict.fromkeys(self._views, 0.0)
        for event in caused.events:
            reason = decode(event.record.value or b"", "event").payload.get("reason")
            if isinstance(reason, str) and (told := _TOLD_AGE.search(reason)):
                name, age_s = told[1], float(told[2])
                return [{**fresh, name: told_s} for told_s in (age_s, age_s + 0.4, age_s - 0.4)]
        return [fresh, dict.fromkeys(self._views, _NEVER_READ_S)]

    def _told(self, caused: Caused) -> dict[str, tuple[Positions, float]]:
        """By view: the positions that an event of the decision names, and the age, s."""
        found: dict[str, tuple[Positions, float]] = {}
        for event in caused.events if self._views else ():
            payload = decode(event.record.value or b"", "event").payload
            for view in payload.get("views", ()):
                if name := self._names.get(view["topic"]):
                    found[name] = tuple(view["next_offsets"]), view["age_ms"] / 1_000
        return found
