"""What an expression demands of an event: fields that must have one of a few values, or it is not true.

    service = 'cart' AND (status = 'FAILED' OR status = 'TIMED_OUT')
        → service must be 'cart', status must be 'FAILED' or 'TIMED_OUT'

So whoever has thousands of expressions need not test an event with each of them: it looks up those that demand what
the event has. What demands nothing is simply tested with every event.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Final

from sqlglot import exp

Demands = Mapping[str, frozenset[Hashable]]  # by field; what is not here may be anything
Literal = Callable[[exp.Expr | None], Hashable]

NOTHING: Final[Demands] = {}


def demands(node: exp.Expr, literal: Literal) -> Demands:
    """What a condition that was read without error demands; `literal` gives the value of a constant."""
    match node:
        case exp.Paren():
            return demands(node.this, literal)
        case exp.And():
            return _both(demands(node.left, literal), demands(node.right, literal))
        case exp.Or():
            return _either(demands(node.left, literal), demands(node.right, literal))
        case exp.EQ():
            return _one(node.left, [node.right], literal) or _one(node.right, [node.left], literal)
        case exp.In():
            return _one(node.this, node.expressions, literal)
        case _:
            return NOTHING


def _one(field: exp.Expr, constants: list[exp.Expr], literal: Literal) -> Demands:
    while isinstance(field, exp.Paren):
        field = field.this
    if not isinstance(field, exp.Column):
        return NOTHING
    return {field.name: frozenset(map(literal, constants))}


def _both(first: Demands, second: Demands) -> Demands:
    """Of two that must be true: where both demand a field, it must have a value that suits both."""
    shared = {name: first[name] & second[name] for name in first.keys() & second.keys()}
    return {**first, **second, **shared}


def _either(first: Demands, second: Demands) -> Demands:
    """Of two of which one must be true."""
    return {name: first[name] | second[name] for name in first.keys() & second.keys()}
