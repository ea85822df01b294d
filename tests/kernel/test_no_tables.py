"""The kernel has no tables of Faust's: its apps do not wait for any to be declared."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from neural_hive.streams.kernel.no_tables import NoTables


def test_a_start_does_not_wait_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start() -> tuple[Any, float]:
        app = faust.App("no-tables", broker="kafka://127.0.0.1:1", store="memory://", TableManager=NoTables)
        app.consumer = SimpleNamespace(assignment=set, pause_partitions=lambda places: None)
        recovery = app.tables.recovery

        async def started() -> bool:
            recovery.was_started = True
            return True

        monkeypatch.setattr(recovery, "start", started)
        began = time.monotonic()
        await app.tables.on_start()
        return app.tables, time.monotonic() - began

    tables, took_s = asyncio.run(start())
    assert took_s < 0.9
    assert tables.recovery.was_started
    assert tables._tables_registered.is_set()
