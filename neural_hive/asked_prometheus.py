"""The Prometheus server of the settings, and what it would give for an SLO: a test that counts nothing."""

import time
from typing import Final

import msgspec

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.connectors.json_api import ApiRefused, JsonApi, Login
from neural_hive.connectors.prometheus import Prometheus
from neural_hive.settings import PREFIX, BadSettings, Settings
from neural_hive.streams.sli_prometheus.promql_counts import NoCount, Queries, counted

MINUTES: Final = 60  # that a test looks at
_SHOWN_MAX: Final = 5


class NoPrometheus(BadSettings):
    """The settings name no Prometheus server."""


class Wrong(msgspec.Struct, frozen=True):
    """A minute that would be left out, and why."""

    minute: int  # its beginning, µs
    why: str


class Tested(msgspec.Struct, frozen=True):
    """What an SLO would have counted in an hour."""

    slo_id: str
    target: float
    good: int
    valid: int
    counted: int  # minutes
    empty: int  # minutes of which Prometheus has nothing
    wrong: tuple[Wrong, ...]
    unasked: int  # minutes that were not asked for: what was refused once is refused again

    @property
    def is_well(self) -> bool:
        """Whether something was counted, and nothing was wrong."""
        return bool(self.counted) and not self.wrong

    def text(self) -> str:
        """In words."""
        share = f" = {self.good / self.valid:.2%}, promised are {self.target:.2%}" if self.valid else ""
        minutes = (
            f"{self.counted} minutes would count, {self.empty} are empty, {len(self.wrong)} would be left out"
        )
        lines = [
            f"{self.slo_id}: {self.good:,} good of {self.valid:,} valid events in the last hour{share}",
            minutes + (f", {self.unasked} were not asked for" if self.unasked else ""),
        ]
        lines += [f"{_time(each.minute)}  {each.why}" for each in self.wrong[:_SHOWN_MAX]]
        if self.empty == MINUTES:
            lines.append(
                "Prometheus has nothing of it. Is the name right? increase() over 1m needs two samples in each minute: "
                "the target must be scraped every 30 s at least"
            )
        return "\n".join(lines)


def prometheus_of(settings: Settings) -> Prometheus:
    """Its client. Raises NoPrometheus, ApiError."""
    if not settings.prometheus_url:
        raise NoPrometheus(
            f"no Prometheus server is named: give its URL in the setting prometheus_url ({PREFIX}PROMETHEUS_URL)"
        )
    password = settings.prometheus_password
    login = Login(
        settings.prometheus_username,
        password.get_secret_value() if password else "",
        settings.prometheus_token_file,
    )
    api = JsonApi(
        "Prometheus",
        settings.prometheus_url,
        login,
        timeout_s=settings.prometheus_timeout_s,
        ca=settings.prometheus_ca,
        connections=settings.prometheus_at_once,
    )
    return Prometheus(api)


def dry_run(prometheus: Prometheus, slo_id: str, target: float, queries: Queries, now: int = 0) -> Tested:
    """What an SLO would have counted in the last 60 full minutes before `now` (µs since 1970 UTC; 0: the clock's).

    They are asked for one by one, as they are when they count. Raises ApiAway.
    """
    upto = minute_of(now or time.time_ns() // 1_000)
    found: list[Counted] = []
    wrong: list[Wrong] = []
    empty = unasked = 0
    for minute in range(upto - MINUTES * MINUTE, upto, MINUTE):
        try:
            count = counted(prometheus.query, queries, minute)
        except NoCount as error:
            wrong.append(Wrong(minute, str(error)))
        except ApiRefused as error:
            wrong.append(Wrong(minute, str(error)))
            unasked = (upto - minute) // MINUTE - 1
            break
        else:
            found += [count] if count else []
            empty += not count
    good, valid = sum(c.good for c in found), sum(c.valid for c in found)
    return Tested(slo_id, target, good, valid, len(found), empty, tuple(wrong), unasked)


def _time(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at / 1_000_000))
