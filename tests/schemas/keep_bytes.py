"""Keeps one written record of every registered schema: `python -m tests.schemas.keep_bytes`.

Written once per schema id and never again: `test_old_bytes.py` reads them for ever, as recovery and audit must.
"""

import io
from pathlib import Path
from typing import Any, Final

import fastavro
import msgspec

from neural_hive.schemas import catalogue, freeze
from tests.schemas import samples

FOLDER: Final = Path(__file__).parent / "old_bytes"


def missing() -> list[int]:
    """The schema ids of which no written record is kept; those of other systems are theirs to keep."""
    own = freeze.registered_rows(Path(catalogue.__file__).parent)
    return sorted(
        row.id for row in own if not all((FOLDER / f"{row.id}.{end}").exists() for end in ("bin", "json"))
    )


def keep(number: int) -> None:
    """Writes a record of a schema: its bytes, and what they mean as JSON (bytes fields in Base64)."""
    record: dict[str, Any] = samples.fixed(catalogue.schema_of(number))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, catalogue.parsed(number), record)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{number}.bin").write_bytes(b"\0" + number.to_bytes(4, "big") + out.getvalue())
    name = catalogue.registered()[number].name
    meaning = msgspec.json.encode({"name": name, "record": record})
    (FOLDER / f"{number}.json").write_bytes(msgspec.json.format(meaning) + b"\n")


if __name__ == "__main__":
    for number in missing():
        keep(number)
        print(f"kept {FOLDER / str(number)}.bin and .json")
