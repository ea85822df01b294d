"""What a JWT says of itself, before anything of it is believed: only to choose who checks it."""

import base64
import binascii
import json
from typing import Any, Final

_HEAD_CHARS_MAX: Final = 2_048


def head_of(token: str) -> dict[str, Any]:
    """The header; empty if it has none that can be read."""
    head, found, _ = token.partition(".")
    if not found or len(head) > _HEAD_CHARS_MAX:
        return {}
    try:
        read = json.loads(base64.b64decode(head + "=" * (-len(head) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
