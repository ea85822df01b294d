"""The executor on real processes: what they get, what is kept of them, and that nothing of them stays."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_attempt import LOG_NAME, Limits
from neural_hive.connectors.process_executor import Cancellation, Lease, Order, ProcessExecutor, Report

SMALL = Limits(log_head_bytes=1_000, log_tail_bytes=2_000, grace_s=0.5, outputs_max=2, artifacts_max=3)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


@pytest.fixture
def executor(tmp_path: Path, store: ArtifactStore) -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor(tmp_path / "attempts", store, SMALL)
    yield executor
    executor.close()


def order(*command: str, time_limit_s: float = 60, inputs: tuple[Artifact, ...] = (), **more: str) -> Order:
    return Order("ticket-1", command, more, {"level": "high"}, inputs, time_limit_s)


def shell(executor: ProcessExecutor, script: str, **more: str) -> Report:
    return executor.run(order("sh", "-c", script, **more), Cancellation())


def text_of(store: ArtifactStore, file: Artifact, tmp_path: Path) -> str:
    store.fetch(file.sha256, tmp_path / "fetched")
    text = (tmp_path / "fetched").read_text()
    (tmp_path / "fetched").unlink()
    return text


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 90
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, f"process {pid} is still there"
        time.sleep(0.02)


def wait_for_text(file: Path) -> str:
    until = time.monotonic() + 90
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < until, f"{file} was never written"
        time.sleep(0.02)
    return file.read_text().strip()


def test_outputs_artifacts_and_log_come_back(
    executor: ProcessExecutor, store: ArtifactStore, tmp_path: Path
) -> None:
    report = shell(
        executor,
        'echo hello; echo "version=1=2" > $NEURAL_HIVE_OUTPUTS; mkdir $NEURAL_HIVE_ARTIFACTS/sub;'
        " echo made > $NEURAL_HIVE_ARTIFACTS/sub/file",
    )
    assert (report.ended, report.exit_code, report.error) == ("COMPLETED", 0, "")
    assert report.outputs == {"version": "1=2"}
    assert [file.name for file in report.artifacts] == ["sub/file", LOG_NAME]
    assert text_of(store, report.artifacts[0], tmp_path) == "made\n"
    assert text_of(store, report.artifacts[1], tmp_path) == "hello\n"
    assert report.completed_at >= report.started_at
    assert list((tmp_path / "attempts").iterdir()) == []


def test_the_environment_holds_nothing_of_the_worker(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_SECRET", "do not tell")
    script = 'test -z "$WORKER_SECRET" && test "$TASK" = own && grep -q high $NEURAL_HIVE_PARAMETERS'
    assert shell(executor, script, TASK="own").ended == "COMPLETED"
    assert shell(executor, script, TASK="other").ended == "FAILED"


def test_no_shell_reads_the_command(executor: ProcessExecutor, store: ArtifactStore, tmp_path: Path) -> None:
    report = executor.run(order("echo", "$HOME; echo two"), Cancellation())
    assert text_of(store, report.artifacts[0], tmp_path) == "$HOME; echo two\n"


def test_inputs_are_files_and_their_addresses_paths(
    executor: ProcessExecutor, store: ArtifactStore, tmp_path: Path
) -> None:
    files = []
    for number in (1, 2):
        (tmp_path / "source").write_text(f"text {number}\n")
        kept = store.put(tmp_path / "source")
        files.append(Artifact("data/input", kept.uri, kept.sha256, kept.size_bytes))
    command = ("sh", "-c", "cat $NEURAL_HIVE_INPUTS/data/input $1", "-", files[1].uri)
    report = executor.run(order(*command, inputs=tuple(files)), Cancellation())
    assert text_of(store, report.artifacts[0], tmp_path) == "text 1\ntext 2\n"


def test_an_input_cannot_be_written_outside(executor: ProcessExecutor, tmp_path: Path) -> None:
    report = executor.run(
        order("true", inputs=(Artifact("../evil", "sha256:0", "0" * 64, 0),)), Cancellation()
    )
    assert report.ended == "FAILED"
    assert "no relative path" in report.error


def test_a_failure_brings_the_last_words(executor: ProcessExecutor) -> None:
    report = shell(executor, "echo broken >&2; exit 3")
    assert (report.ended, report.exit_code) == ("FAILED", 3)
    assert report.error == "the command ended with exit code 3\nbroken"


def test_a_command_that_does_not_exist_is_named(executor: ProcessExecutor) -> None:
    report = executor.run(order("no-such-command"), Cancellation())
    assert (report.ended, report.exit_code) == ("FAILED", None)
    assert "no-such-command: No such file" in report.error


def test_death_by_a_signal_is_told(executor: ProcessExecutor) -> None:
    assert shell(executor, "kill -9 $$").error == "the command was killed by signal 9"


def test_much_output_keeps_its_head_and_tail(
    executor: ProcessExecutor, store: ArtifactStore, tmp_path: Path
) -> None:
    report = shell(executor, "seq 1 200000")
    log = text_of(store, report.artifacts[0], tmp_path)
    assert log.startswith("1\n2\n")
    assert log.endswith("199999\n200000\n")
    assert "bytes left out" in log
    assert len(log) < 3_100


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo nonsense > $NEURAL_HIVE_OUTPUTS", "line 1 of the outputs is not name=value"),
        ("seq -f 'n%g=1' 3 > $NEURAL_HIVE_OUTPUTS", "3 outputs; the limit is 2"),
        ("printf '\\377=1' > $NEURAL_HIVE_OUTPUTS", "UTF-8"),
        ("head -c 70000 /dev/zero > $NEURAL_HIVE_OUTPUTS", "larger than"),
        ("cd $NEURAL_HIVE_ARTIFACTS; touch a b c d", "4 artifacts; the limit is 3"),
        ("ln -s /etc/hostname $NEURAL_HIVE_ARTIFACTS/link", "links are refused"),
        ("mkfifo $NEURAL_HIVE_ARTIFACTS/pipe", "no regular file"),
        ("touch $NEURAL_HIVE_ARTIFACTS/output.log", "name the artifact otherwise"),
    ],
)
def test_what_cannot_be_used_fails_with_the_reason(
    executor: ProcessExecutor, script: str, words: str
) -> None:
    report = shell(executor, script)
    assert report.ended == "FAILED"
    assert words in report.error


def test_the_time_limit_ends_the_whole_tree(executor: ProcessExecutor, tmp_path: Path) -> None:
    script = f"setsid sleep 300 & echo $! > {tmp_path}/daemon; trap '' TERM; sleep 300; sleep 300"
    started = time.monotonic()
    report = executor.run(order("sh", "-c", script, time_limit_s=0.5), Cancellation())
    assert report.ended == "TIMED_OUT"
    assert "its limit of 0.5 s" in report.error
    assert time.monotonic() - started < 90
    wait_until_gone(int(wait_for_text(tmp_path / "daemon")))


def test_a_daemon_ends_with_its_task(executor: ProcessExecutor, tmp_path: Path) -> None:
    report = shell(executor, f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 300' & sleep 0.3")
    assert report.ended == "COMPLETED"
    wait_until_gone(int(wait_for_text(tmp_path / "daemon")))


def test_what_may_no_longer_begin_does_not(executor: ProcessExecutor, tmp_path: Path) -> None:
    now_s = time.monotonic()
    late = Lease(now_s - 0.1, now_s + 60)
    made = msgspec.structs.replace(order("touch", str(tmp_path / "ran")), lease=late)
    report = executor.run(made, Cancellation())
    assert (report.ended, report.exit_code) == ("TIMED_OUT", None)
    assert "the time to begin was over" in report.error
    assert not (tmp_path / "ran").exists()


def test_cancelling_ends_a_running_task(executor: ProcessExecutor, tmp_path: Path) -> None:
    cancellation = Cancellation()

    def cancel() -> None:
        wait_for_text(tmp_path / "pid")
        cancellation.ask()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    report = executor.run(order("sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 300"), cancellation)
    canceller.join()
    assert report.ended == "CANCELLED"
    wait_until_gone(int(wait_for_text(tmp_path / "pid")))


def test_cancelled_before_it_starts_it_ends_at_once(executor: ProcessExecutor) -> None:
    cancellation = Cancellation()
    cancellation.ask()
    assert executor.run(order("sleep", "300"), cancellation).ended == "CANCELLED"


def test_a_killed_guard_program_is_started_anew(executor: ProcessExecutor) -> None:
    shell(executor, "true")
    guards = [
        child for child in psutil.Process().children() if "process_guard.py" in " ".join(child.cmdline())
    ]
    assert guards
    for guard in guards:
        guard.kill()
        guard.wait()
    assert shell(executor, "true").ended == "COMPLETED"


def test_what_a_killed_guard_leaves_ends_too(executor: ProcessExecutor, tmp_path: Path) -> None:
    script = (
        f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 300' & echo $PPID > {tmp_path}/guard; wait"
    )
    other = threading.Thread(target=shell, args=(executor, f"echo $$ > {tmp_path}/other; exec sleep 3"))
    other.start()
    spared = int(wait_for_text(tmp_path / "other"))

    def kill() -> None:
        wait_for_text(tmp_path / "daemon")
        os.kill(int(wait_for_text(tmp_path / "guard")), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    report = shell(executor, script)
    killer.join()
    assert report.ended == "FAILED"
    assert "the guard of the process was killed" in report.error
    wait_until_gone(int(wait_for_text(tmp_path / "daemon")))
    assert psutil.pid_exists(spared)  # that of another task goes on
    other.join()


def test_sigterm_reaches_the_task_as_usual(executor: ProcessExecutor) -> None:
    report = shell(executor, "sh -c 'kill -TERM $$; exit 0'; echo code=$? > $NEURAL_HIVE_OUTPUTS")
    assert report.outputs == {"code": "143"}


WORKER = """
import sys
from pathlib import Path
from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_attempt import Limits
from neural_hive.connectors.process_executor import Cancellation, Order, ProcessExecutor
root = Path(sys.argv[1])
limits = Limits(grace_s=0.2, settle_s=0.5)
executor = ProcessExecutor(root / "attempts", ArtifactStore(root / "store"), limits)
report = executor.run(Order("t", ("sh", "-c", sys.argv[2]), {}, {}, (), float(sys.argv[3])), Cancellation())
print(report.ended, report.error)
"""


def test_kill_9_of_the_worker_leaves_no_descendant(tmp_path: Path) -> None:
    script = (
        f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 300' & sleep 300 &"
        f" echo $! > {tmp_path}/child; echo $$ > {tmp_path}/task; wait"
    )
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), script, "300"])
    pids = [int(wait_for_text(tmp_path / name)) for name in ("daemon", "child", "task")]
    guards = [child.pid for child in psutil.Process(worker.pid).children()]
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    for pid in (*pids, *guards):
        wait_until_gone(pid)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exec sleep 300", "TIMED_OUT the command took longer than its limit of 2 s"),
        ("sleep 0.5", "TIMED_OUT the command has ended in time, but its result was ready only"),
    ],
)
def test_a_stopped_worker_does_not_lengthen_a_lease(tmp_path: Path, script: str, told: str) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path), f"echo $$ > {tmp_path}/task; {script}", "2"]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    task = int(wait_for_text(tmp_path / "task"))
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        wait_until_gone(task)
        time.sleep(3.5)  # past the lease, and past the time in which a result may still come
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    said, _ = worker.communicate(timeout=90)
    assert said.startswith(told)


def test_what_a_killed_worker_left_is_removed(tmp_path: Path, store: ArtifactStore) -> None:
    left = tmp_path / "attempts" / "old" / "work"
    left.mkdir(parents=True)
    (left / "file").touch()
    left.chmod(0o500)
    ProcessExecutor(tmp_path / "attempts", store).close()
    assert list((tmp_path / "attempts").iterdir()) == []


def test_what_a_failed_command_left_comes_back_too(executor: ProcessExecutor) -> None:
    made = "echo x > $NEURAL_HIVE_ARTIFACTS/report; echo failures=1 > $NEURAL_HIVE_OUTPUTS"
    report = shell(executor, f"{made}; exit 3")
    assert (report.ended, report.exit_code, report.outputs) == ("FAILED", 3, {"failures": "1"})
    assert [file.name for file in report.artifacts] == ["report"]
    unfit = shell(executor, f"{made}; echo nonsense > $NEURAL_HIVE_OUTPUTS; exit 3")
    assert (unfit.ended, unfit.exit_code, unfit.outputs) == ("FAILED", 3, {})
    assert "exit code 3" in unfit.error


def test_a_clock_that_is_set_back_does_not_shorten_an_attempt(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([time.time_ns()])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock, 0))
    report = shell(executor, "sleep 0.2")
    assert report.started_at > 0
    assert 200_000 <= report.completed_at - report.started_at < 60_000_000
