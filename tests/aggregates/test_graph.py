import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.graph import Ancestry, cycle, longest_through, topological_order

CHAIN = {str(n): (str(n - 1),) if n else () for n in range(5_000)}


@st.composite
def graphs(draw: st.DrawFn, acyclic: bool = True) -> dict[str, tuple[str, ...]]:
    """Up to twelve nodes, listed in any order."""
    size = draw(st.integers(1, 12))
    names = draw(st.permutations([f"n{n}" for n in range(size)]))
    graph = {}
    for place, name in enumerate(names):
        others = names[:place] if acyclic else [other for other in names if other != name]
        graph[name] = tuple(draw(st.lists(st.sampled_from(others), unique=True))) if others else ()
    return {name: graph[name] for name in draw(st.permutations(names))}


@settings(deadline=None)
@given(graphs())
def test_every_node_comes_after_what_it_needs(graph: dict[str, tuple[str, ...]]) -> None:
    order = topological_order(graph)
    place = {node: n for n, node in enumerate(order)}
    assert sorted(order) == sorted(graph)
    assert all(place[needed] < place[node] for node in graph for needed in graph[node])
    assert cycle(graph) == []


@settings(deadline=None)
@given(graphs(acyclic=False))
def test_a_cycle_is_a_real_one(graph: dict[str, tuple[str, ...]]) -> None:
    path = cycle(graph)
    if len(topological_order(graph)) == len(graph):
        assert path == []
    else:
        assert len(path) >= 3
        assert path[0] == path[-1]
        assert len(set(path)) == len(path) - 1
        assert all(later in graph[earlier] for earlier, later in itertools.pairwise(path))


def test_a_node_behind_a_cycle_is_not_named() -> None:
    assert cycle({"after": ("b",), "a": ("b",), "b": ("a",), "free": ()}) == ["b", "a", "b"]


def test_a_chain_of_thousands_does_not_recurse() -> None:
    assert topological_order(CHAIN) == list(CHAIN)
    assert cycle({**CHAIN, "0": ("4999",)})[0] == "0"
    assert set(longest_through(CHAIN, list(CHAIN), dict.fromkeys(CHAIN, 1)).values()) == {5_000}


@settings(deadline=None)
@given(graphs())
def test_ancestry_is_reachability(graph: dict[str, tuple[str, ...]]) -> None:
    def reaches(node: str, earlier: str) -> bool:
        return any(needed == earlier or reaches(needed, earlier) for needed in graph[node])

    ancestry = Ancestry(graph, topological_order(graph))
    assert all(ancestry.precedes(a, b) == reaches(b, a) for a in graph for b in graph)


def test_the_critical_path_is_the_longest() -> None:
    graph = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    through = longest_through(graph, topological_order(graph), {"a": 1, "b": 5, "c": 2, "d": 1})
    assert through == {"a": 7, "b": 7, "c": 4, "d": 7}
