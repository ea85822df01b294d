"""A command answers on standard output and in its own words: what libraries log goes to stderr, if it is an error."""

import logging
import sys


def logs_to_stderr() -> None:
    """To be called before a command speaks to a server; a process has its own log (see process.py)."""
    import structlog  # a command that logs nothing need not wait for it

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        # The stderr of when something is logged: a caller may exchange it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
