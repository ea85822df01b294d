"""When tables fall behind, the log is not what was sealed, or a disk fills."""

from typing import Final

from neural_hive.monitoring.model import Alert, AlertGroup
from neural_hive.monitoring.projector import PROJECTOR

_PAGE: Final = PROJECTOR.uid
_FREE: Final = "neural_hive_disk_free_bytes / neural_hive_disk_size_bytes"

STORAGE_ALERTS: Final = AlertGroup(
    "storage",
    (
        Alert(
            "HiveProjectorBehind",
            "sum(neural_hive_projector_lag_records) > 10000",
            "10m",
            "warning",
            "The tables are behind the log",
            "{{ $value | humanize }} records are in the log and not yet in ClickHouse.",
            _PAGE,
        ),
        Alert(
            "HiveProjectorPartitionStopped",
            "neural_hive_projector_stopped_partitions > 0",
            "0m",
            "critical",
            "The projector cannot read {{ $value }} partitions",
            "They hold what cannot be decoded or what is gone; the others go on.",
            _PAGE,
        ),
        Alert(
            "HiveProjectorRetrying",
            "increase(neural_hive_projector_retries_total[10m]) > 5",
            "5m",
            "warning",
            "ClickHouse does not take what the projector writes",
            "{{ $value | humanize }} attempts within 10 minutes were in vain; the projector's log says why.",
            _PAGE,
        ),
        Alert(
            "HiveSealOld",
            "neural_hive_seal_unsealed_records > 0 and time() - neural_hive_seal_last_seconds > 300",
            "5m",
            "warning",
            "Records wait for their seal",
            "{{ $value | humanize }} records are in no checkpoint, and the last one is older than 5 minutes.",
            _PAGE,
        ),
        Alert(
            "HiveSealRefused",
            "neural_hive_seal_refused == 1 or neural_hive_witness_refused == 1",
            "0m",
            "critical",
            "The log is not what was sealed",
            "The sealer or a witness signs nothing more: committed records are gone or were changed.",
            _PAGE,
        ),
        Alert(
            "HiveVerifyFailed",
            "neural_hive_verify_exit_code == 1",
            "0m",
            "critical",
            "The last verification has found something",
            "Run `neural-hive replay verify` again: it names each place.",
            _PAGE,
        ),
        Alert(
            "HiveVerifyIncomplete",
            "neural_hive_verify_exit_code == 2",
            "0m",
            "warning",
            "The log could not be verified to its end",
            "Run `neural-hive replay verify` again: it says what was missing.",
            _PAGE,
        ),
        Alert(
            "HiveDiskLow",
            f"{_FREE} < 0.1",
            "5m",
            "warning",
            "The disk of the data folder gets full",
            "{{ $value | humanizePercentage }} of it is free.",
            _PAGE,
        ),
        Alert(
            "HiveDiskFull",
            f"{_FREE} < 0.03",
            "1m",
            "critical",
            "The disk of the data folder is full",
            "{{ $value | humanizePercentage }} of it is free: what needs room stands still.",
            _PAGE,
        ),
    ),
)
