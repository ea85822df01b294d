"""Becomes another program that dies with the process that started it.

Run as `python -I -S tied_exec.py <parent pid> <program> <argument>…`; it imports nothing of ours. The kernel
remembers the wish across exec, so no process is left in between. Only Linux has it: elsewhere the program just runs.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the wish was heard
            sys.exit(1)
    os.execvp(command[0], command)
