"""How the system does, and who asks: `/health`, `/ready`, `/metrics`, `/api/v1/me`."""

import msgspec
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from neural_hive.api.answers import MEDIA_TYPE, told
from neural_hive.api.health import Health
from neural_hive.api.services import IdentityOf, ServicesOf

router = APIRouter(tags=["system"])


class Me(msgspec.Struct, frozen=True):
    """Who asks, and what they may do."""

    name: str
    roles: tuple[str, ...]


class Ready(msgspec.Struct, frozen=True):
    """Whether the API can answer."""

    status: str


@router.get(
    "/health", responses=told(Health) | told(Health, status=503, description="Kafka or ClickHouse is away")
)
async def health(services: ServicesOf) -> Response:
    """Each consumer of the log with how far behind it is, the processes, Kafka and ClickHouse."""
    found = await services.looking.run(services.health.health)
    return Response(msgspec.json.encode(found), 503 if found.status == "down" else 200, media_type=MEDIA_TYPE)


@router.get("/ready", responses=told(Ready) | told(Ready, status=503, description="Not now"))
async def ready(services: ServicesOf) -> Response:
    """Whether Kafka and ClickHouse answer, so that the API can."""
    is_ready = (await services.looking.run(services.health.health)).status != "down"
    body = msgspec.json.encode(Ready("ready" if is_ready else "not ready"))
    return Response(body, 200 if is_ready else 503, media_type=MEDIA_TYPE)


@router.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
def metrics() -> Response:
    """What this process counts, in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get("/api/v1/me", responses=told(Me))
def me(request: Request, identity: IdentityOf) -> Response:
    """Who you are to the API."""
    body = msgspec.json.encode(Me(identity.name, tuple(sorted(identity.roles))))
    return Response(body, media_type=MEDIA_TYPE)


@router.get("/.well-known/jwks.json", responses={200: {"description": "A JWK set (RFC 7517)"}})
def public_keys(services: ServicesOf) -> Response:
    """The public key that tokens of tickets are checked with."""
    return Response(msgspec.json.encode(services.tokens.public()), media_type=MEDIA_TYPE)
