"""SLOs and freeze policies as somebody asks for them, and the definitions that they are."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sla_window import WindowKind
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, SloType
from neural_hive.api.problems import FieldProblem, unprocessable
from neural_hive.api.writing import Asked, Text
from neural_hive.slo_files.own import rules

_DAYS_MAX: Final = 366
Long = Annotated[str, StringConstraints(max_length=10_000)]
Words = Annotated[str, StringConstraints(max_length=1_000)]
Revision = Annotated[
    int | None,
    Field(ge=1, lt=2**31, description="The one that is changed; may be left out with `If-Match`"),
]
Made = TypeVar("Made", Definition, Policy)
_NOT_SAID: Final = {"reason", "revision"}  # of the definition: they are about the change


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AskedPart(_Model):
    """One of the SLOs that a composite one is made of."""

    slo_id: Text
    weight: float = 1.0


class AskedIndicator(_Model):
    """How good and valid events are counted: by expressions over a source's fields, or by PromQL with $window."""

    source: Source
    good: Long = ""
    valid: Long = ""
    group_by: Text = ""
    good_promql: Long = ""
    valid_promql: Long = ""
    metric_name: Text = ""
    parts: tuple[AskedPart, ...] = ()


class AskedSlo(Asked):
    """All that an SLO says; what is left out is at its default, also in a change."""

    name: Words
    slo_type: SloType
    service_name: Words
    target: Annotated[float, Field(gt=0, lt=1, description="Share of valid events that shall be good")]
    indicator: AskedIndicator
    window_kind: WindowKind = WindowKind.ROLLING
    window_days: Annotated[int, Field(ge=0, le=_DAYS_MAX)] = 30
    layer: Words = ""
    namespace: Words = ""
    description: Words = ""
    labels: dict[str, str] = Field(default_factory=dict)
    enabled: bool = True


class NewSlo(AskedSlo):
    """An SLO that is not there yet."""

    slo_id: Text


class ChangedSlo(AskedSlo):
    """An SLO as it shall be from now on."""

    revision: Revision = None


class AskedPolicy(Asked):
    """All that a freeze policy says; what is left out is at its default, also in a change."""

    name: Words
    scope: Scope
    subject: Words = ""
    actions: Annotated[tuple[Action, ...], Field(min_length=1, max_length=8)]
    trigger_percent: Annotated[float, Field(ge=0, le=100)]
    unfreeze_percent: Annotated[float, Field(ge=0, le=100)]
    trigger_level: Level = Level.UNKNOWN
    description: Words = ""
    enabled: bool = True


class NewPolicy(AskedPolicy):
    """A policy that is not there yet."""

    policy_id: Text


class ChangedPolicy(AskedPolicy):
    """A policy as it shall be from now on."""

    revision: Revision = None


def definition_of(slo_id: str, asked: AskedSlo) -> Definition:
    """The definition that is asked for. Raises Problem: the SLA calculator would refuse it."""
    return _checked(msgspec.convert(asked.model_dump(exclude=_NOT_SAID) | {"slo_id": slo_id}, Definition))


def policy_of(policy_id: str, asked: AskedPolicy) -> Policy:
    """The policy that is asked for. Raises Problem: the SLA calculator would refuse it."""
    return _checked(msgspec.convert(asked.model_dump(exclude=_NOT_SAID) | {"policy_id": policy_id}, Policy))


def _checked(made: Made) -> Made:
    if problems := rules(made):
        errors = [FieldProblem(words, _pointer(path)) for path, words in problems]
        raise unprocessable("; ".join(words for _, words in problems), errors)
    return made


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{part}" for part in path)
