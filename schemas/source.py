"""Functions that are written for a schema: lines of Python, and what they name."""

from typing import Any, Final

_INDENT: Final = "    "


class Source:
    """The lines of a function's body so far, and the constants that they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.depth, self._count = 1, 0
        self.named: dict[str, Any] = {}  # records and enums so far, by their full names

    def line(self, *texts: str) -> None:
        """Adds lines."""
        self.lines += [_INDENT * self.depth + text for text in texts]

    def new(self) -> str:
        """A name that is not used yet."""
        self._count += 1
        return f"v{self._count}"

    def node(self, node: Any) -> Any:
        """What a name stands for; the node itself, if it is none."""
        return self.named.get(node, node) if isinstance(node, str) else node

    def function(self, head: str, about: str, known: dict[str, Any]) -> Any:
        """The function with a head such as `read(data, at)`; `known` is what its lines name besides."""
        text = "\n".join([f"def {head}:", *self.lines])
        found: dict[str, Any] = {**known, **self.constants}
        exec(compile(text, f"<{about}>", "exec"), found)
        return found[head.partition("(")[0]]


def name_of(schema: Any) -> str:
    """What to call the function of a schema."""
    return str(schema.get("name", schema["type"])) if isinstance(schema, dict) else str(schema)
