"""The projector over some event topics, into a database of its own: the archive alone, or all read models too.

python -m bench.projection_worker DATABASE TABLES TOPIC [TOPIC ...]

TABLES is `archive` or `all`. Broker and ClickHouse are those of the environment's settings.
"""

import gc
import sys
from typing import Final

from neural_hive.process import stop_event
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.projector import GC_THRESHOLDS, Projector
from neural_hive.schemas.topics import Kind
from neural_hive.settings import load_settings

ARCHIVE: Final = "archive"
ALL: Final = "all"


def main(database: str, tables: str, *topics: str) -> None:
    """Follows the topics until it is told to stop."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    settings = load_settings(running=False)
    user = settings.clickhouse_user
    host, port = settings.clickhouse_host, settings.clickhouse_port
    store = HttpStore(host, port, user, settings.password_of(user), database)
    store.create_database()
    kinds = dict.fromkeys(topics, Kind.EVENT)
    projections = PROJECTIONS if tables == ALL else ()
    Projector(store, settings.kafka_config(), kinds, stop_event(), projections).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
