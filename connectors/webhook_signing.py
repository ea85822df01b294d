"""Signs webhooks as Standard Webhooks say (github.com/standard-webhooks/standard-webhooks), and with a plain HMAC too.

A secret is `whsec_` and the base64 of 24 to 64 random bytes. A file holds one, or two while they are changed: the first
line is the one that `X-Webhook-Signature` is made with, and every line signs `webhook-signature`.
"""

import base64
import binascii
import hmac
import secrets as randomness
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32  # of a new one
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
SECRETS_MAX: Final = 2
ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
PLAIN_SIGNATURE: Final = "X-Webhook-Signature"
VERSION: Final = "v1"


class BadSecret(ValueError):
    """A secret that cannot be used, or none; the text says where and what to do, and never the secret."""


def new_secret() -> str:
    """A secret that nobody knows yet."""
    return PREFIX + base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret. Raises BadSecret."""
    if not secret.startswith(PREFIX):
        raise BadSecret(f"a secret must begin with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSecret(f"what follows {PREFIX} in a secret must be base64") from error
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise BadSecret(
            f"a secret must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, this one has {len(key)}"
        )
    return key


def keys_in(file: Path) -> tuple[bytes, ...]:
    """The secrets of a file, the one in use first. Raises BadSecret."""
    try:
        lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadSecret(f"the secret in {file} cannot be read: {error}") from error
    if not 1 <= len(lines) <= SECRETS_MAX:
        raise BadSecret(f"{file} must hold one secret, or {SECRETS_MAX} while they change: one a line")
    try:
        return tuple(key_of(line) for line in lines)
    except BadSecret as error:
        raise BadSecret(f"{file}: {error}") from error


def keys_of(folder: Path, subscription_id: str, host: str, port: int) -> tuple[bytes, ...]:
    """The secrets of a subscription: those of one receiver if it has a file of its own. Raises BadSecret."""
    names = (f"{subscription_id}@{host}:{port}", f"{subscription_id}@{host}", subscription_id)
    for name in names:
        if (folder / name).is_file():
            return keys_in(folder / name)
    raise BadSecret(f"there is no secret: put one into {folder / subscription_id}")


def signed(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a webhook; `timestamp` in s since 1970 UTC."""
    signatures = (f"{VERSION},{signature(key, message_id, str(timestamp), body)}" for key in keys)
    return {
        ID: message_id,
        TIMESTAMP: str(timestamp),
        SIGNATURE: " ".join(signatures),
        PLAIN_SIGNATURE: f"sha256={plain_signature(keys[0], body)}",
    }


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Base64 of the HMAC of id, timestamp and body."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, content, sha256)).decode()


def plain_signature(key: bytes, body: bytes) -> str:
    """Hex of the HMAC of the body alone: it proves neither id nor time."""
    return hmac.digest(key, body, sha256).hex()


def is_any(given: str, expected: Iterable[str]) -> bool:
    """Whether a text is one of some others, in a time that says nothing of which and how far."""
    found = False
    for one in expected:
        found |= hmac.compare_digest(given.encode(), one.encode())
    return found
