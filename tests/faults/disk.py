"""A small disk of the test's own, to be filled: a file system in memory, so it needs root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = "neural-hive-test-"  # with the pid behind it: so that nobody's is left when a test run was killed


class SmallDisk:
    """Mounted at `folder` from `mount` to `unmount`."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.folder, self._size_mb = folder, size_mb
        self._ballast = folder / "ballast"

    def mount(self) -> None:
        """Raises CalledProcessError: not allowed here."""
        self.folder.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={self._size_mb}m,mode=700"]
        command = ["mount", *options, f"{_NAME}{os.getpid()}", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)

    def unmount(self) -> None:
        """Whatever still uses it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True, capture_output=True)
        self.folder.rmdir()

    def fill(self) -> None:
        """Leaves no room at all."""
        with self._ballast.open("ab", buffering=0) as file:
            for size_bytes in (1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while file.write(bytes(size_bytes)):
                        pass

    def make_room(self) -> None:
        """Takes away what filled it."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk]:
    """A disk that is unmounted in any case."""
    disk = SmallDisk(folder, size_mb)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


def why_not(folder: Path) -> str:
    """Why there can be no small disk here; empty: there can."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    _unmount_left()
    try:
        with small_disk(folder, 1):
            return ""
    except subprocess.CalledProcessError as error:
        return f"no disk can be mounted here: {error.stderr.decode().strip()}"


def _unmount_left() -> None:
    """Those of test runs that were killed."""
    for line in Path("/proc/mounts").read_text().splitlines():
        name, folder, *_ = line.split()
        if name.startswith(_NAME) and not Path(f"/proc/{name.removeprefix(_NAME)}").exists():
            subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)
