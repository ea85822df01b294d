"""A projector that kills itself with -9 when it reaches a step for the nth time: python -m … JSON."""

import json
import os
import signal
import sys
import threading

from neural_hive.projections import positions
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.projector import Projector
from neural_hive.schemas.topics import Kind


def main() -> None:
    told = json.loads(sys.argv[1])
    left = [int(told["count"])]

    def reached(step: str) -> None:
        if step == told["step"]:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    positions.ROWS_MAX = 8  # epochs are renewed between deaths
    store = HttpStore(told["host"], told["port"], told["user"], told["password"], told["database"])
    kinds = {name: Kind(kind) for name, kind in told["kinds"].items()}
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    Projector(store, told["config"], kinds, stopping, reached=reached, linger_s=0.05).run()


if __name__ == "__main__":
    main()
