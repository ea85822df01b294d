"""A tree of causes as text for a terminal, and as a Mermaid flowchart."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from neural_hive.replay.causes.node import Kind, Node
from neural_hive.replay.causes.tree import Branch, Causes
from neural_hive.replay.changes import time_text

_STYLES: Final = {Kind.EVENT: "bold", Kind.MESSAGE: "cyan", Kind.TIMER: "yellow"}
_ID_CHARS: Final = 8  # of an id, as people tell ids apart
_SHAPES: Final = {Kind.EVENT: ("[", "]"), Kind.MESSAGE: ("([", "])"), Kind.TIMER: ("{{", "}}")}


def drawn(causes: Causes) -> Group:
    """What caused it as lines under each other, then it and what it caused as a tree."""
    lines = [_line(branch) for branch in causes.before]
    above = [Text("↳ ", "dim").append_text(line) if number else line for number, line in enumerate(lines)]
    asked = Text("↳ ", "dim").append_text(_line(causes.tree)) if above else _line(causes.tree)
    tree = Tree(asked.append("  ◀ asked for", "bold green"))
    _grow(tree, causes.tree)
    return Group(*above, tree)


def mermaid(causes: Causes) -> str:
    """As a flowchart: events are boxes, messages are rounded, timers are hexagons; arrows bear the time between."""
    lines = ["flowchart TD"]
    numbers: dict[str, int] = {}
    for branch, parent in _all(causes):
        number = numbers.setdefault(branch.node.id, len(numbers))
        before, after = _SHAPES[branch.node.kind]
        lines.append(f'    n{number}{before}"{_label(branch.node)}"{after}')
        if parent is not None:
            lines.append(f"    n{numbers[parent]} -- {duration_text(branch.after_us or 0)} --> n{number}")
        if branch.left_out:
            lines.append(f'    n{number} -.-> m{number}["{branch.left_out:,} more"]')
    lines.append(f"    style n{numbers[causes.asked]} stroke-width:4px")
    return "\n".join(lines)


def duration_text(us: int) -> str:
    """A duration in µs, in the unit that suits it."""
    sign, us = ("-", -us) if us < 0 else ("", us)
    if us < 1_000_000:
        return f"{sign}{us / 1_000:.0f} ms"
    if us < 60_000_000:
        return f"{sign}{us / 1_000_000:.1f} s"
    minutes, seconds = divmod(us // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    return sign + " ".join(f"{number} {unit}" for number, unit in parts if number)


def _grow(tree: Tree, branch: Branch) -> None:
    todo = [(tree, branch)]
    while todo:
        at, one = todo.pop()
        todo += [(at.add(_line(child)), child) for child in one.caused]
        if one.left_out:
            at.add(Text(f"… {one.left_out:,} more", "dim"))


def _line(branch: Branch) -> Text:
    node = branch.node
    line = Text(_name(node), _STYLES[node.kind])
    for part in (_about(node), node.place or f"due {time_text(node.at)}"):
        if part:
            line.append(f"  {part}", "default")
    since = f"+{duration_text(branch.after_us)}" if branch.after_us is not None else time_text(node.at)
    return line.append(f"  {since}", "dim")


def _name(node: Node) -> str:
    return f"timer {node.type or 'of another aggregate'}" if node.kind is Kind.TIMER else node.type


def _about(node: Node) -> str:
    """Whose it is, and a few words of it."""
    whose = f"{node.aggregate_type} {_short(node.aggregate_id)}" if node.aggregate_type else ""
    told = ", ".join(f"{name} {_short(str(value), 60)}" for name, value in node.told.items())
    return ", ".join(filter(None, (whose, told)))


def _short(text: str, chars: int = _ID_CHARS) -> str:
    text = " ".join(text.split())
    return text if len(text) <= chars + 4 else f"{text[:chars]}…"


def _label(node: Node) -> str:
    lines = (_name(node), _about(node), node.place or f"due {time_text(node.at)}")
    return "<br>".join(_escaped(line) for line in lines if line)


def _escaped(text: str) -> str:
    """As Mermaid takes it between quotation marks: letters of meaning as entities."""
    return "".join(f"#{ord(letter)};" if letter in '"#<>&`\\[]{}()|;' else letter for letter in text)


def _all(causes: Causes) -> Iterator[tuple[Branch, str | None]]:
    parent = None
    for branch in causes.before:
        yield branch, parent
        parent = branch.node.id
    todo: list[tuple[Branch, str | None]] = [(causes.tree, parent)]
    while todo:
        branch, parent = todo.pop(0)
        yield branch, parent
        todo += [(child, branch.node.id) for child in branch.caused]
