"""Apps and callers for tests of the API."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from neural_hive.api.api_keys import add_key
from neural_hive.api.app import create_app
from neural_hive.api.permissions import Role
from neural_hive.api.refused import RefusedCall
from neural_hive.api.services import Services
from neural_hive.settings import Settings

PLENTY = {"api_rate_per_s": 1e6, "api_rate_burst": 1_000_000}


class ToldRefusals:
    """Keeps what it is told of refused calls."""

    def __init__(self) -> None:
        self.calls: list[RefusedCall] = []

    def tell(self, call: RefusedCall) -> None:
        self.calls.append(call)


class Api:
    """The API in this process, over the settings' servers, and callers with keys of their own."""

    def __init__(self, settings: Settings, timeout_s: float = 60.0) -> None:
        self.refusals = ToldRefusals()
        self.services = Services(settings, self.refusals)
        self.app = create_app(self.services, timeout_s)
        self.keys = {str(role): add_key(settings.api_folder, f"{role}-1", [role]) for role in Role} | {
            "all": add_key(settings.api_folder, "ann", Role)
        }

    def caller(self, who: str = "all") -> TestClient:
        """Somebody with one role, with all of them ("all"), or nobody ("")."""
        return self.bearer(self.keys[who]) if who else self._client({})

    def bearer(self, token: str) -> TestClient:
        """Somebody with this key or token."""
        return self._client({"Authorization": f"Bearer {token}"})

    def _client(self, headers: dict[str, str]) -> TestClient:
        return TestClient(self.app, raise_server_exceptions=False, headers=headers, client=("127.0.0.9", 1))


def away(data: Path, **more: Any) -> Settings:
    """Settings of servers that are not there."""
    given = {"clickhouse_port": 2, "clickhouse_api_password": "nobody asks for it", **PLENTY, **more}
    return Settings(data=data, kafka_bootstrap="127.0.0.1:1", **given)


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The problem document that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"urn:neural-hive:problem:{kind}"
    assert found["status"] == status and found["title"] and found["detail"]
    assert found["instance"] == f"urn:neural-hive:request:{answer.headers['x-request-id']}"
    assert "Traceback" not in answer.text and ".py" not in answer.text
    return found
