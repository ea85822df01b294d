"""Runs what the pages of the documentation show: files under their captions, commands with what they print, SQL.

**`plan.yaml`**              a caption: the next block is that file
```console
$ command  # exit code 2    run in one shell for the whole page; without a comment the exit code must be 0
words … more words          must stand in what it prints, in this order; … is anything
```
<!-- not run: why -->        before a block that is only read
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, Queue
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
COMMAND_TIMEOUT_S: Final = 150.0
FOLLOW_TIMEOUT_S: Final = 30.0  # how long the tables may take to follow the log on a busy machine
_ASKING: Final = ("neural-hive query", "neural-hive dead-letters --", "curl")
_FENCE: Final = re.compile(
    r"(?:^\*\*`(?P<file>[^`]+)`\*\*\n+)?"
    r"(?P<skip>^<!-- not run: [^>]+ -->\n+)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_EXIT_CODE: Final = re.compile(r"#.*\bexit code (\d+)$")


class Block(msgspec.Struct, frozen=True):
    """One fenced block that counts."""

    language: str
    text: str
    file: str | None
    line: int


class Shown(msgspec.Struct, frozen=True):
    """One command of a console block, and what the page says that it prints."""

    command: str
    exit_code: int
    lines: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    """The page's blocks, without those that are only read."""
    text = page.read_text()
    return [
        Block(found["language"], found["text"], found["file"], text.count("\n", 0, found.start("text")))
        for found in _FENCE.finditer(text)
        if not found["skip"]
    ]


def commands(block: Block) -> list[Shown]:
    """The commands of a console block; lines that begin with `> ` go on with the command."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0].append(line[2:])
        elif line.strip() and found:
            found[-1][1].append(line)
    return [_shown("\n".join(command), tuple(lines)) for command, lines in found]


def _shown(command: str, lines: tuple[str, ...]) -> Shown:
    code = _EXIT_CODE.search(command)
    return Shown(command, int(code[1]) if code else 0, lines)


class Reader:
    """Somebody who does what a page says, in a folder, with one shell."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.ports: dict[str, str] = {}
        """What the page says of ports, and what they are here: the defaults may be taken."""
        self._lines: Queue[str] = Queue()
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Ends the shell, and what a page has left in its background."""
        assert self._shell.stdin
        self._shell.stdin.close()
        try:
            self._shell.wait(20)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)

    def follow(self, page: Path, until: str | None = None, since: str | None = None) -> int:
        """Does what a page says: all, or what stands before or from the first command that begins with a text.

        Returns how many commands were run.
        """
        ran, on = 0, since is None
        for block in blocks(page):
            if block.file and on:
                file = self.folder / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._here(block.text))
            elif block.language == "console":
                for shown in commands(block):
                    if until and shown.command.startswith(until):
                        return ran
                    on = on or shown.command.startswith(since or "")
                    if on:
                        self._try(shown, f"{page.name}:{block.line}")
                        ran += 1
        return ran

    def _try(self, shown: Shown, place: str) -> None:
        deadline = time.monotonic() + FOLLOW_TIMEOUT_S
        while True:
            output, exit_code = self.run(shown.command)
            told = f"{place}: $ {shown.command}\n{output}"
            assert exit_code == shown.exit_code, f"exit code {exit_code}, expected {shown.exit_code}; {told}"
            missing = missing_line(shown.lines, output)
            if missing is None or not shown.command.startswith(_ASKING) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        assert missing is None, f"it does not print {missing!r}; {told}"

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints, and its exit code."""
        command = self._here(command)
        assert self._shell.stdin
        end = f"--end-{time.monotonic_ns()}--"
        self._shell.stdin.write(f"{command}\necho {end} $?\n")
        self._shell.stdin.flush()
        output: list[str] = []
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.01))
            except Empty:
                raise AssertionError(
                    f"no end after {COMMAND_TIMEOUT_S:g} s: {command}\n{''.join(output)}"
                ) from None
            before, mark, after = line.partition(end)
            if mark:
                return "".join([*output, before]), int(after)
            output.append(line)

    def _here(self, text: str) -> str:
        for said, actual in self.ports.items():
            text = text.replace(said, actual)
        return text

    def _listen(self) -> None:
        assert self._shell.stdout
        for line in self._shell.stdout:
            self._lines.put(line)


def missing_line(shown: tuple[str, ...], output: str) -> str | None:
    """The first shown line that the output does not hold after those before it; None if all are there."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        if line.strip() == "…":
            continue
        words = [re.escape(" ".join(part.split())) for part in line.split("…")]
        pattern = re.compile(r"\s*.*\s*".join(words))
        if not any(pattern.search(found) for found in lines):
            return line
    return None
