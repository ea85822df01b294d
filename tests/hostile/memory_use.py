"""How much memory a process takes at most, as Linux keeps account of it."""

from pathlib import Path
from typing import Final

_RESET_PEAK: Final = "5"


def peak_mb(pid: int) -> int:
    """The most that it had since it began, or since the peak was forgotten."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def forget_peak(pid: int) -> int:
    """Begins to look anew; what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)
    return peak_mb(pid)


def own_mb() -> int:
    """What this process has now."""
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) >> 10
