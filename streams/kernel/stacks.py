"""What a process is doing now: where its threads and its tasks stand. For SIGUSR1, and for one that is stuck."""

import asyncio
import faulthandler
import sys
from collections.abc import Iterable, Iterator
from typing import Any


def write_threads() -> None:
    """Writes the stack of every thread to the standard error."""
    faulthandler.dump_traceback(sys.stderr, all_threads=True)


def write_tasks(loops: Iterable[asyncio.AbstractEventLoop]) -> None:
    """Writes where every task of some event loops waits to the standard error. Can be called from any thread."""
    lines = [line for loop in loops for task in asyncio.all_tasks(loop) for line in _task_lines(task)]
    write_lines(lines)


def write_lines(lines: Iterable[str]) -> None:
    """Writes lines to the standard error, where the stacks go."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


def _task_lines(task: asyncio.Task[Any]) -> Iterator[str]:
    yield f"Task {task.get_name()}:"
    yield from (f"  {place}" for place in _places(task.get_coro()))


def _places(awaited: Any) -> Iterator[str]:
    """From the task's own coroutine to what it waits for in the end; a task's own stack is its first frame only."""
    while awaited is not None:
        frame = next((f for name in _FRAMES if (f := getattr(awaited, name, None)) is not None), None)
        if frame is None:
            if not hasattr(awaited, "cr_frame"):
                yield f"waits for {type(awaited).__name__}"
            return
        yield f'File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'
        awaited = next((a for name in _AWAITED if (a := getattr(awaited, name, None)) is not None), None)


_FRAMES = ("cr_frame", "gi_frame", "ag_frame")
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")
