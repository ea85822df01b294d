"""The functions that readers may call: a list in a file, made from the engine's own and looked at by a person.

    python -m neural_hive.connectors.reader_functions --write

writes it anew for the engine that is installed; a test fails while file and engine differ, so that nobody may call
what a new engine brings before somebody has seen it.
"""

import argparse
import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

_FILE: Final = Path(__file__).with_suffix(".txt")
_MARK: Final = " aggregate"

REFUSED: Final = {
    "reads files or tells of disks": r"file|filesystem\w+|chdb|structureTo\w+",
    "tells of the machine or the process": (
        r"FQDN|(?:full)?hostName|displayName|serverUUID|buildId|getOSKernelVersion|getServerPort|tcpPort|getMacro"
        r"|getServerSetting|getMergeTreeSetting|getSetting|getSettingOrDefault|showCertificate|uptime|tid"
        r"|zookeeperSessionUptime|hasThreadFuzzer|transaction\w+|runningConcurrency|globalVariable|current_?Handler"
    ),
    "tells of requests and users": (
        r"getClientHTTPHeader|currentRequestURL|(?:current|enabled|default)(?:Roles|Profiles)|(?:current_?|initial_?)?query_?ID"
        r"|connection_?Id"
    ),
    "looks into tables that are named in a text": (
        r"hasColumnInTable|joinGet\w*|dict(?:Get\w*|Has|IsIn)|region(?:Hierarchy|In|To\w+)|getMaxTableNameLengthForDatabase"
    ),
    "asks other machines": r"ai(?:Classify|Embed|Extract|Filter|Generate|Redact|Similarity|Translate)",
    "uses models of the server": r"evalMLMethod|catboostEvaluate|naiveBayes\w*|lemmatize|synonyms|stem|detect\w+",
    "looks into the engine": r"addressTo\w+|demangle|logTrace|mergeTreePartInfo|isMergeTreePartCoveredBy",
    "keeps a state": r"generateSerialID|timeSeriesStoreTags",
    "is the engine's own": r"__\w+|validateNestedArraySizes|fuzzQuery|generateRandomStructure",
}


class Functions(NamedTuple):
    """Names in small letters: the engine takes some in any case, and none is open in one and closed in another."""

    all: frozenset[str]
    aggregates: frozenset[str]


@cache
def functions() -> Functions:
    """What the file says."""
    lines = _FILE.read_text().splitlines()
    names = [line.removesuffix(_MARK).lower() for line in lines]
    return Functions(
        frozenset(names),
        frozenset(name for name, line in zip(names, lines, strict=True) if line.endswith(_MARK)),
    )


def refusal(name: str) -> str | None:
    """Why nobody may call a function of this name; None if readers may."""
    return next((why for why, names in REFUSED.items() if re.fullmatch(names, name, re.IGNORECASE)), None)


def listed(known: Iterable[tuple[str, bool]]) -> str:
    """The file for an engine with these functions: (name, whether it is an aggregate function)."""
    open_ones = sorted(((n, a) for n, a in known if refusal(n) is None), key=lambda f: (f[0].lower(), f[0]))
    return "".join(f"{name}{_MARK if aggregates else ''}\n" for name, aggregates in open_ones)


def installed() -> list[tuple[str, bool]]:
    """The functions of the engine that is installed."""
    chdb: Any = import_module("chdb")
    lines = chdb.query(
        "SELECT name, is_aggregate FROM system.functions WHERE origin = 'System'", "TSV"
    ).bytes()
    return [(name, flag == "1") for name, flag in (line.split("\t") for line in lines.decode().splitlines())]


def main() -> None:
    parser = argparse.ArgumentParser(description="The list of functions that readers may call")
    parser.add_argument("--write", action="store_true", help="write it for the engine that is installed")
    if parser.parse_args().write:
        _FILE.write_text(listed(installed()))


if __name__ == "__main__":
    main()
