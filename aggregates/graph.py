"""The dependencies of a plan as a graph: order, cycle, critical path, ancestors.

A graph maps each node to the nodes that it depends on; every dependency is itself a node. Nothing here recurses:
a chain of thousands of tasks is a plan like any other.
"""

from collections.abc import Mapping, Sequence

Graph = Mapping[str, Sequence[str]]


def dependents(graph: Graph) -> dict[str, list[str]]:
    """Node → the nodes that depend on it, in the graph's order."""
    found: dict[str, list[str]] = {node: [] for node in graph}
    for node, needed in graph.items():
        for dependency in needed:
            found[dependency].append(node)
    return found


def topological_order(graph: Graph) -> list[str]:
    """Every node after all that it depends on; among equals, the graph's own order level by level.

    A node that stands on a cycle, or behind one, is left out.
    """
    missing = {node: len(needed) for node, needed in graph.items()}
    order = [node for node, count in missing.items() if count == 0]
    waiting = dependents(graph)
    for node in order:  # grows while it is read
        for dependent in waiting[node]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                order.append(dependent)
    return order


def cycle(graph: Graph) -> list[str]:
    """One cycle as a path that ends where it began, each node needing the next; empty if there is none."""
    placed = set(topological_order(graph))
    node = next((node for node in graph if node not in placed), None)
    if node is None:
        return []
    # Every node left waits for another one left: following them must come back to a node seen before.
    seen: dict[str, int] = {}
    path: list[str] = []
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = next(dependency for dependency in graph[node] if dependency not in placed)
    return [*path[seen[node] :], node]


def longest_through(graph: Graph, order: Sequence[str], weights: Mapping[str, int]) -> dict[str, int]:
    """Node → weight of the heaviest path that runs through it. The largest of them is the critical path's weight."""
    waiting = dependents(graph)
    until: dict[str, int] = {}
    for node in order:
        until[node] = weights[node] + max((until[d] for d in graph[node]), default=0)
    after: dict[str, int] = {}
    for node in reversed(order):
        after[node] = max((after[d] + weights[d] for d in waiting[node]), default=0)
    return {node: until[node] + after[node] for node in order}


class Ancestry:
    """Answers whether one node must come before another. One bit a pair: 10,000 nodes need 12 MB at most."""

    def __init__(self, graph: Graph, order: Sequence[str]) -> None:
        self._bit = {node: 1 << place for place, node in enumerate(order)}
        self._above: dict[str, int] = {}
        for node in order:
            bits = 0
            for dependency in graph[node]:
                bits |= self._above[dependency] | self._bit[dependency]
            self._above[node] = bits

    def precedes(self, earlier: str, later: str) -> bool:
        """Whether `later` depends on `earlier`, directly or through others."""
        return bool(self._above[later] & self._bit[earlier])
