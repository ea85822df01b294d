"""Which metrics a PromQL expression names: enough of its grammar for that, and no more."""

import re
from typing import Final

_STRING: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_BRACES: Final = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")  # matchers of labels, ranges
_LABELS: Final = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9_:])[0-9][0-9A-Za-z_.]*")
_FUNCTION: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?=\s*\()")
_WORDS: Final = frozenset(
    {"and", "or", "unless", "bool", "offset", "inf", "nan", "by", "without", "on", "ignoring", "start", "end"}
    | {"group_left", "group_right"}
)
_PARTS: Final = ("_bucket", "_sum", "_count")


def metric_names(expression: str) -> set[str]:
    """The names of the series that an expression asks for."""
    text = _STRING.sub('""', expression)
    for pattern in (_BRACES, _LABELS, _NUMBER, _FUNCTION):
        text = pattern.sub(" ", text)
    return {name for name in _NAME.findall(text) if name.lower() not in _WORDS}


def is_known(name: str, known: frozenset[str] | set[str]) -> bool:
    """Whether a series is one of the known ones, or a part of a known histogram."""
    return name in known or any(name.removesuffix(part) in known for part in _PARTS if name.endswith(part))
