"""What the demo does and checks, in order; every check that fails ends it with the reason."""

import importlib.util
import shutil
from pathlib import Path
from typing import Final

from rich.console import Console

from neural_hive.connectors.key_folder import KeyFolder
from neural_hive.connectors.personal import Personal
from neural_hive.demo.release import release
from neural_hive.demo.report import report
from neural_hive.demo.rollout import rollout
from neural_hive.demo.scene import Scene
from neural_hive.demo.system import DemoFailed, running_system
from neural_hive.settings import keys_beside

_NEEDED_MODULES: Final = ("build", "hatchling", "pytest", "bandit", "pip")


def run(data: Path, console: Console) -> None:
    """The whole demo on a data folder. Raises DemoFailed."""
    check_tools()
    with console.status("starting") as status, running_system(data, status.update) as state:
        status.stop()
        console.print(f"A system runs in {data}: {', '.join(process.name for process in state.processes)}")
        kafka = {"bootstrap.servers": state.endpoints["kafka_bootstrap"]}
        scene = Scene(data, kafka, console, Personal(KeyFolder(keys_beside(data))))
        scene.folder.mkdir(parents=True, exist_ok=True)
        release(scene)
        rollout(scene)
        report(scene)
        scene.title("The log is verified")
        scene.show("replay", "verify")
        status.start()


def check_tools() -> None:
    """Raises DemoFailed: something that the tasks need is missing."""
    missing = [name for name in _NEEDED_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoFailed(
            f"the demo's tasks need {', '.join(missing)}: install neural-hive[dev], or run `make demo`"
        )
    if not shutil.which("git"):
        raise DemoFailed(
            "the demo commits to a git repository, and there is no git: install it and try again"
        )
