"""The wheel holds one package, and works beside others that have our folders' generic names."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

FOLDERS = ("schemas", "aggregates", "connectors", "projections", "streams", "replay")
MODULES = (
    "cli",
    "schemas.codec",
    "aggregates.ticket",
    "connectors.publisher",
    "projections.catalogue",
    "streams.systems",
    "replay.verify",
)
BUILD_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_one_package_with_everything_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"neural_hive"}
    tracked = subprocess.run(
        ["git", "ls-files", *FOLDERS, "neural_hive"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    expected = {
        name if name.startswith("neural_hive/") else f"neural_hive/{name}"
        for name in tracked
        if not (ROOT / name).is_symlink()
    }
    assert expected and not expected - set(names)


def test_it_lives_beside_packages_of_the_same_names(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*install, "--python", sys.executable, "--target", str(site), str(wheel)], check=True)
    for folder in FOLDERS:
        (site / folder).mkdir()
        (site / folder / "__init__.py").write_text("raise RuntimeError('another package')\n")
    imports = "; ".join(f"import neural_hive.{module}" for module in MODULES)
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r}); {imports}; "
        "from neural_hive.schemas.catalogue import registered; assert registered(); "
        f"strangers = [m for m in {FOLDERS!r} if m in sys.modules]; assert not strangers, strangers; "
        "print(neural_hive.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(site / "neural_hive" / "__init__.py")
