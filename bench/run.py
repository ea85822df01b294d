"""Runs the benchmarks, Neural Hive and its peers in turn, and writes what was measured.

python -m bench.run [NAME ...] [--rounds N] [--keep FOLDER]
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import (
    growth,
    kernel,
    lists,
    orchestration,
    plan_sizes,
    projection,
    recovery,
    replay,
    slos,
    start,
    verify,
)
from bench.figures import Figures, markdown
from bench.kernel_contenders import NoPeers
from bench.plots import plot
from bench.slo_prometheus import NoPrometheus

Tell = Callable[[str], None]
ALL: Final[dict[str, Callable[[int, Tell], list[Figures]]]] = {
    "kernel": kernel.measure,
    "orchestration": orchestration.measure,
    "plan-sizes": plan_sizes.measure,
    "projection": projection.measure,
    "lists": lists.measure,
    "replay": replay.measure,
    "verify": verify.measure,
    "recovery": recovery.measure,
    "growth": growth.measure,
    "start": start.measure,
    "slos": slos.measure,
}


def main() -> int:
    """The command."""
    given = _arguments()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} {line}", flush=True)

    found: list[Figures] = []
    try:
        for name in given.names or ALL:
            tell(f"— {name}, {given.rounds} rounds, load {os.getloadavg()[0]:.1f}")
            found += ALL[name](given.rounds, tell)
    except (NoPeers, NoPrometheus) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n\n".join(f"## {figures.title}\n\n{markdown(figures)}" for figures in found))
    if given.keep:
        _keep(given.keep, found)
    return 0


def _keep(folder: Path, found: list[Figures]) -> None:
    """Each outcome as JSON, as a table and as a picture, in the place of what was measured before."""
    folder.mkdir(parents=True, exist_ok=True)
    for figures in found:
        measured = {"machine": _machine(), "figures": figures}
        files = {
            "json": msgspec.json.format(msgspec.json.encode(measured)).decode() + "\n",
            "md": markdown(figures) + "\n",
            "svg": plot(figures),
        }
        for ending, text in files.items():
            (folder / f"{figures.name}.{ending}").write_text(text)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "names", nargs="*", choices=[*ALL, []], metavar="NAME", default=[], help=f"of {', '.join(ALL)}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="write figures, tables and pictures to this folder")
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_1m": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
