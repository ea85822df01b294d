"""The topics with their partitions, how far they are in the tables, and how large the tables are."""

from collections import defaultdict
from typing import Any, Final

import msgspec
from nicegui import ui

from neural_hive.api.services import Services
from neural_hive.page.parts import Trouble, asked, columns, heading, live, size_text
from neural_hive.page.site import Site
from neural_hive.projections.positions import read_standing
from neural_hive.schemas.extensions import all_topics
from neural_hive.sdk.tables import client_as
from neural_hive.settings import Settings

REFRESH_S: Final = 3.0
_SIZES: Final = (
    "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts "
    "WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table"
)


class Stream(msgspec.Struct, frozen=True):
    """A topic: where each partition ends, and how far it is archived."""

    topic: str
    kind: str
    ends: dict[int, int]
    archived: dict[int, int]

    @property
    def behind(self) -> int:
        """Offsets that are not in the tables yet; markers of transactions count too."""
        return sum(max(end - self.archived.get(number, 0), 0) for number, end in self.ends.items())


class Table(msgspec.Struct, frozen=True):
    """A table and what it takes on disk."""

    name: str
    rows: int
    size_bytes: int
    parts: int


async def show(site: Site) -> None:
    """The view."""
    heading(
        "Streams and tables", "Offsets count the markers of transactions too: a few may stay behind for good."
    )
    trouble = Trouble()
    with ui.row().classes("w-full gap-4 items-start"):
        streams = ui.table(
            columns=columns(
                "topic", "kind", "partitions", "records", "behind", "ends", right=("records", "behind")
            ),
            rows=[],
            row_key="key",
            title="Streams",
        )
        tables = ui.table(
            columns=columns("table", "rows", "size", "parts", right=("rows", "size", "parts")),
            rows=[],
            row_key="key",
            title="Tables",
        )

    async def refresh() -> None:
        found = await asked(trouble, look, site.services)
        if found is not None:
            streams.rows, tables.rows = [_stream_row(s) for s in found[0]], [_table_row(t) for t in found[1]]

    await refresh()
    live(REFRESH_S, refresh)


def look(services: Services) -> tuple[list[Stream], list[Table]]:
    """Both lists. Raises Unreachable, ClickHouseError."""
    positions = read_standing(services.tables).positions
    ends: dict[str, dict[int, int]] = defaultdict(dict)
    archived: dict[str, dict[int, int]] = defaultdict(dict)
    for (topic, number), end in services.log.ends(list(positions)).items():
        ends[topic][number], archived[topic][number] = end, positions[topic, number].next
    known = all_topics()
    streams = [
        Stream(topic, known[topic].kind if topic in known else "", ends[topic], archived[topic])
        for topic in sorted(ends)
    ]
    return streams, sizes(services.settings)


def sizes(settings: Settings) -> list[Table]:
    """The tables, asked by our own user: readers may not see how they are stored. Raises ClickHouseError."""
    with client_as(settings, settings.clickhouse_user, retry_s=0) as client:
        return [Table(str(n), int(r), int(b), int(p)) for n, r, b, p in client.rows(_SIZES)]


def _stream_row(stream: Stream) -> dict[str, Any]:
    return {
        "key": stream.topic,
        "topic": stream.topic,
        "kind": stream.kind,
        "partitions": len(stream.ends),
        "records": f"{sum(stream.ends.values()):,}",
        "behind": f"{stream.behind:,}",
        "ends": ", ".join(f"{number}: {end:,}" for number, end in sorted(stream.ends.items())),
    }


def _table_row(table: Table) -> dict[str, Any]:
    return {
        "key": table.name,
        "table": table.name,
        "rows": f"{table.rows:,}",
        "size": size_text(table.size_bytes),
        "parts": table.parts,
    }
