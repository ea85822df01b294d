"""A program that counts events for Prometheus, as instrumented services do: it tells sums, and nobody sees an event.

python -m bench.slo_exporter PORT EVENTS_PER_S
"""

import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from bench.slo_stream import SERVICES, SLOS_EACH, Totals, slo_ids, some_end
from neural_hive.connectors.ports import HOST

_TICK_S: Final = 0.01
_ENDS: Final = 4_000  # different ends of attempts, taken in turn


class Exporter:
    """Counts, and shows the counts."""

    def __init__(self, events_per_s: float) -> None:
        self._rate, self._totals = events_per_s, Totals()
        self._names = [slo_ids(number) for number in range(SERVICES)]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        chance = random.Random(1)
        ends = [some_end(chance).verdicts for _ in range(_ENDS)]
        began, sent = time.monotonic(), 0
        while True:
            due = int(self._rate * (time.monotonic() - began))
            for number in range(sent, due):
                self._totals.add(chance.randrange(SERVICES), ends[number % _ENDS])
            sent = due
            time.sleep(_TICK_S)

    def text(self) -> str:
        """All counters, as Prometheus reads them."""
        lines = ["# TYPE slo_valid_total counter"]
        for names, valid in zip(self._names, self._totals.valid, strict=True):
            lines += [f'slo_valid_total{{slo="{name}"}} {valid}' for name in names]
        lines.append("# TYPE slo_good_total counter")
        for names, good in zip(self._names, self._totals.good, strict=True):
            lines += [f'slo_good_total{{slo="{names[at]}"}} {good[at]}' for at in range(SLOS_EACH)]
        return "\n".join([*lines, ""])


def main(port: str, events_per_s: str) -> None:
    """Serves until it is killed."""
    exporter = Exporter(float(events_per_s))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporter.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class has that name)
            pass

    ThreadingHTTPServer((HOST, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
