"""For each alert what sets it off, and what looks alike and must not: series by minutes, as promtool writes them."""

from typing import Final

import msgspec

Series = dict[str, str]
_C: Final = "neural_hive_flow_c"
_PLACE: Final = '{system="orchestrator",partition="2"}'
_INPUT: Final = '{system="orchestrator",topic="plans.consensus",partition="2"}'
_HEALTHY: Final = 'agents_active{type="WORKER",status="HEALTHY"}'


class Case(msgspec.Struct, frozen=True):
    """One alert, after so many minutes of each."""

    alert: str
    fires: Series
    is_quiet: Series
    minutes: int = 30


def latency(fast: int, slow: int) -> Series:
    """Workflows that end each minute, within 3 hours and within 8."""
    name = f"{_C}_duration_seconds_bucket"
    return {
        f'{name}{{le="10800"}}': f"0+{fast}x60",
        f'{name}{{le="14400"}}': f"0+{fast}x60",
        f'{name}{{le="28800"}}': f"0+{fast + slow}x60",
        f'{name}{{le="+Inf"}}': f"0+{fast + slow}x60",
    }


def ends(good: int, bad: int) -> Series:
    """Workflows that end each minute."""
    return {f"{_C}_success_total": f"0+{good}x60", f'{_C}_failures_total{{reason="tasks"}}': f"0+{bad}x60"}


def tickets(started: str, generated: str, lag: str = "0x60", validated: str = "0x60") -> Series:
    """What becomes of plans."""
    return {
        f"{_C}_workflows_started_total": started,
        f'{_C}_tickets_generated_total{{task_type="TEST"}}': generated,
        f'{_C}_validations_total{{result="accepted"}}': validated,
        f"neural_hive_input_lag_records{_INPUT}": lag,
    }


def transactions(quick: int, slow: int) -> Series:
    """Transactions of each minute, under a second and over."""
    name = "neural_hive_transaction_seconds_bucket"
    labels = 'system="orchestrator",partition="2"'
    return {
        f'{name}{{{labels},le="1.0"}}': f"0+{quick}x60",
        f'{name}{{{labels},le="2.5"}}': f"0+{quick + slow}x60",
        f'{name}{{{labels},le="+Inf"}}': f"0+{quick + slow}x60",
    }


def disk(free: int) -> Series:
    """A disk of 100 bytes."""
    return {"neural_hive_disk_free_bytes": f"{free}x60", "neural_hive_disk_size_bytes": "100x60"}


def looks(quick: int, slow: int) -> Series:
    """Looks at budgets each minute, within half a second and over."""
    name = "neural_hive_sla_calculation_duration_seconds_bucket"
    return {
        f'{name}{{le="0.5"}}': f"0+{quick}x60",
        f'{name}{{le="1.0"}}': f"0+{quick + slow}x60",
        f'{name}{{le="+Inf"}}': f"0+{quick + slow}x60",
    }


def troubles(records: str, letters: str, timers: str, system: str = "sli") -> Series:
    """What becomes of records, and of looks."""
    place = f'{{system="{system}",partition="0"}}'
    return {
        f"neural_hive_records_total{place}": records,
        f"neural_hive_dead_letters_total{place}": letters,
        f"neural_hive_timers_failed_total{place}": timers,
    }


def tables(retries: str, lag: str, topic: str = "sla.budgets") -> Series:
    """How the projector gets on."""
    return {
        "neural_hive_projector_retries_total": retries,
        f'neural_hive_projector_lag_records{{topic="{topic}",partition="0"}}': lag,
    }


def one(series: str, fires: str, is_quiet: str, alert: str) -> Case:
    """An alert that looks at one series."""
    return Case(alert, {series: fires}, {series: is_quiet})


_BUFFER: Final = f"{_C}_telemetry_buffer_limit"
_DROPPED: Final = f'{_C}_telemetry_dropped_total{{reason="full"}}'
_NOBODY: Final = f'{_C}_workflows_waiting{{reason="no_agent"}}'
_CALLS: Final = "neural_hive_service_registry_calls_total"
_TIMED_OUT: Final = f'{_C}_tickets_ended_total{{task_type="TEST",status="TIMED_OUT"}}'
_COMPLETED: Final = f'{_C}_tickets_ended_total{{task_type="TEST",status="COMPLETED"}}'
_LAG: Final = f"neural_hive_input_lag_records{_INPUT}"
_TAKEN: Final = f"neural_hive_records_total{_PLACE}"
_OPENED: Final = f"neural_hive_recoveries_total{_PLACE}"
_THERE: Final = f"neural_hive_partition_stopped{_PLACE}"
_UP: Final = 'up{{job="neural-hive",process="{}"}}'
_RUNS: Final = 'neural_hive_process_running{{process="supervisor",name="{}"}}'
_SEALED: Final = "neural_hive_seal_last_seconds"
_UNSEALED: Final = "neural_hive_seal_unsealed_records"

_S: Final = "neural_hive_sla"
_SHOP: Final = '{slo_id="checkout",service_name="shop",slo_type="AVAILABILITY"}'
_CALCULATES: Final = 'neural_hive_partition_stopped{system="sla",partition="0"}'
_CALCULATES_TOO: Final = 'neural_hive_partition_stopped{system="sla",partition="1"}'
_DEFINED: Final = 'neural_hive_broadcast_age_seconds{{topic="sla.definitions",process="{}"}}'
_ASKED: Final = f'{_S}_prometheus_queries_total{{outcome="answered"}}'
_AWAY: Final = f'{_S}_prometheus_queries_total{{outcome="away"}}'
_MINUTES: Final = f"{_S}_prometheus_minutes_total"
_WAITS: Final = 'neural_hive_input_lag_records{system="sli",topic="execution.tickets",partition="0"}'
_SENDS: Final = f'{_S}_alertmanager_sender_behind_seconds{{{{instance="{{}}"}}}}'
_ELSEWHERE: Final = 'neural_hive_input_lag_records{system="orchestrator",topic="sla.freezes",partition="0"}'

CASES: Final = (
    Case("FlowCHighLatency", latency(90, 10), latency(99, 1)),
    Case("FlowCLowSuccessRate", ends(90, 10), ends(1_000, 1), 60),
    Case("FlowCLowSuccessRate", ends(0, 10), ends(10, 0), 60),
    Case("FlowCStepTimeout", {_TIMED_OUT: "0x20 1x20"}, {_COMPLETED: "0x20 1x20", _TIMED_OUT: "0x60"}),
    Case("FlowCNoTicketsGenerated", tickets("0+1x60", "5x60"), tickets("0+1x60", "0+3x60")),
    Case(
        "FlowCNoTicketsGenerated",
        tickets("5x60", "5x60", lag="7x60"),
        tickets("5x60", "5x60", lag="7x60", validated="0+1x60"),
    ),
    Case("FlowCWorkersUnavailable", {_HEALTHY: "1x10 0x50"}, {_HEALTHY: "1x60"}),
    Case(
        "FlowCWorkersUnavailable",
        {'agents_active{type="SCOUT",status="HEALTHY"}': "3x60"},
        {_HEALTHY: "2x60"},
    ),
    Case(
        "FlowCTelemetryBufferFull",
        {f"{_C}_telemetry_buffer_size": "950x60", _BUFFER: "1000x60"},
        {f"{_C}_telemetry_buffer_size": "500x60", _BUFFER: "1000x60"},
    ),
    one(_DROPPED, "0+1x60", "9x60", "FlowCTelemetryBufferFull"),
    one(f"{_C}_sla_violations_total", "0x20 1x40", "1x60", "FlowCSLAViolations"),
    one(_NOBODY, "1x60", "0x20 1x2 0x40", "FlowCWorkerDiscoveryFailures"),
    Case(
        "FlowCWorkerDiscoveryFailures",
        {f'{_CALLS}{{outcome="not_granted"}}': "0+8x60", f'{_CALLS}{{outcome="granted"}}': "0+2x60"},
        {f'{_CALLS}{{outcome="not_granted"}}': "0+2x60", f'{_CALLS}{{outcome="granted"}}': "0+8x60"},
    ),
    Case(
        "HiveProcessDown",
        {_UP.format("projector"): "1x10 0x50", _RUNS.format("projector"): "1x60"},
        {_UP.format("projector"): "1x60", _UP.format("witness"): "0x60", _RUNS.format("projector"): "1x60"},
    ),
    one(_UP.format("projector"), "1x10 0x50", "1x60", "HiveProcessDown"),
    one('neural_hive_ready{process="projector"}', "0x60", "0x29 1x31", "HiveProcessNotReady"),
    one('neural_hive_process_restarts_total{name="worker"}', "0+1x60", "3x20 4x40", "HiveProcessRestarting"),
    one(f"neural_hive_partition_stopped{_PLACE}", "0x10 1x50", "0x60", "HivePartitionStopped"),
    one(_LAG, "2000+10x60", "5000-10x60", "HiveInputLagGrowing"),
    one(_LAG, "2000+10x60", "0+10x60", "HiveInputLagGrowing"),
    Case("HiveInputStuck", {_LAG: "5x60", _TAKEN: "90x60"}, {_LAG: "5x60", _TAKEN: "0+9x60"}),
    one(f"neural_hive_dead_letters_total{_PLACE}", "0x20 1x40", "4x60", "HiveDeadLetters"),
    one(
        'neural_hive_unstable_records{topic="execution.tickets",partition="1"}',
        "3x60",
        "3x26 0x1 3x40",
        "HiveOpenTransactionStall",
    ),
    Case("HiveTransactionsSlow", transactions(90, 10), transactions(1_000, 1)),
    Case("HiveRecoveriesMany", {_OPENED: "0+1x60", _THERE: "0x60"}, {_OPENED: "1x20 2x40", _THERE: "0x60"}),
    one(f"neural_hive_timers_failed_total{_PLACE}", "0x20 1x40", "1x60", "HiveTimersFailing"),
    one('neural_hive_broadcast_age_seconds{topic="registry.agents"}', "40x60", "2x60", "HiveBroadcastOld"),
    Case(
        "HiveErrorsLogged",
        {'neural_hive_log_lines_total{process="worker",level="error"}': "0x20 1x40"},
        {'neural_hive_log_lines_total{process="worker",level="warning"}': "0x20 1x40"},
    ),
    one(
        'neural_hive_trace_spans_dropped_total{process="worker",reason="refused"}',
        "0+5x60",
        "7x60",
        "HiveTracesDropped",
    ),
    one(
        'neural_hive_projector_lag_records{topic="execution.tickets",partition="0"}',
        "20000x60",
        "9000x60",
        "HiveProjectorBehind",
    ),
    one("neural_hive_projector_stopped_partitions", "1x60", "0x60", "HiveProjectorPartitionStopped"),
    one("neural_hive_projector_retries_total", "0+2x60", "9x60", "HiveProjectorRetrying"),
    Case("HiveSealOld", {_UNSEALED: "9x60", _SEALED: "60x60"}, {_UNSEALED: "9x60", _SEALED: "0+60x60"}),
    Case("HiveSealOld", {_UNSEALED: "9x60", _SEALED: "60x60"}, {_UNSEALED: "0x60", _SEALED: "60x60"}),
    one("neural_hive_seal_refused", "0x20 1x40", "0x60", "HiveSealRefused"),
    one("neural_hive_witness_refused", "0x20 1x40", "0x60", "HiveSealRefused"),
    one("neural_hive_verify_exit_code", "1x60", "2x60", "HiveVerifyFailed"),
    one("neural_hive_verify_exit_code", "2x60", "1x60", "HiveVerifyIncomplete"),
    Case("HiveDiskLow", disk(9), disk(11)),
    Case("HiveDiskFull", disk(2), disk(4)),
    one(_CALCULATES, "0x10 _x50", "0x60", "SLAManagementSystemDown"),
    Case(
        "SLAManagementSystemDown",
        {_CALCULATES: "0x10 1x50", _CALCULATES_TOO: "0x10 1x50"},
        {_CALCULATES: "0x10 1x50", _CALCULATES_TOO: "0x60"},
    ),
    Case("HighErrorRate", troubles("0+90x60", "0+9x60", "0x60"), troubles("0+90x60", "0+3x60", "0x60")),
    Case(
        "HighErrorRate",
        troubles("0+90x60", "0x60", "0+9x60", "sla"),
        troubles("0+90x60", "0+9x60", "0x60", "orchestrator"),
    ),
    Case("SlowCalculations", looks(90, 10), looks(1_000, 1)),
    Case(
        "SLALogDown",
        {_DEFINED.format("a"): "0+60x60", _DEFINED.format("b"): "0+60x60"},
        {_DEFINED.format("a"): "0+60x60", _DEFINED.format("b"): "2x60"},
    ),
    one(_RUNS.format("kafka"), "1x10 0x50", "1x60", "SLALogDown"),
    one(_RUNS.format("clickhouse"), "1x10 0x50", "1x60", "SLAProjectionStoreDown"),
    Case("SLAProjectionStoreDown", tables("0+2x60", "9x60"), tables("0+2x60", "0x60")),
    Case("SLAProjectionStoreDown", tables("0+2x60", "9x60"), tables("0+2x60", "9x60", "registry.agents")),
    one(f"{_S}_budget_status{_SHOP}", "2x10 3x50", "2x60", "CriticalBudgetExhausted"),
    Case(
        "MultipleCriticalBudgets",
        {
            f'{_S}_budgets{{status="CRITICAL",level="NORMAL"}}': "2x60",
            f'{_S}_budgets{{status="EXHAUSTED",level="FAST"}}': "1x60",
        },
        {
            f'{_S}_budgets{{status="CRITICAL",level="NORMAL"}}': "2x60",
            f'{_S}_budgets{{status="WARNING",level="FAST"}}': "9x60",
        },
    ),
    one(f"{_S}_burn_level{_SHOP}", "1x10 2x50", "1x60", "HighBurnRateFast"),
    one(f"{_S}_burn_level{_SHOP}", "3x60", "0x60", "HighBurnRateFast"),
    one(f"{_S}_burn_level{_SHOP}", "1x60", "0x20 1x5 0x40", "HighBurnRateSlow"),
    one(f"{_S}_burn_level{_SHOP}", "1x60", "3x60", "HighBurnRateSlow"),
    one(f'{_S}_freezes_activated_total{{scope="SERVICE"}}', "0x25 1x40", "1x60", "FreezeActivated"),
    one(f"{_S}_freeze_age_seconds", "90000+60x60", "0+60x60", "LongRunningFreeze"),
    Case(
        "MultipleActiveFreezes",
        {
            f'{_S}_freezes_active{{service_name="shop",scope="SERVICE"}}': "2x60",
            f'{_S}_freezes_active{{service_name="",scope="GLOBAL"}}': "1x60",
        },
        {f'{_S}_freezes_active{{service_name="shop",scope="SERVICE"}}': "2x60"},
    ),
    Case("SLIPrometheusUnanswered", {_ASKED: "0+2x60", _AWAY: "0+8x60"}, {_ASKED: "0+8x60", _AWAY: "0+2x60"}),
    Case("SLIPrometheusUnanswered", {_ASKED: "0x60", _AWAY: "0+8x60"}, {_ASKED: "0x60", _AWAY: "0x60"}),
    Case(
        "SLIMinutesLeftOut",
        {f'{_MINUTES}{{outcome="wrong"}}': "0x20 1x40"},
        {f'{_MINUTES}{{outcome="empty"}}': "0+1x60", f'{_MINUTES}{{outcome="wrong"}}': "4x60"},
    ),
    Case(
        "SLIEventsUncounted",
        {f'{_S}_events_total{{when="uncounted"}}': "0x20 1x40"},
        {f'{_S}_events_total{{when="late"}}': "0+9x60", f'{_S}_events_total{{when="uncounted"}}': "7x60"},
    ),
    one(f"{_S}_prometheus_behind_seconds", "0+60x60", "90x60", "SLICountingBehind"),
    Case("SLICountingBehind", {_WAITS: "2000x60"}, {_WAITS: "0x28 2000x30", _ELSEWHERE: "9000x60"}),
    Case(
        "SLAAlertmanagerBehind",
        {_SENDS.format("a"): "0+60x60", _SENDS.format("b"): "0+60x60"},
        {_SENDS.format("a"): "0+60x60", _SENDS.format("b"): "0x60"},
    ),
    one(_SENDS.format("a"), "0x20 0+60x40", "0x55 0+60x5", "SLAAlertmanagerBehind"),
)
