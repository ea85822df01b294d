"""The last look at a reader's statement: the engine's own tree of it, as EXPLAIN AST shows it.

What the engine has parsed it runs: here nobody can be deceived about quotes, comments or letters. It does not show
what stands behind APPLY, nor settings; our own tokens do.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from neural_hive.connectors.reader_rules import Rules, check_format, denied, words

_NODES: Final = words(
    """SelectWithUnionQuery SelectIntersectExceptQuery SelectQuery ExpressionList Literal Identifier Function
    TablesInSelectQuery TablesInSelectQueryElement TableExpression TableIdentifier TableJoin ArrayJoin SampleRatio
    Asterisk QualifiedAsterisk ColumnsRegexpMatcher ColumnsListMatcher QualifiedColumnsRegexpMatcher
    QualifiedColumnsListMatcher ColumnsTransformerList ColumnsExceptTransformer ColumnsReplaceTransformer
    ColumnsReplaceTransformer::Replacement ColumnsApplyTransformer OrderByElement InterpolateElement WindowDefinition
    WindowListElement WithElement Subquery Set"""
)
_LINE: Final = re.compile(
    r"(?P<indent> *)(?P<kind>[\w:]+)(?: (?P<text>.*?))?(?: \(children \d+\))?", re.DOTALL
)
_ALIAS: Final = re.compile(r" \(alias .*", re.DOTALL)


class _Node(NamedTuple):
    depth: int
    kind: str
    text: str


def check_engine_tree(lines: Sequence[str], rules: Rules, own: Collection[str]) -> None:
    """Raises SqlError for what a reader may not run; `lines` are the rows of EXPLAIN AST."""
    above: list[_Node] = []
    for line in lines:
        node = _node(line)
        while above and above[-1].depth >= node.depth:
            above.pop()
        _check(node, above[-1] if above else None, rules, own)
        above.append(node)


def _node(line: str) -> _Node:
    found = _LINE.fullmatch(line)
    if found is None or found["kind"] not in _NODES:
        raise denied(f"the engine reads a part of it as {line.strip()[:60]!r}, which is not open to readers")
    return _Node(len(found["indent"]), found["kind"], _ALIAS.sub("", found["text"] or ""))


def _check(node: _Node, parent: _Node | None, rules: Rules, own: Collection[str]) -> None:
    at_top = parent is not None and parent.depth == 0
    if node.kind == "Function":
        if parent is not None and parent.kind == "TableExpression":
            rules.check_table_function(node.text)
        else:
            rules.check_call(node.text, own)
    elif node.kind == "TableIdentifier":
        database, dot, table = node.text.partition(".")
        rules.check_table(database if dot else "", table)
    elif node.kind == "Identifier":
        if at_top:
            check_format(node.text)
        rules.check_name(node.text)
    elif node.kind == "Literal" and at_top:
        raise denied("INTO OUTFILE is not open to readers: take the result from the answer")
