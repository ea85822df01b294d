"""Faust's table manager, for systems without a table of Faust's: their state is in RocksDB, see state.py."""

from faust.tables import TableManager


class NoTables(TableManager):  # type: ignore[misc]
    """Faust gives tables a second to be declared, and starts the systems of a process one after the other."""

    async def on_start(self) -> None:
        """As Faust's, without the wait."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
