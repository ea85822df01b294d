"""A system of two tiny processes under a real supervisor: `python -m tests.infra.small_system DATA [CODE]`.

CODE is the Python code of the second process; by default it says that it is ready and waits.
"""

import os
import sys
from pathlib import Path

from neural_hive.process import ready_file
from neural_hive.state import held, run_folder
from neural_hive.supervisor import Service, Stage, StartFailed, Supervisor

GOOD = """
import os, pathlib, signal, sys, time
from neural_hive.connectors.child import Child
folder = pathlib.Path(sys.argv[1])
Child(["sleep", "1000"], folder / "logs" / "sleep.log")
def end(*_):
    with (folder / "ended").open("a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("hello from", sys.argv[2], flush=True)
(folder / "run" / f"{sys.argv[2]}-{os.getpid()}.ready").touch()
while True:
    time.sleep(0.1)
"""


def service(data: Path, name: str, code: str) -> Service:
    """One process that runs Python code with the folder and its name as arguments."""
    return Service(
        name=name,
        command=lambda: [sys.executable, "-c", code, str(data), name],
        is_ready=lambda pid: ready_file(data, name, pid).exists(),
        environment=dict(os.environ),
        log=data / "logs" / f"{name}.log",
        stop_timeout_s=5,
    )


def main() -> None:
    """Runs until told to stop."""
    data = Path(sys.argv[1])
    second = sys.argv[2] if len(sys.argv) > 2 else GOOD
    with held(data):
        assert run_folder(data).is_dir()
        stages = [Stage([service(data, "first", GOOD)]), Stage([service(data, "second", second)])]
        supervisor = Supervisor(data, stages, {"kafka_bootstrap": "127.0.0.1:1"})
        supervisor.stop_on_signals()
        try:
            supervisor.run()
        except StartFailed as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
