"""What disks do to files: bits flip, ends are cut off, stretches become zeros, files are gone."""

from collections.abc import Callable
from pathlib import Path
from random import Random

Damage = Callable[[Path, Random], None]


def flip(file: Path, chance: Random) -> None:
    """One bit somewhere."""
    flip_at(file, chance.randrange(file.stat().st_size), 1 << chance.randrange(8))


def flip_at(file: Path, at: int, bits: int = 1) -> None:
    """Some bits of the byte at a place; counted from the end if it is negative."""
    content = bytearray(file.read_bytes())
    content[at] ^= bits
    file.write_bytes(content)


def cut(file: Path, chance: Random) -> None:
    """The end is missing."""
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


def zero(file: Path, chance: Random) -> None:
    """The end was never written: the file has its size, and zeros."""
    content = file.read_bytes()
    at = chance.randrange(len(content))
    file.write_bytes(content[:at] + bytes(len(content) - at))


def remove(file: Path, chance: Random) -> None:
    """The file is gone."""
    file.unlink()
