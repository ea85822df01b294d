"""By what ClickHouse tells callers apart, so that its limits hold for each of them, without telling it who they are."""

import hmac
import secrets
from pathlib import Path
from typing import Final, Self

from neural_hive.api.auth import Identity
from neural_hive.api.private_files import read_private, write_private

FILE: Final = "quota.secret"
_SECRET_BYTES: Final = 32
_KEY_DIGITS: Final = 32


class QuotaKeys:
    """Pseudonyms: the same for a caller as long as the secret is kept; without it nobody can guess whose they are."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Those of the API's folder; its secret is made if there is none. Raises PrivateFileRefused."""
        file = folder / FILE
        if (secret := read_private(file)) is None:
            secret = secrets.token_bytes(_SECRET_BYTES)
            write_private(file, secret)
        return cls(secret)

    def of_caller(self, identity: Identity) -> str:
        """The key of who asks: of the API key, or of the subject that an identity provider names."""
        return hmac.digest(self._secret, identity.key.encode(), "sha256").hex()[:_KEY_DIGITS]
