"""The log as a persistence module of the library `eventsourcing`: PERSISTENCE_MODULE=neural_hive.eventsourcing.

How it is used, and what it promises: docs/eventsourcing.md.
"""

from neural_hive.eventsourcing.factory import Factory

__all__ = ["Factory"]
