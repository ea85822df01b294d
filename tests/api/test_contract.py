"""schemathesis tries every route with what its description allows, and with what it does not."""

import contextlib

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.making import Api

pytestmark = pytest.mark.slow
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = 3  # of each route, and of each kind
SEALED = ("/api/v1/replay/proofs/{event}", "/api/v1/replay/checkpoint")  # 503 here: there is no sealer
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_route(api: Api, mode: GenerationMode) -> None:
    """Nothing fails, and each answer is one that the description tells of."""
    headers = {"Authorization": f"Bearer {api.keys['all']}", "Prefer": "respond-async"}
    described = schemathesis.openapi.from_asgi("/openapi.json", api.app)
    routes = [found.ok() for found in described.get_all_operations() if found.ok().path not in SEALED]
    assert len(routes) > 35
    tried = sum(_tried(route, mode, headers) for route in routes)
    assert tried > len(routes)


def _tried(route: APIOperation, mode: GenerationMode, headers: dict[str, str]) -> int:
    """Tries a route with examples of a kind; how many."""
    count = 0

    @FEW
    @given(case=route.as_strategy(generation_mode=mode))
    def attempt(case: Case) -> None:
        nonlocal count
        count += 1
        answer = case.call(headers=headers)
        # That a body is too large is a refusal too, though schemathesis does not count it as one.
        checks = [
            check for check in CHECKS if answer.status_code != 413 or check is not negative_data_rejection
        ]
        case.validate_response(answer, checks=checks)

    with contextlib.suppress(Unsatisfiable):  # a route that takes nothing can be given nothing wrong
        attempt()
    return count
