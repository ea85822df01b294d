"""Hashes of code: which version of the logic decided, and which version of the aggregates made the state."""

import ast
import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

from neural_hive.streams.kernel.system import System

OURS = "neural_hive"
HASH_DIGITS = 16


def state_version(system: System, extra_modules: Iterable[str] = ()) -> str:
    """The version of the code that makes the system's state: a state of another version is folded anew."""
    return code_hash(frozenset(_folding(system)) | frozenset(extra_modules))


def logic_version(system: System, extra_modules: Iterable[str] = ()) -> str:
    """The version of the code that decides; every event carries it."""
    return code_hash(frozenset(_folding(system)) | frozenset(system.decides) | frozenset(extra_modules))


def _folding(system: System) -> set[str]:
    return {f.__module__ for a in system.all_aggregates for f in (a.decide, a.evolve)}


@cache
def code_hash(modules: frozenset[str]) -> str:
    """A hash over the source of the named modules, 16 hex digits, and of all that they import, directly or not, of
    this project and of the packages that they stand in. Other libraries do not count.
    """
    packages = frozenset({OURS, *(name.split(".")[0] for name in modules)})
    seen: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        path = _source(name)
        if path is None:
            continue
        seen[name] = path.read_bytes()
        waiting.extend(sorted(_imports(name, seen[name], packages)))
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + hashlib.sha256(seen[name]).digest())
    return digest.hexdigest()[:HASH_DIGITS]


def _source(name: str) -> Path | None:
    loaded = sys.modules.get(name)
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        spec = find_spec(name)
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


@cache  # systems share most of their modules, and reading one takes milliseconds
def _imports(name: str, source: bytes, packages: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), name.rpartition(".")[0] or name)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.split(".")[0] in packages and _is_module(name))


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
