"""Exceptions from freezes over HTTP: asked for, answered by another person with the role, taken back."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from neural_hive.api.api_keys import add_key
from neural_hive.api.permissions import Role
from tests.api.making import Api, problem
from tests.sdk.conftest import CLI, Hive

PATH = "/api/v1/freeze-exceptions"
PATIENT = {"Prefer": "wait=60"}
ASKED = {"scope": "SERVICE", "subject": "shop", "duration_ms": 600_000, "reason": "the fix is in it"}


@pytest.fixture(scope="module")
def calculator(hive: Hive) -> Iterator[Hive]:
    """The hive, with the SLA calculator."""
    process = hive.start(*CLI, "processor", "sla", name="processor-sla")
    yield hive
    hive.stop(process)


@pytest.fixture(scope="module")
def bob(api: Api) -> TestClient:
    """Another person who may do everything."""
    return api.bearer(add_key(api.services.settings.api_folder, "bob", Role))


def posted(caller: TestClient, path: str, body: dict[str, Any], **headers: str) -> Any:
    return caller.post(path, json=body, headers=PATIENT | headers)


def test_from_question_to_end(api: Api, caller: TestClient, bob: TestClient, calculator: Hive) -> None:
    made = posted(caller, PATH, ASKED, **{"Idempotency-Key": "the fix"})
    assert made.status_code == 201, made.text
    where = made.json()["resource"]
    assert posted(caller, PATH, ASKED, **{"Idempotency-Key": "the fix"}).json()["resource"] == where
    own = problem(posted(caller, f"{where}/approve", {"reason": "go"}), 409, "dead-letter")
    assert "another person must" in own["detail"]
    allowed = posted(bob, f"{where}/approve", {"reason": "go"})
    assert (allowed.status_code, allowed.json()["events"]) == (200, ["FreezeExceptionApproved"])
    seen = {"X-Read-After": allowed.headers["x-read-after"]} if "x-read-after" in allowed.headers else {}
    found = bob.get(where, headers=seen).json()
    assert (found["status"], found["subject"], found["answer"]) == ("APPROVED", "shop", "go")
    assert (found["requested_by"], found["approved_by"]) == ("ann", "bob")
    listed = bob.get(PATH, params={"status": "APPROVED", "scope": "SERVICE"}).json()["items"]
    assert [item["exception_id"] for item in listed] == [found["exception_id"]]
    taken_back = posted(caller, f"{where}/revoke", {"reason": "it is out"})
    assert taken_back.json()["events"] == ["FreezeExceptionRevoked"]
    assert posted(bob, f"{where}/revoke", {"reason": "it is out"}).json()["status"] == "NOTHING_NEW"
    again = problem(posted(bob, f"{where}/approve", {"reason": "go"}), 409, "dead-letter")
    assert "REVOKED" in again["detail"]


def test_one_that_is_rejected(caller: TestClient, bob: TestClient, calculator: Hive) -> None:
    where = posted(caller, PATH, ASKED | {"subject": "till"}).json()["resource"]
    said = posted(bob, f"{where}/reject", {"reason": "wait"})
    assert said.json()["events"] == ["FreezeExceptionRejected"]
    until = time.monotonic() + 30
    while bob.get(where).json().get("status") != "REJECTED":
        assert time.monotonic() < until
        time.sleep(0.2)


def test_what_makes_no_sense(caller: TestClient, calculator: Hive) -> None:
    for change in ({"scope": "GLOBAL"}, {"subject": ""}, {"duration_ms": 1}, {"reason": ""}):
        problem(posted(caller, PATH, ASKED | change), 422, "invalid")
    for scope in ("TICKET", "WORKFLOW"):
        problem(posted(caller, PATH, ASKED | {"scope": scope, "subject": "nobody"}), 404, "not-found")
    long = problem(posted(caller, PATH, ASKED | {"duration_ms": 48 * 3_600_000}), 409, "dead-letter")
    assert "24 hours at most" in long["detail"]
    nobody = problem(posted(caller, f"{PATH}/none/approve", {"reason": "x"}), 409, "dead-letter")
    assert "no such exception" in nobody["detail"]
    problem(caller.get(f"{PATH}/none"), 404, "not-found")
