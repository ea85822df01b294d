"""What a policy's compiled plan says of itself: its functions, its texts, and variables that nothing sets."""

from typing import Any, Final

Place = tuple[int, int, int]  # the number of a file, row and column, all from 0
NOWHERE: Final[Place] = (1 << 30, 0, 0)

# What answers differently each time, or tells of the machine: a verdict must follow from policy and input.
UNREPEATABLE: Final = frozenset(
    {"http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122"}
)
# The engine keeps texts as JSON escapes them: to its `count`, a quote is two characters. These built-ins give the right
# answer all the same, or take no texts (of the comparisons, only the order of such texts among each other is another).
_OF_NUMBERS = ("abs", "ceil", "div", "floor", "minus", "mul", "plus", "product", "rem", "round", "sum")
_OF_MANY = ("all", "and", "any", "intersection", "max", "min", "or", "set_diff", "union", "walk")
_OF_TYPES = ("array", "boolean", "null", "number", "object", "set", "string")
_OF_OBJECTS = ("filter", "get", "keys", "remove", "subset", "union", "union_n")
_OF_TEXTS = (
    "concat",
    "lower",
    "sprintf",
    "startswith",
    "glob.match",
    "json.unmarshal",
    "to_number",
    "type_name",
)
ESCAPES_DO_NOT_MATTER: Final = frozenset(
    [
        *(
            *_OF_NUMBERS,
            *_OF_MANY,
            *_OF_TEXTS,
            "array.concat",
            "array.reverse",
            "array.slice",
            "numbers.range",
        ),
        *(f"is_{name}" for name in _OF_TYPES),
        *(f"object.{name}" for name in _OF_OBJECTS),
        *("eq", "equal", "gt", "gte", "lt", "lte", "neq", "internal.member_2", "internal.member_3", "print"),
        *("time.parse_duration_ns", "time.parse_rfc3339_ns", "units.parse", "units.parse_bytes"),
    ]
)


class Plan:
    """A plan in Open Policy Agent's intermediate representation."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.functions = {function["name"] for function in plan["funcs"]["funcs"]}
        self.builtins = {builtin["name"] for builtin in plan["static"]["builtin_funcs"]}
        self.called: set[str] = set()
        self.texts = [text["value"] for text in plan["static"]["strings"]]
        self._set: set[int] = set()
        self._read: dict[int, Place] = {}  # where first
        self._visit([plan["plans"], plan["funcs"]], NOWHERE)

    def unset(self) -> list[Place]:
        """The places of variables that are read and that nothing sets."""
        return [place for number, place in self._read.items() if number not in self._set]

    def _visit(self, part: Any, place: Place) -> None:
        if isinstance(part, list):
            for inner in part:
                self._visit(inner, place)
        elif isinstance(part, dict):
            if part.get("type") == "local" and part.keys() == {"type", "value"}:
                self._read.setdefault(part["value"], place)
            elif "stmt" in part:
                self._visit_statement(part["type"], part["stmt"], place)
            else:
                self._set.update(part.get("params", ()))
                self._visit(list(part.values()), place)

    def _visit_statement(self, kind: str, statement: dict[str, Any], place: Place) -> None:
        if "file" in statement:
            place = statement["file"], statement["row"], statement["col"]
        sets = ("target", "result", "key", "value") if kind == "ScanStmt" else ("target", "result")
        for name, value in statement.items():
            if name in sets and isinstance(value, int):
                if kind != "ResetLocalStmt":
                    self._set.add(value)
            elif name == "source" and isinstance(value, int):
                self._read.setdefault(value, place)
            elif name == "func" and isinstance(value, str):
                self.called.add(value)
            else:
                self._visit(value, place)
