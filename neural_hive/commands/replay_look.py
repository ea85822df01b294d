"""`neural-hive replay state`, `history`, `diff`, `cause`, `explain`: what was it then, and why."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from neural_hive.commands.replay_source import (
    AsJson,
    Config,
    Data,
    From,
    Id,
    Log,
    Reveal,
    Source,
    looked_at,
    print_json,
    schemas_of_others,
)
from neural_hive.settings import BadSettings

if TYPE_CHECKING:
    from neural_hive.replay.history import Happening
    from neural_hive.replay.moment import Moment

MaybeId = Annotated[str | None, typer.Argument(help="Id of a workflow, ticket or other aggregate")]
All = Annotated[bool, typer.Option("--all", help="Every aggregate of every system")]
Types = Annotated[
    list[str] | None, typer.Option("--type", help="Only this type of aggregate, such as ticket; repeatable")
]
Type = Annotated[str, typer.Option("--type", help="Its type, if aggregates of several types have the id")]
_MOMENT = "a time (ISO 8601; UTC unless it says), a version as v3, TOPIC:PARTITION:OFFSET of an event, or now"


def register(replay: typer.Typer) -> None:
    """Adds the commands."""
    for command in (state, history, diff, cause, explain):
        replay.command()(command)


def state(
    aggregate_id: MaybeId = None,
    everything: All = False,
    at: Annotated[str | None, typer.Option(help="As of this time (ISO 8601; UTC unless it says)")] = None,
    version: Annotated[int | None, typer.Option(help="As of this version", min=1)] = None,
    offset: Annotated[
        str | None,
        typer.Option(
            help="As of this event, TOPIC:PARTITION:OFFSET: with it, and with what was elsewhere when it came"
        ),
    ] = None,
    types: Types = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
    source: From = Source.KAFKA,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what an aggregate is, or was, or with --all the whole system: the fold of its events.

    One aggregate is shown as JSON, all of them as a table unless --json is given.
    """
    moment = _moment(at, version, offset)
    _one_or_all(aggregate_id, everything)
    with looked_at(source, data, config) as log:
        chosen = _types(log, types)
        if aggregate_id is not None:
            _state_of_one(log, aggregate_id, moment, chosen, reveal, as_json)
        else:
            _state_of_all(log, moment, chosen, reveal, as_json)


def history(
    aggregate_id: Id,
    aggregate_type: Type = "",
    as_json: AsJson = False,
    reveal: Reveal = False,
    source: From = Source.KAFKA,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show all that happened to an aggregate, in order: when, what it changed, and what caused it."""
    from rich.console import Console

    from neural_hive.replay.moment import NOW
    from neural_hive.replay.shown import timeline_table
    from neural_hive.replay.timeline import timeline

    with looked_at(source, data, config) as log:
        found = _history(log, aggregate_id, NOW, aggregate_type)
        lines = log.shown(timeline(log.source, log.aggregates, found, _reader(log)), reveal, as_json)
    if as_json:
        print_json([{**_fields(line.happening), **_fields(line), "happening": None} for line in lines])
    else:
        Console().print(timeline_table(lines))


def diff(
    aggregate_id: MaybeId = None,
    everything: All = False,
    since: Annotated[str, typer.Option("--from", help=f"The earlier moment: {_MOMENT}")] = "",
    until: Annotated[str, typer.Option("--to", help="The later moment, written the same way")] = "now",
    types: Types = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
    source: From = Source.KAFKA,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what changed between two moments, field by field, and which events did it."""
    from neural_hive.replay.moment import moment_of

    _one_or_all(aggregate_id, everything)
    if not since:
        raise BadSettings(f"--from is missing: give {_MOMENT}")
    moments = moment_of(since), moment_of(until)
    with looked_at(source, data, config) as log:
        chosen = _types(log, types)
        if aggregate_id is not None:
            _diff_of_one(log, aggregate_id, moments, chosen, reveal, as_json)
        else:
            _diff_of_all(log, moments, chosen, reveal, as_json)


def cause(
    event: Annotated[
        str, typer.Argument(help="Id of an event or message, or its place TOPIC:PARTITION:OFFSET")
    ],
    depth: Annotated[int, typer.Option(min=0, help="How many generations of what it caused")] = 20,
    limit: Annotated[int, typer.Option(min=0, help="How many of them at most, the nearest first")] = 500,
    as_json: AsJson = False,
    reveal: Reveal = False,
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart")] = False,
    source: From = Source.KAFKA,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what caused an event, back to the plan and across systems, and what it caused in turn."""
    from rich.console import Console

    from neural_hive.replay.causes.drawn import drawn, mermaid
    from neural_hive.replay.causes.node import Topics
    from neural_hive.replay.causes.tree import causes

    with looked_at(source, data, config) as log:
        tree = causes(log.source, Topics.of(log.systems), event, _reader(log), depth, limit)
        found = log.shown(tree, reveal, as_json)
    if as_json:
        print_json(found)
    elif as_mermaid:
        typer.echo(mermaid(found))
    else:
        console = Console()
        console.print(drawn(found), highlight=False)
        console.print(found.beginning, style="dim", highlight=False, markup=False)
    if found.cut:
        Console(stderr=True).print(f"cut: {found.cut}", style="yellow", highlight=False, markup=False)


def explain(
    aggregate_id: Id,
    aggregate_type: Type = "",
    as_json: AsJson = False,
    reveal: Reveal = False,
    source: From = Source.KAFKA,
    data: Data = None,
    config: Config = None,
) -> None:
    """Say in words why a ticket, workflow, agent or incident ended, or stands, as it does."""
    from rich.console import Console
    from rich.text import Text

    from neural_hive.replay.explained.story import story

    with looked_at(source, data, config) as log:
        sentences = log.shown(
            story(log.source, log.aggregates, aggregate_id, aggregate_type), reveal, as_json
        )
    if as_json:
        print_json(sentences)
        return
    console = Console()
    for sentence in sentences:
        line = Text(sentence.text)
        if sentence.places:
            line.append(f"  [{', '.join(sentence.places)}]", "dim")
        console.print(line, soft_wrap=True)


def _state_of_one(
    log: Log, aggregate_id: str, moment: "Moment", types: list[str], reveal: bool, as_json: bool
) -> None:
    from neural_hive.replay.changes import plain
    from neural_hive.replay.history import state as fold

    found = _history(log, aggregate_id, moment, _one_type(types))
    last = found[-1]
    print_json(
        {
            "aggregate_type": last.envelope.aggregate_type,
            "aggregate_id": aggregate_id,
            "version": last.envelope.version,
            "occurred_at": _time(last.envelope.occurred_at),
            "hash": last.hash,
            "state": log.shown(plain(fold(found, log.aggregates)), reveal, as_json),
        }
    )


def _state_of_all(log: Log, moment: "Moment", types: list[str], reveal: bool, as_json: bool) -> None:
    from rich.console import Console

    from neural_hive.replay.shown import states_by_type, states_of_types
    from neural_hive.replay.whole import fields, whole

    states = whole(log.source, log.aggregates, moment, types)
    if as_json:  # piece by piece: there may be very many
        typer.echo('{"aggregates": [', nl=False)
        for number, (key, standing) in enumerate(states.items()):
            told = {**fields(key, standing), "occurred_at": _time(standing.occurred_at)}
            shown = log.shown(told, reveal, as_json)
            typer.echo(f"{',' if number else ''}\n  {msgspec.json.encode(shown).decode()}", nl=False)
        typer.echo("\n]}")
    else:
        Console().print(states_of_types(states) if types else states_by_type(states))


def _diff_of_one(
    log: Log,
    aggregate_id: str,
    moments: "tuple[Moment, Moment]",
    types: list[str],
    reveal: bool,
    as_json: bool,
) -> None:
    from rich.console import Console

    from neural_hive.replay.difference import difference
    from neural_hive.replay.shown import difference_table, events_table

    found = difference(log.source, log.aggregates, aggregate_id, *moments, _one_type(types))
    found = log.shown(found, reveal, as_json)
    if as_json:
        print_json(found)
        return
    console = Console()
    before = f"version {found.version_before}" if found.version_before else "nothing"
    head = f"{found.aggregate_type} {aggregate_id}: {before} → version {found.version_after}"
    console.print(head, highlight=False, markup=False, soft_wrap=True)
    if not found.events:
        console.print("nothing changed")
        return
    console.print(difference_table(found))
    console.print(events_table(found.events))


def _diff_of_all(
    log: Log, moments: "tuple[Moment, Moment]", types: list[str], reveal: bool, as_json: bool
) -> None:
    from rich.console import Console

    from neural_hive.replay.difference import difference_of_all
    from neural_hive.replay.shown import differences_table

    found = log.shown(difference_of_all(log.source, log.aggregates, *moments, types), reveal, as_json)
    if as_json:
        print_json(found)
        return
    appeared = sum(one.appeared for one in found)
    console = Console()
    if found:
        console.print(differences_table(found))
    console.print(f"{appeared:,} appeared, {len(found) - appeared:,} changed", highlight=False)


def _history(log: Log, aggregate_id: str, moment: "Moment", aggregate_type: str = "") -> "list[Happening]":
    from rich.console import Console

    from neural_hive.replay.history import gaps
    from neural_hive.replay.history import history as read

    found = read(log.source, log.topics, aggregate_id, moment, aggregate_type)
    for first, last in gaps(found):
        text = f"versions {first} to {last} are not there: what follows is only the rest"
        Console(stderr=True).print(text, style="yellow")
    return found


def _moment(at: str | None, version: int | None, offset: str | None) -> "Moment":
    from neural_hive.replay.moment import Moment, place_of, time_of

    if sum(given is not None for given in (at, version, offset)) > 1:
        raise BadSettings("give one of --at, --version and --offset")
    if offset is not None:
        place = place_of(offset)
        if place is None:
            raise BadSettings(
                f"--offset {offset} is no place of an event: write it as TOPIC:PARTITION:OFFSET"
            )
        return Moment(place=place)
    return Moment(None if at is None else time_of(at), version)


def _one_or_all(aggregate_id: str | None, everything: bool) -> None:
    if (aggregate_id is None) is not everything:
        raise BadSettings("give the id of an aggregate, or --all")


def _types(log: Log, given: list[str] | None) -> list[str]:
    from neural_hive.replay.whole import known_types

    known = known_types(log.aggregates)
    if unknown := sorted(set(given or ()) - set(known)):
        raise BadSettings(f"no aggregate type {', '.join(unknown)}; there are: {', '.join(known)}")
    return given or []


def _one_type(types: list[str]) -> str:
    if len(types) > 1:
        raise BadSettings("one aggregate has one type: give --type once")
    return types[0] if types else ""


def _reader(log: Log) -> Any:
    from neural_hive.streams.kernel.reading import MessageReader

    return MessageReader(schemas_of_others(log.settings))


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _time(at: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(sep=" ", timespec="milliseconds")
