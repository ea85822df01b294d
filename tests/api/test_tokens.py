"""Tokens, and those who forge them."""

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from neural_hive.api.api_keys import KeyRing, add_key
from neural_hive.api.auth import Authenticator, Grant, KeyVerifier, Unauthenticated, Unverifiable
from neural_hive.api.jwks import AGAIN_S, FRESH_S, KEPT_S, JwksSource, is_safe
from neural_hive.api.jwt_tokens import JwtVerifier
from neural_hive.api.permissions import Role
from neural_hive.api.private_files import PrivateFileRefused
from neural_hive.api.ticket_tokens import TicketTokens, held_tokens
from tests.api.making import Api, away

ISSUER, AUDIENCE, NOW = "https://id.example", "neural-hive", 1_800_000_000
KEY = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
OTHER = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
Claims = dict[str, Any]
GOOD: Claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": NOW + 60, "roles": ["operator", "king"]}


def public(*keys: Any) -> bytes:
    return json.dumps(KeySet(list(keys)).as_dict(private=False)).encode()


def verifier(
    file: Path, algorithms: tuple[str, ...] = ("RS256", "ES256"), roles: str = "roles"
) -> JwtVerifier:
    if not file.exists():
        file.write_bytes(public(KEY))
    return JwtVerifier(JwksSource(str(file), ISSUER), ISSUER, AUDIENCE, algorithms, roles, 30, lambda: NOW)


def token(claims: Claims, key: Any = KEY, alg: str = "RS256", **head: Any) -> str:
    return jwt.encode({"alg": alg, "kid": KEY.kid, **head}, claims, key, algorithms=[alg])


def test_a_good_token_says_who_and_with_which_roles(tmp_path: Path) -> None:
    found = verifier(tmp_path / "keys").identity(token(GOOD))
    assert (found.name, found.roles, found.key) == ("ann", {Role.OPERATOR}, "jwt:ann")
    nested = verifier(tmp_path / "keys", roles="realm.roles")
    assert nested.identity(token(GOOD | {"realm": {"roles": "auditor publisher"}})).roles == {
        Role.AUDITOR,
        Role.PUBLISHER,
    }
    assert nested.identity(token(GOOD)).roles == frozenset()


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "somebody-else"},
        {"aud": ["a", "b"]},
        {"exp": NOW - 31},
        {"exp": "soon"},
        {"exp": None},
        {"nbf": NOW + 31},
        {"sub": None},
        {"sub": ""},
        {"sub": ["ann"]},
        {"sub": "x" * 300},
    ],
)
def test_claims_that_are_not_good(tmp_path: Path, claims: Claims) -> None:
    made = {name: value for name, value in (GOOD | claims).items() if value is not None}
    with pytest.raises(Unauthenticated):
        verifier(tmp_path / "keys").identity(token(made))


def test_clock_skew_and_audiences(tmp_path: Path) -> None:
    check = verifier(tmp_path / "keys")
    assert check.identity(token(GOOD | {"exp": NOW - 29})).name == "ann"
    assert check.identity(token(GOOD | {"aud": ["other", AUDIENCE]})).name == "ann"


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(alg: str) -> str:
    return f"{part({'alg': alg})}.{part(GOOD)}."


def signed_with(secret: bytes, head: Claims, claims: Claims) -> str:
    """By hand: the library refuses a public key as a secret, and an attacker's does not."""
    text = f"{part(head)}.{part(claims)}"
    signature = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def signed_with_public_key() -> str:
    """The RSA public key taken for a secret: works where the token chooses the algorithm."""
    return signed_with(KEY.as_pem(private=False), {"alg": "HS256", "kid": KEY.kid}, GOOD)


def changed_payload() -> str:
    head, _, signature = token(GOOD).split(".")
    body = token(GOOD | {"roles": ["auditor"]}).split(".")[1]
    return f"{head}.{body}.{signature}"


def own_key_inside() -> str:
    return token(GOOD, OTHER, jwk=OTHER.as_dict(private=False))


ATTACKS: dict[str, Callable[[], str]] = {
    "no signature": lambda: unsigned("none"),
    "no signature, other letters": lambda: unsigned("nOnE"),
    "no signature, named RS256": lambda: unsigned("RS256"),
    "public key as a secret": signed_with_public_key,
    "another key": lambda: token(GOOD, OTHER),
    "another key with its own id": lambda: token(GOOD, OTHER, kid=OTHER.kid),
    "key inside the token": own_key_inside,
    "changed claims": changed_payload,
    "cut signature": lambda: token(GOOD)[:-4],
    "algorithm that is not taken": lambda: token(GOOD, alg="RS512"),
    "critical header": lambda: f"{part({'alg': 'RS256', 'crit': ['x']})}." + token(GOOD).split(".", 1)[1],
    "another type": lambda: token(GOOD, typ="logout+jwt"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attacks(tmp_path: Path, attack: Callable[[], str]) -> None:
    with pytest.raises(Unauthenticated):
        verifier(tmp_path / "keys").identity(attack())


def test_symmetric_keys_of_a_provider_are_no_keys(tmp_path: Path) -> None:
    secret = OctKey.generate_key(256, {"use": "sig"}, auto_kid=True)
    file = tmp_path / "keys"
    file.write_text(json.dumps({"keys": [secret.as_dict(private=True), KEY.as_dict(private=False)]}))
    with pytest.raises(Unauthenticated):
        verifier(file, algorithms=("RS256",)).identity(token(GOOD, secret, "HS256", kid=secret.kid))
    assert verifier(file).identity(token(GOOD)).name == "ann"


def test_elliptic_keys_and_new_keys_of_a_provider(tmp_path: Path) -> None:
    """A key that is new is asked for at once, and not again for every unknown id."""
    new, file = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True), tmp_path / "keys"
    file.write_bytes(public(KEY))
    now = [1_000.0]
    source = JwksSource(str(file), ISSUER, clock=lambda: now[0])
    check = JwtVerifier(source, ISSUER, AUDIENCE, ("RS256", "ES256"), "roles", 30, lambda: NOW)
    assert check.identity(token(GOOD)).name == "ann"
    file.write_bytes(public(KEY, new))
    with pytest.raises(Unauthenticated):
        check.identity(token(GOOD, new, "ES256", kid=new.kid))
    now[0] += AGAIN_S + 1
    assert check.identity(token(GOOD, new, "ES256", kid=new.kid)).name == "ann"


def test_a_provider_that_is_away(tmp_path: Path) -> None:
    """Its keys are used for a while; then nobody is let in."""
    file, now = tmp_path / "keys", [1_000.0]
    source = JwksSource(str(file), ISSUER, clock=lambda: now[0])
    with pytest.raises(Unverifiable):
        source.keys("")
    file.write_bytes(public(KEY))
    now[0] += AGAIN_S + 1
    assert source.keys(KEY.kid)
    file.write_text("no keys")
    now[0] += FRESH_S + 1
    assert source.keys(KEY.kid)
    now[0] += KEPT_S
    with pytest.raises(Unverifiable):
        source.keys(KEY.kid)


def test_openid_configuration() -> None:
    def provider(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/.well-known/openid-configuration":
            return httpx.Response(200, json={"issuer": issuer, "jwks_uri": "https://id.example/keys"})
        return httpx.Response(200, content=public(KEY))

    issuer = ISSUER
    client = httpx.Client(transport=httpx.MockTransport(provider))
    assert JwksSource("", ISSUER, client=client).keys(KEY.kid)
    issuer = "https://evil.example"
    with pytest.raises(Unverifiable):
        JwksSource("", ISSUER, client=client).keys(KEY.kid)
    assert is_safe("https://id.example") and is_safe("http://127.0.0.1:1/x")
    assert not is_safe("http://id.example") and not is_safe("file:///etc/passwd")


def test_what_is_no_token(lonely: Api) -> None:
    for text in ("", "a.b.c", "nh_", "nh_abc", "....", "x" * 9_000, "eyJhbGciOiJub25lIn0.e30."):
        answer = lonely.bearer(text).get("/api/v1/me")
        assert answer.status_code == 401, text
        assert answer.headers["www-authenticate"].startswith("Bearer")
    letters = lonely.caller("").get("/api/v1/me", headers=[(b"Authorization", "Bearer nh_é".encode())])
    assert letters.status_code == 401
    twice = lonely.caller("").get(
        "/api/v1/me", headers=[("Authorization", f"Bearer {lonely.keys['all']}")] * 2
    )
    assert twice.status_code == 401
    basic = lonely.caller("").get("/api/v1/me", headers={"Authorization": f"Basic {lonely.keys['all']}"})
    assert basic.status_code == 401


def test_the_api_takes_a_providers_tokens(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(public(KEY))
    given = {"api_jwt_issuer": ISSUER, "api_jwt_audience": AUDIENCE, "api_jwt_keys": str(tmp_path / "keys")}
    api = Api(away(tmp_path, **given))
    good = token(GOOD | {"exp": int(time.time()) + 60})
    assert api.bearer(good).get("/api/v1/me").json() == {"name": "ann", "roles": ["operator"]}
    assert api.bearer(token(GOOD, OTHER)).get("/api/v1/me").status_code == 401
    (tmp_path / "keys").unlink()
    other = Api(away(tmp_path / "other", **given))
    answer = other.bearer(good).get("/api/v1/me")
    assert answer.status_code == 503 and answer.headers["retry-after"]


GRANT = Grant("t-1", "w-1", 2, "a-1", frozenset(("read", "status")))


def test_ticket_tokens_tell_what_they_allow(tmp_path: Path) -> None:
    tokens = held_tokens(tmp_path)
    found = held_tokens(tmp_path).identity(tokens.make(GRANT, 60, "ann"))  # the key is kept
    assert (found.grant, found.roles, found.name) == (GRANT, frozenset(), "agent a-1")
    assert (tmp_path / "ticket.key").stat().st_mode & 0o777 == 0o600
    (key,) = tokens.public()["keys"]
    assert "d" not in key and key["crv"] == "Ed25519"


def test_ticket_tokens_that_are_not_good(tmp_path: Path) -> None:
    now = [float(NOW)]
    mine = OKPKey.generate_key("Ed25519", {"use": "sig"}, auto_kid=True)
    tokens, others = TicketTokens(mine, lambda: now[0]), held_tokens(tmp_path)
    made = tokens.make(GRANT, 60, "ann")
    head, body, signature = made.split(".")
    claims = jwt.decode(made, mine, algorithms=["Ed25519"]).claims
    forged = {
        "another key": others.make(GRANT, 60, "ann"),
        "changed": f"{head}.{others.make(GRANT, 60, 'bob').split('.')[1]}.{signature}",
        "unsigned": f"{head}.{body}.",
        "not for tickets": jwt.encode(
            {"alg": "Ed25519", "typ": "ticket+jwt"}, claims | {"aud": "x"}, mine, algorithms=["Ed25519"]
        ),
        "without an end": jwt.encode(
            {"alg": "Ed25519", "typ": "ticket+jwt"},
            {k: v for k, v in claims.items() if k != "exp"},
            mine,
            algorithms=["Ed25519"],
        ),
        "secret of the public key": signed_with(
            mine.as_pem(private=False), {"alg": "HS256", "typ": "ticket+jwt"}, claims
        ),
    }
    for what, bad in forged.items():
        with pytest.raises(Unauthenticated):
            pytest.fail(f"{what}: {tokens.identity(bad)}")
    assert tokens.identity(made).grant == GRANT
    now[0] += 61
    with pytest.raises(Unauthenticated):
        tokens.identity(made)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    held_tokens(tmp_path)
    (tmp_path / "ticket.key").chmod(0o644)
    with pytest.raises(PrivateFileRefused, match="chmod 600"):
        held_tokens(tmp_path)
    (tmp_path / "ticket.key").chmod(0o600)
    (tmp_path / "ticket.key").write_text("{}")
    with pytest.raises(PrivateFileRefused, match="Restore it"):
        held_tokens(tmp_path)


def test_a_slow_provider_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """While its keys are asked for, whoever has an API key is answered."""
    asked, answer = threading.Event(), threading.Event()

    def provider(request: httpx.Request) -> httpx.Response:
        asked.set()
        answer.wait(30)
        return httpx.Response(200, content=public(KEY))

    source = JwksSource(
        "http://127.0.0.1/keys", ISSUER, client=httpx.Client(transport=httpx.MockTransport(provider))
    )
    slow = JwtVerifier(source, ISSUER, AUDIENCE, ("RS256",), "roles", 30, lambda: NOW)
    key = add_key(tmp_path, "ann", [Role.AUDITOR])
    both = Authenticator(KeyVerifier(KeyRing(tmp_path)), slow)

    async def ask() -> tuple[str, str]:
        waiting = asyncio.create_task(both.bearer(token(GOOD)))
        while not asked.is_set():
            await asyncio.sleep(0.01)
        quick = await both.bearer(key)
        assert not waiting.done()
        answer.set()
        return quick.name, (await waiting).key

    assert asyncio.run(ask()) == ("ann", "jwt:ann")
