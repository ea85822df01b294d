"""Records written by every version of every schema are still read, and still mean the same."""

from pathlib import Path

import msgspec
import pytest

from neural_hive.schemas import catalogue, codec
from tests.schemas import keep_bytes

KEPT = sorted((path for path in keep_bytes.FOLDER.glob("*.bin")), key=lambda path: int(path.stem))


def test_a_record_of_every_schema_is_kept() -> None:
    ids = keep_bytes.missing()
    assert not ids, (
        f"no bytes are kept for schema ids {ids}; run python -m tests.schemas.keep_bytes and commit them"
    )


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_old_bytes_mean_what_they_meant(path: Path) -> None:
    meaning = msgspec.json.decode(path.with_suffix(".json").read_bytes())
    row = catalogue.registered()[int(path.stem)]
    decoded = codec.decode(path.read_bytes(), row.kind)
    assert decoded.schema.name == meaning["name"]
    head, payload = (msgspec.to_builtins(part) for part in (decoded.head, decoded.payload))
    kept = meaning["record"]
    assert payload == kept["payload"]
    for name, value in kept["envelope" if row.kind == "event" else "header"].items():
        assert head[name] == value
