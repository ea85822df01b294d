"""Does what docs/tutorial-add-a-system.md says, file by file and command by command, on a system of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import reader_in, stop_all
from tests.docs.pages import ROOT, blocks, commands

PAGE = ROOT / "docs" / "tutorial-add-a-system.md"


def install(folder: Path, site: Path) -> None:
    """Installs the reader's package as pip would, into a folder of its own."""
    install = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    where = ["--python", sys.executable, "--target", str(site)]
    subprocess.run([sys.executable, "-m", *install, *where, str(folder)], check=True, timeout=120)


@pytest.mark.slow
def test_a_reader_adds_a_system(tmp_path: Path) -> None:
    folder, site = tmp_path / "mine", tmp_path / "site"
    folder.mkdir()
    reader = reader_in(folder, PYTHONPATH=os.pathsep.join((str(site), os.environ.get("PYTHONPATH", ""))))
    shown = [command for block in blocks(PAGE) if block.language == "console" for command in commands(block)]
    try:
        ran = reader.follow(PAGE, until="export NEURAL_HIVE_SYSTEMS")
        install(folder, site)
        ran += reader.follow(PAGE, since="export NEURAL_HIVE_SYSTEMS")
        assert ran == len(shown) >= 15
    finally:
        reader.close()
        stop_all(folder)
