"""Freezes, and workflows that begin in them, in memory."""

from typing import Any

from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.freeze import DeployFreeze, Standing
from neural_hive.aggregates.freeze_policy import Action, Scope
from neural_hive.aggregates.vocabulary import Task, TaskType
from tests.aggregates.making import decision, task
from tests.orchestrator.running import Run


def deploy(name: str, *needed: str, service: str = "checkout", namespace: str = "", **changes: Any) -> Task:
    """A task that deploys a service."""
    place = {"service": service, "namespace": namespace}
    return task(name, *needed, task_type=TaskType.DEPLOY, parameters=place, **changes)


def freeze(
    freeze_id: str = "f-1", subject: str = "checkout", scope: Scope = Scope.SERVICE, revision: int = 3
) -> DeployFreeze:
    """One that blocks deployments."""
    about = (freeze_id, f"policy-{freeze_id}", revision, scope, subject, (Action.BLOCK_DEPLOY,))
    return DeployFreeze(*about, "slo", "budget", Standing.ACTIVE, 1, 0.05, Level.FAST, 1)


def frozen(*tasks: Task, by: tuple[DeployFreeze, ...] = (), capacity: int = 10_000) -> Run:
    """A workflow that begins in a freeze."""
    run = Run(decision(*tasks), capacity)
    run.pair.freezes = {found.freeze_id: found for found in by or (freeze(),)}
    run.publish()
    return run
