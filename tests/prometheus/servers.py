"""Prometheus and Alertmanager as Debian has them, each in a temporary folder, on a free port; and what they look at."""

import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import msgspec
import pytest
import yaml

from neural_hive.connectors.ports import HOST, answers_ok, free_port

READY_S: Final = 60.0
PROMETHEUS: Final = shutil.which("prometheus")
ALERTMANAGER: Final = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None or shutil.which("promtool") is None,
    reason="prometheus is not installed (Debian: apt-get install prometheus)",
)
needs_alertmanager = pytest.mark.skipif(
    ALERTMANAGER is None,
    reason="alertmanager is not installed (Debian: apt-get install prometheus-alertmanager)",
)


class Point(msgspec.Struct, frozen=True):
    """A sample that a server shall have had from the beginning."""

    series: str  # such as requests_total{code="200"}
    at_s: float
    value: float


def history(points: Iterable[Point]) -> str:
    """OpenMetrics of counters, for promtool; each name's lines stand together, in the order of time."""
    by_name: dict[str, list[Point]] = {}
    for point in points:
        by_name.setdefault(point.series.partition("{")[0].removesuffix("_total"), []).append(point)
    lines = []
    for name, found in by_name.items():
        lines += [f"# TYPE {name} counter", f"# HELP {name} A counter of a test."]
        ordered = sorted(found, key=lambda point: (point.series, point.at_s))
        lines += [f"{p.series} {_number(p.value)} {p.at_s:.3f}" for p in ordered]
    return "\n".join([*lines, "# EOF", ""])


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.6f}"


class Target:
    """Serves metrics: whatever `text` says."""

    def __init__(self) -> None:
        self.text = ""
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = target.text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class has that name)
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def prometheus(
    folder: Path,
    points: Sequence[Point] = (),
    target: Target | None = None,
    web: dict[str, Any] | None = None,
) -> Iterator[str]:
    """A server with a history, which scrapes `target` every second; its URL. `web`: its web.config."""
    assert PROMETHEUS is not None
    data, config = folder / "data", folder / "prometheus.yaml"
    data.mkdir()
    if points:
        (folder / "history.txt").write_text(history(points))
        made = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data")
        subprocess.run(made, cwd=folder, check=True, capture_output=True, timeout=60)
    jobs = (
        [{"job_name": "test", "static_configs": [{"targets": [f"{HOST}:{target.port}"]}]}] if target else []
    )
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    more = []
    if web is not None:
        (folder / "web.yaml").write_text(yaml.safe_dump(web))
        more = [f"--web.config.file={folder / 'web.yaml'}"]
    port = free_port()
    arguments = (
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address={HOST}:{port}",
    )
    with _running(folder, PROMETHEUS, *arguments, *more):
        url = f"http://{HOST}:{port}"
        _wait(lambda: _answers(url, is_open=web is None), folder)
        yield url


@contextmanager
def alertmanager(folder: Path, told: dict[str, Any] | None = None, port: int = 0) -> Iterator[str]:
    """A server with a configuration, or one whose alerts go nowhere; its URL. With a port and a folder of before it is
    the same one again.
    """
    assert ALERTMANAGER is not None
    config = folder / "alertmanager.yaml"
    nobody = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    config.write_text(yaml.safe_dump(told or nobody))
    port = port or free_port()
    arguments = (
        *(f"--config.file={config}", f"--storage.path={folder / 'data'}"),
        *(f"--web.listen-address={HOST}:{port}", "--cluster.listen-address="),
    )
    with _running(folder, ALERTMANAGER, *arguments):
        url = f"http://{HOST}:{port}"
        _wait(lambda: answers_ok(f"{url}/-/ready"), folder)
        yield url


def _answers(url: str, is_open: bool) -> bool:
    """Whether it is ready; where a login is needed, whether it asks for one."""
    import httpx

    try:
        status = httpx.get(f"{url}/-/ready", trust_env=False).status_code
    except httpx.HTTPError:
        return False
    return status == (200 if is_open else 401)


@contextmanager
def _running(folder: Path, *command: str) -> Iterator[None]:
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=dict(os.environ))
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(is_there: Any, folder: Path) -> None:
    until = time.monotonic() + READY_S
    while not is_there():
        assert time.monotonic() < until, (folder / "log.txt").read_text()[-4_000:]
        time.sleep(0.05)
