"""The jars of the Apache Kafka broker: fetched once, checked against the lock by SHA-256, kept per user."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

KAFKA_VERSION: Final = "4.4.0"
ENDPOINT: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
LOCK: Final = Path(__file__).with_name("kafka_jars.lock")
_ATTEMPTS: Final = 3


class JarsRefused(RuntimeError):
    """The jars cannot be used; the text says why and what to do."""


def cache_folder() -> Path:
    """Where downloads are kept: NEURAL_HIVE_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("NEURAL_HIVE_CACHE"):
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "neural-hive"


def kafka_jars(cache: Path, lock: Path = LOCK) -> Path:
    """The folder with exactly the locked jars, fetched if they are not there.

    Raises JarsRefused if they cannot be fetched, or if one is not the one that the lock names.
    """
    locked = read_lock(lock)
    folder = _folder(cache, lock)
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(folder.with_name(f"{folder.name}.busy")):
        if not folder.exists():
            _fetch(cache, folder, locked)
        check(folder, locked)
    return folder


def is_fetched() -> bool:
    """True if a start needs no download."""
    return _folder(cache_folder(), LOCK).exists()


def _folder(cache: Path, lock: Path) -> Path:
    return cache / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"


def read_lock(lock: Path) -> dict[str, str]:
    """SHA-256 by file name."""
    try:
        pairs = (line.split() for line in lock.read_text().splitlines() if line.strip())
        return {name: digest for digest, name in pairs}
    except (OSError, ValueError) as error:
        raise JarsRefused(f"cannot read {lock}: {error}. Install neural-hive again.") from error


def check(folder: Path, locked: Mapping[str, str]) -> None:
    """Raises JarsRefused unless the folder holds the locked jars, all of them, and nothing else."""
    found = {jar.name for jar in folder.iterdir()}
    if wrong := sorted(found ^ locked.keys()):
        state = "not in the lock" if wrong[0] in found else "missing"
        raise JarsRefused(f"Kafka's jar {wrong[0]} in {folder} is {state}. {_remedy(folder)}")
    for name, digest in sorted(locked.items()):
        with (folder / name).open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != digest:
            raise JarsRefused(
                f"Kafka's jar {name} in {folder} is not the one in the lock: "
                f"SHA-256 {actual}, expected {digest}. {_remedy(folder)}"
            )


def _remedy(folder: Path) -> str:
    return f"Delete {folder} to fetch it again; if that does not help, the download itself was changed."


def _fetch(cache: Path, folder: Path, locked: Mapping[str, str]) -> None:
    """Downloads into a folder beside, checks, and only then gives it its name."""
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as name:
        room = Path(name)
        flat = room / "jars"
        flat.mkdir()
        for jar in _download(room):
            shutil.copyfile(jar, flat / jar.name)
        check(flat, locked)
        flat.rename(folder)


def _download(room: Path) -> list[Path]:
    # Imported here: a second start must not need it, and it takes a while.
    from jgo import MAVEN_CENTRAL_URL, EnvironmentBuilder, MavenContext

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            context = MavenContext(
                repo_cache=room / "repository", remote_repos={"central": MAVEN_CENTRAL_URL}
            )
            environment = EnvironmentBuilder(context=context, cache_dir=room / "environment").from_endpoint(
                ENDPOINT
            )
        except Exception as error:  # jgo documents no errors of its own
            if attempt == _ATTEMPTS:
                raise JarsRefused(
                    f"cannot download Apache Kafka {KAFKA_VERSION} ({error}). "
                    "The first start needs a connection to Maven Central; check network and proxy, and start again."
                ) from error
        else:
            return [jar for kind in ("jars", "modules") for jar in (environment.path / kind).glob("*.jar")]
    raise AssertionError("the loop returns or raises")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds a file lock of this machine while the block runs."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
