"""Steps that do not depend on each other, done in a few threads."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from neural_hive.projections.sink import Step
from neural_hive.projections.store import StoreRefused, StoreUnavailable


class SideBySide:
    """Does so many steps at once."""

    def __init__(self, at_once: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="models")

    def run(self, steps: Sequence[Step]) -> None:
        """Does all of them. Returns when none is at work any more; raises the gravest of what they raised.

        None is begun anew while another may still write: who tries again looks at tables that nobody changes.
        """
        if len(steps) < 2:
            for step in steps:
                step()
            return
        running = [self._threads.submit(step) for step in steps]
        wait(running)
        errors = [error for one in running if (error := one.exception()) is not None]
        if errors:
            raise max(errors, key=_gravity)

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=True)


def _gravity(error: BaseException) -> int:
    """What is tried again weighs less than what ends the projector; where files are damaged, they are looked at."""
    if isinstance(error, StoreUnavailable):
        return 0
    if isinstance(error, StoreRefused):
        return 2 if error.is_about_files else 1
    return 3
