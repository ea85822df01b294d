"""`neural-hive replay verify --decisions`, `replay what-if`: what was decided is run again, as it was or otherwise."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from neural_hive.commands.replay_source import AsJson, Data, read_of
from neural_hive.settings import BadSettings, Settings, load_settings, read_settings_file

if TYPE_CHECKING:
    from neural_hive.replay.everything import Decide
    from neural_hive.replay.rerun.outside import Chosen
    from neural_hive.replay.rerun.recording import Recording
    from neural_hive.replay.rerun.what_if import Side, WhatIf
    from neural_hive.streams.kernel.system import System

Fetch = Callable[[int], dict[str, Any]]

Decisions = Annotated[
    bool, typer.Option("--decisions", help="Run every decision again, and compare the bytes of its events")
]
Revision = Annotated[
    str | None, typer.Option("--code", metavar="REVISION", help="Decide with the code of this git revision")
]
_Config = Annotated[
    Path | None, typer.Option("--config", help="Settings to try (TOML or YAML)", dir_okay=False)
]
_Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting to try; may be repeated")
]
_Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        help="Settings that the history was made with [default: the environment's]",
        dir_okay=False,
    ),
]
_From = Annotated[
    str | None,
    typer.Option("--from", help="Plans published at this time or later (ISO 8601; UTC unless it says)"),
]
_To = Annotated[str | None, typer.Option("--to", help="Plans published up to this time")]
_Plans = Annotated[
    list[str] | None,
    typer.Option("--plans", help="Ids of plans or decisions, with * and ? for many [default: all]"),
]
_Code = Annotated[
    str | None,
    typer.Option(
        "--code",
        metavar="REVISION|MODULE:FUNCTION",
        help="Code to try: a git revision of this package, or a function of the settings that builds systems",
    ),
]
_Plot = Annotated[Path | None, typer.Option("--plot", help="Write a picture (SVG)", dir_okay=False)]
_Archive = Annotated[bool, typer.Option("--archive", help="Read the log from the archive alone")]


def register(replay: typer.Typer) -> None:
    """Adds the command to those of `replay`."""
    replay.command("what-if")(what_if)


def decide(
    settings: Settings, is_wanted: bool, revision: str | None, topics: Sequence[str] | None, fetch: Fetch
) -> "Decide | None":
    """What runs decisions again in a verification; None: that was not asked for. Raises BadSettings."""
    if not is_wanted:
        if revision:
            raise BadSettings("--code says which code decides again: give it with --decisions")
        return None
    if topics:
        raise BadSettings("--decisions needs all event topics: leave --topic out")
    from neural_hive.replay.rerun.code import SETTINGS
    from neural_hive.replay.rerun.decisions import check_decisions
    from neural_hive.replay.rerun.revision import check_decisions_elsewhere
    from neural_hive.streams.kernel.reading import MessageReader
    from neural_hive.streams.kernel.versions import logic_version

    def here(system: Any, source: Any, findings: Any) -> None:
        check_decisions(system, source, logic_version(system), MessageReader(fetch), findings)

    def elsewhere(system: Any, source: Any, findings: Any) -> None:
        values = {name: getattr(settings, name) for name in SETTINGS}
        check_decisions_elsewhere(revision or "", system, values, source, findings)

    return elsewhere if revision else here


def what_if(
    config: _Config = None,
    changes: _Set = None,
    baseline: _Baseline = None,
    begin: _From = None,
    end: _To = None,
    plans: _Plans = None,
    code: _Code = None,
    plot: _Plot = None,
    as_json: AsJson = False,
    archive: _Archive = False,
    data: Data = None,
) -> None:
    """Run the log's plans again under other settings or other code, in memory, and compare what becomes of them.

    Reads the log and writes nothing to it. What the history cannot know is assumed, and told.
    """
    from neural_hive.replay.rerun.chart import chart
    from neural_hive.replay.rerun.outside import Chosen
    from neural_hive.replay.rerun.tables import render

    _keep_silent()
    settings = load_settings(baseline, data=data)
    chosen = Chosen(tuple(plans or ()), *_between(begin, end))
    answer = _asked(settings, _tried(settings, config, changes or ()), chosen, code, archive)
    if plot is not None:
        _write(plot, chart(answer))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(_told(answer))))
    else:
        render(answer, Console())


def _asked(
    settings: Settings, tried: Mapping[str, Any], chosen: "Chosen", code: str | None, from_archive: bool
) -> "WhatIf":
    from neural_hive.replay.rerun.code import SETTINGS, systems_of
    from neural_hive.replay.rerun.what_if import NAMES, recorded, run
    from neural_hive.replay.rerun.what_if import what_if as compare
    from neural_hive.streams.kernel.reading import MessageReader

    now = {name: getattr(settings, name) for name in SETTINGS}
    changed = {name: (now[name], tried[name]) for name in SETTINGS if now[name] != tried[name]}
    systems = systems_of(now, NAMES)
    recording = recorded(_source(settings, from_archive), systems)
    if code and ":" not in code:
        variant = _elsewhere(code, tried, recording, chosen)
    else:
        variant = run(_variant(tried, code), recording, chosen, MessageReader())
    return compare(recording, systems, chosen, MessageReader(), variant, changed, code or "")


def _variant(tried: Mapping[str, Any], code: str | None) -> "list[System]":
    from neural_hive.replay.rerun.code import built_by, systems_of
    from neural_hive.replay.rerun.what_if import NAMES

    systems = systems_of(tried, NAMES)
    return built_by(code, tried, systems) if code else systems


def _elsewhere(revision: str, tried: Mapping[str, Any], recording: "Recording", chosen: "Chosen") -> "Side":
    from neural_hive.replay.rerun.code import run_elsewhere
    from neural_hive.replay.rerun.elsewhere import Order
    from neural_hive.replay.rerun.what_if import NAMES, Side

    order = Order(NAMES, dict(tried), recording, chosen)
    side: Side = run_elsewhere(revision, order, Side)
    return side


def _source(settings: Settings, from_archive: bool) -> Any:
    from neural_hive.replay.archive import ArchiveSource

    return read_of(settings, ArchiveSource.of(settings), from_archive)


def _tried(settings: Settings, config: Path | None, changes: Sequence[str]) -> dict[str, Any]:
    """The settings that the systems take, as they are tried. Raises BadSettings."""
    from neural_hive.replay.rerun.code import SETTINGS

    values = {name: getattr(settings, name) for name in SETTINGS}
    from_file = {name: value for name, value in read_settings_file(config).items() if name in values}
    given = dict(_change(change, values) for change in changes)
    checked = load_settings(running=False, **{**values, **from_file, **given})
    return {name: getattr(checked, name) for name in SETTINGS}


def _change(text: str, known: Mapping[str, Any]) -> tuple[str, str]:
    name, is_one, value = text.partition("=")
    if not is_one or name not in known:
        raise BadSettings(
            f"--set {text}: write NAME=VALUE, where NAME is a setting by which something is decided: "
            f"{', '.join(known)}"
        )
    return name, value


def _between(begin: str | None, end: str | None) -> tuple[int, ...]:
    first_ms = _milliseconds("--from", begin) if begin else 0
    return (first_ms, _milliseconds("--to", end)) if end else (first_ms,)


def _milliseconds(option: str, text: str) -> int:
    from neural_hive.replay.moment import BadMoment, time_of

    try:
        return time_of(text) // 1_000
    except BadMoment:
        raise BadSettings(
            f"{option} {text} is not a time: write it as 2026-05-04T13:00:00 or with +02:00"
        ) from None


def _keep_silent() -> None:
    """What is decided in memory concerns nobody: no dead letter is in any log, and no handler has failed anywhere."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise BadSettings(f"cannot write {file}: {error.strerror}") from error


def _told(answer: "WhatIf") -> dict[str, Any]:
    """The answer for machines: all that differs and all that was assumed, and not each step of each ticket."""
    sides = {"baseline": answer.baseline, "variant": answer.variant}
    return {
        "settings": {name: {"now": now, "tried": tried} for name, (now, tried) in answer.changed.items()},
        "code": answer.code,
        "is_empty": answer.difference.is_empty,
        "difference": answer.difference,
        "deviation_from_history": answer.deviation,
        "unreadable": answer.unreadable,
        **{
            name: {
                "assumed": side.assumed,
                "living_on": side.living_on,
                "until_ms": side.until_ms,
                "unfinished": side.unfinished,
            }
            for name, side in sides.items()
        },
    }
