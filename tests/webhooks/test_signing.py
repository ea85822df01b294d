"""Signatures: those of Standard Webhooks, to the letter; a file of secrets; and what receivers check with."""

import base64
import hmac
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors.webhook_signing import (
    BadSecret,
    key_of,
    keys_in,
    keys_of,
    new_secret,
    signature,
    signed,
)
from neural_hive.sdk.webhooks import NotVerified, Seen, Verifier, verify, verify_plain

# Published with the specification's libraries (github.com/standard-webhooks/standard-webhooks).
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID, TIMESTAMP = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330
BODY = b'{"test": 2432232314}'
EXPECTED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def headers(*secrets: str, timestamp: int = TIMESTAMP, body: bytes = BODY) -> dict[str, str]:
    return signed([key_of(secret) for secret in secrets], MESSAGE_ID, timestamp, body)


def test_the_vector_of_the_specification() -> None:
    made = headers(SECRET)
    assert made["webhook-signature"] == EXPECTED
    assert (made["webhook-id"], made["webhook-timestamp"]) == (MESSAGE_ID, str(TIMESTAMP))
    verify(BODY, made, [SECRET], now=TIMESTAMP)


def test_the_plain_signature() -> None:
    expected = hmac.new(base64.b64decode(SECRET[6:]), BODY, sha256).hexdigest()
    assert headers(SECRET)["X-Webhook-Signature"] == f"sha256={expected}"
    verify_plain(BODY, {"x-webhook-signature": f"sha256={expected}"}, [OTHER, SECRET])
    with pytest.raises(NotVerified, match="does not fit"):
        verify_plain(BODY + b" ", {"X-Webhook-Signature": f"sha256={expected}"}, [SECRET])
    with pytest.raises(NotVerified, match="has no x-webhook-signature"):
        verify_plain(BODY, {}, [SECRET])


def test_while_secrets_change_either_fits() -> None:
    both = headers(SECRET, OTHER)
    assert both["webhook-signature"].split()[0] == EXPECTED
    for secrets in ([SECRET], [OTHER], [OTHER, SECRET]):
        verify(BODY, both, secrets, now=TIMESTAMP)
    verify(BODY, headers(OTHER), [SECRET, OTHER], now=TIMESTAMP)
    with pytest.raises(NotVerified, match="no signature"):
        verify(BODY, headers(OTHER), [SECRET], now=TIMESTAMP)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_nothing_may_be_missing_or_changed(name: str) -> None:
    given_ = headers(SECRET)
    with pytest.raises(NotVerified, match=f"has no {name}"):
        verify(BODY, {k: v for k, v in given_.items() if k != name}, [SECRET], now=TIMESTAMP)
    changed = given_ | {name: "1" + given_[name][1:]} if name != "webhook-id" else given_ | {name: "msg_q"}
    if name == "webhook-timestamp":
        changed = given_ | {name: str(TIMESTAMP + 1)}
    with pytest.raises(NotVerified, match="no signature"):
        verify(BODY, changed, [SECRET], now=TIMESTAMP)
    with pytest.raises(NotVerified):
        verify(BODY, given_ | {name: "x" * 5_000}, [SECRET], now=TIMESTAMP)


@pytest.mark.parametrize("extra", ["v1a,abc", "v2,abc", "v1", "v1,", "garbage", "v1,ümlaut"])
def test_other_signatures_beside_ours_do_no_harm(extra: str) -> None:
    mixed = headers(SECRET) | {"webhook-signature": f"{extra} {EXPECTED}"}
    verify(BODY, mixed, [SECRET], now=TIMESTAMP)
    with pytest.raises(NotVerified, match="no signature"):
        verify(BODY, mixed | {"webhook-signature": extra}, [SECRET], now=TIMESTAMP)


def test_old_and_future_requests_are_refused() -> None:
    verify(BODY, headers(SECRET), [SECRET], tolerance_s=300, now=TIMESTAMP + 300)
    with pytest.raises(NotVerified, match="old, more than 300 s"):
        verify(BODY, headers(SECRET), [SECRET], tolerance_s=300, now=TIMESTAMP + 301)
    with pytest.raises(NotVerified, match="ahead"):
        verify(BODY, headers(SECRET), [SECRET], tolerance_s=300, now=TIMESTAMP - 301)


def test_a_timestamp_that_is_no_number_is_refused_even_when_it_is_signed() -> None:
    strange = "1614265330.0"
    made = headers(SECRET) | {
        "webhook-timestamp": strange,
        "webhook-signature": "v1," + signature(key_of(SECRET), MESSAGE_ID, strange, BODY),
    }
    with pytest.raises(NotVerified, match="must be seconds"):
        verify(BODY, made, [SECRET], now=TIMESTAMP)


@given(st.binary(max_size=300), st.integers(0, 10**9), st.integers(1, 255))
def test_one_changed_byte_is_found(body: bytes, place: int, flip: int) -> None:
    made = headers(SECRET, body=body)
    verify(body, made, [SECRET], now=TIMESTAMP)
    changed = bytearray(body or b"x")
    changed[place % len(changed)] ^= flip
    with pytest.raises(NotVerified):
        verify(bytes(changed), made, [SECRET], now=TIMESTAMP)


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ([], "no secret"),
        (SECRET, "list"),
        (["secret"], "whsec_"),
        (["whsec_###"], "base64"),
        (["whsec_YWJj"], "3"),
    ],
)
def test_secrets_that_are_none(secrets: list[str], reason: str) -> None:
    with pytest.raises(BadSecret, match=reason) as refused:
        verify(BODY, headers(SECRET), secrets, now=TIMESTAMP)
    assert "YWJj" not in str(refused.value), "an error must not tell a secret"


def test_a_verifier_knows_repeats_and_forgets_the_oldest() -> None:
    verifier = Verifier([SECRET], ids_max=2, clock=lambda: TIMESTAMP)
    with pytest.raises(NotVerified, match="no webhook's"):
        verifier.verify(BODY, headers(SECRET))
    body = b'{"type":"TicketFailed","timestamp":"2026-01-01T00:00:00Z","data":{"ticket_id":"t"}}'
    told = verifier.verify(body, headers(SECRET, body=body))
    assert (told.id, told.type, told.data) == (MESSAGE_ID, "TicketFailed", {"ticket_id": "t"})
    assert [verifier.is_repeat(one) for one in ("a", "a", "b", "c", "a")] == [
        False,
        True,
        False,
        False,
        False,
    ]


def test_two_threads_do_not_both_have_it_for_the_first_time() -> None:
    seen, first = Seen(), []

    def add() -> None:
        first.extend(number for number in range(2_000) if seen.add(str(number)))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(first) == list(range(2_000))


def test_files_of_secrets(tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_text(f"{SECRET}\n\n {OTHER}\n")
    assert keys_in(file) == (key_of(SECRET), key_of(OTHER))
    for text in ("", f"{SECRET}\n{OTHER}\n{OTHER}\n", "password\n"):
        file.write_text(text)
        with pytest.raises(BadSecret, match=str(file)) as refused:
            keys_in(file)
        assert "password" not in str(refused.value)
    file.write_bytes(b"\xff")
    with pytest.raises(BadSecret, match="cannot be read"):
        keys_in(file)


def test_a_receiver_may_have_a_secret_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(BadSecret, match="put one into"):
        keys_of(tmp_path, "agents", "h", 443)
    for name in ("agents", "agents@h", "agents@h:443"):
        secret = new_secret()
        (tmp_path / name).write_text(secret)
        assert keys_of(tmp_path, "agents", "h", 443) == (key_of(secret),)
    (tmp_path / "agents").write_text(SECRET)
    assert keys_of(tmp_path, "agents", "other", 443) == (key_of(SECRET),)
