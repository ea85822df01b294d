"""The tree of causes: from what began it all down to an event, and what that event caused in turn."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from neural_hive.replay.causes.gathered import Gathered
from neural_hive.replay.causes.node import Kind, Node, Read, Topics
from neural_hive.replay.reader import LogSource

DEPTH: Final = 20
SIZE: Final = 500


class Branch(msgspec.Struct):
    """A node, and what it caused."""

    node: Node
    after_us: int | None  # since its cause; None: that is not known
    caused: list["Branch"] = []
    left_out: int = 0  # how many more it caused directly, that are not shown


class Causes(msgspec.Struct, frozen=True):
    """What caused an event, and what it caused."""

    asked: str  # its id
    before: list[Branch]  # what began it all first, the direct cause last; nothing else that these caused
    tree: Branch
    beginning: str  # why there is nothing before: it began so, or what caused it is not there
    cut: str  # what was left out; "" if nothing was


def causes(
    source: LogSource, topics: Topics, text: str, read: Read, depth: int = DEPTH, size: int = SIZE
) -> Causes:
    """The tree of an event or message, by its id or its place TOPIC:PARTITION:OFFSET.

    `depth`: how many generations of what it caused; `size`: how many of them at most, the nearest first. Raises
    NoSuchEvent, BadMoment, NewerEvent; and what the source raises.
    """
    gathered = Gathered(source, topics, read)
    asked = gathered.around(text)
    before = ancestors(gathered.nodes, asked)
    tree, left_out = descendants(gathered.nodes, asked, depth, size)
    if before:
        tree.after_us = asked.at - before[-1].node.at
    first = before[0].node if before else asked
    more = (
        f"{left_out:,} more that it caused are not shown: ask with a larger --depth or --limit"
        if left_out
        else ""
    )
    return Causes(asked.id, before, tree, _beginning(first), "; ".join(filter(None, (gathered.cut, more))))


def ancestors(nodes: Mapping[str, Node], node: Node) -> list[Branch]:
    """What caused a node, what caused that, and so on; the first cause first."""
    found, seen = [node], {node.id}
    while (cause := nodes.get(found[-1].causation_id)) is not None and cause.id not in seen:
        seen.add(cause.id)
        found.append(cause)
    chain = found[::-1]
    since = [None, *(later.at - earlier.at for earlier, later in itertools.pairwise(chain))]
    return [Branch(one, after) for one, after in zip(chain, since, strict=True)][:-1]


def descendants(nodes: Mapping[str, Node], root: Node, depth: int, size: int) -> tuple[Branch, int]:
    """What a node caused, generation by generation; and how many more there are."""
    children = _children(nodes.values())
    tree = Branch(root, None)
    row, seen, count = [tree], {root.id}, 0
    for _ in range(depth):
        following = []
        for branch in row:
            for child in children.get(branch.node.id, ()):
                if child.id in seen:
                    continue
                if count >= size:
                    branch.left_out += 1
                    continue
                seen.add(child.id)
                count += 1
                branch.caused = [*branch.caused, Branch(child, child.at - branch.node.at)]
            following += branch.caused
        row = following
    for branch in row:
        branch.left_out = sum(child.id not in seen for child in children.get(branch.node.id, ()))
    return tree, _size(children, root) - count


def _children(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        if node.causation_id:
            found.setdefault(node.causation_id, []).append(node)
    for caused in found.values():
        caused.sort(key=lambda n: (n.at, n.occurred_at, n.place))
    return found


def _size(children: Mapping[str, list[Node]], root: Node) -> int:
    """How many a node caused, near and far."""
    seen, todo = {root.id}, [root.id]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child.id not in seen:
                seen.add(child.id)
                todo.append(child.id)
    return len(seen) - 1


def _beginning(first: Node) -> str:
    if first.kind is Kind.TIMER:
        return "it began with a timer; the event that set it is not in the log"
    if not first.causation_id:
        return f"it began with this {first.type}, sent by {first.producer}"
    where = f" (read at {first.cause_place})" if first.cause_place else ""
    return f"what caused it, {first.causation_id}{where}, is not in the log any more, or not of this system"
