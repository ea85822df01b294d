"""Policies in Rego, judged so that what cannot be judged is never taken for allowed.

The engine (rego-cpp, tried with regopy 1.5.2) lets things pass that Open Policy Agent refuses, and each would make a
rule silently not apply. So a policy's compiled plan is looked at before it is evaluated: variables that nothing sets,
functions that are not there, texts that the engine would judge wrongly.

Never import this where RocksDB is loaded: the two C++ libraries take each other's memory functions, and the process
dies. The executor runs in a process of its own.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from regopy import Interpreter
from regopy.rego_shared import (
    RegoError,
    rego_bundle_query,
    rego_free_output,
    rego_node_get,
    rego_node_size,
    rego_node_type,
    rego_node_value,
    rego_output_node,
    rego_output_ok,
    rego_output_string,
)

from neural_hive.connectors.executors.documents import CannotJudge, canonical, escaped_texts, written
from neural_hive.connectors.executors.rego_plan import ESCAPES_DO_NOT_MATTER, UNREPEATABLE, Place, Plan

_VALUE: Final = "value"
_REFERENCE: Final = re.compile(r"data(\.[A-Za-z_][A-Za-z0-9_]*)+")
_ERROR_MESSAGE: Final = 1801  # the kind of the engine's nodes that hold the text of an error
_ERROR_TEXT: Final = re.compile(r"\(errormsg \d+:(.*)\)")


class Policy:
    """Some Rego modules and the documents that they judge."""

    def __init__(self, modules: Mapping[str, str], given: Any, data: Mapping[str, Any]) -> None:
        """Modules by name; the input; further documents. Raises CannotJudge: a module is not Rego."""
        self._engine = Interpreter()
        self._engine.strict_built_in_errors = True
        self._sources = dict(modules)
        self._escaped = next(escaped_texts(given, "input"), "") or next(escaped_texts(data, "data"), "")
        for name, source in modules.items():
            try:
                self._engine.add_module(name, source)
            except RegoError as error:
                raise CannotJudge(f"{name} is not Rego: {_told(str(error))}") from error
        # Not `set_input`: it turns integers of more than 64 bits into 0.
        self._engine.set_input_term(written(given))
        if data:
            self._engine.add_data_json(written(data))

    def value(self, reference: str) -> Any:
        """What a rule says of the input. Raises CannotJudge: nothing, or what cannot be relied on."""
        if not _REFERENCE.fullmatch(reference):
            raise CannotJudge(
                f"{reference[:200]!r} is no reference to a rule: write it like data.main.deny, without brackets"
            )
        bundle = self._engine.build(f"{_VALUE} := {reference}")
        if not bundle.ok():
            raise CannotJudge("the policy cannot be compiled; the log says where")
        with tempfile.TemporaryDirectory() as folder:
            self._engine.save_bundle(folder, bundle)
            plan: dict[str, Any] = json.loads((Path(folder) / "plan.json").read_bytes())
        for problem in self._problems(plan):
            raise CannotJudge(problem)
        return self._answer(bundle, reference)

    def _problems(self, plan: dict[str, Any]) -> Iterator[str]:
        found = Plan(plan)
        files = [file["value"] for file in plan["static"]["files"]]
        for place in found.unset():
            yield f"{self._at(files, place)}: a variable that nothing sets: the rule would never apply"
        for name in sorted(found.called - found.functions):
            known = name in found.builtins
            if not known or not self._engine.is_builtin(name):
                yield f"there is no function {name}"
            elif name in UNREPEATABLE:
                yield f"{name} is not allowed here: the verdict must follow from policy and input alone"
        for text in found.texts:
            if text != canonical(text):
                yield f"write the characters themselves, not escapes of them, in {text[:200]}"
        wrong = sorted((found.called & found.builtins) - ESCAPES_DO_NOT_MATTER)
        if self._escaped and wrong:
            yield (
                f"{self._escaped} holds quotes, backslashes or control characters, which this engine's"
                f" {', '.join(wrong)} would judge wrongly: leave them out of the input, or judge without"
            )

    def _at(self, files: Sequence[str], place: Place) -> str:
        number, row, column = place
        if number >= len(files):
            return "the policy"
        lines = self._sources.get(files[number], "").splitlines()
        line = lines[row] if row < len(lines) else ""
        return f"{files[number]}:{row + 1}: {line[column:].strip()[:100]}"

    def _answer(self, bundle: Any, reference: str) -> Any:
        output = rego_bundle_query(self._engine._impl, bundle._impl)
        try:
            text: str = rego_output_string(output)
            if not rego_output_ok(output):
                raise CannotJudge(f"the evaluation failed: {'; '.join(_messages(rego_output_node(output)))}")
        finally:
            rego_free_output(output)
        if text == "undefined":
            raise CannotJudge(f"{reference} is undefined: no such rule, or none that applies and no default")
        try:
            return json.loads(text)["bindings"][_VALUE]
        except (ValueError, LookupError, TypeError) as error:
            raise CannotJudge(f"the evaluation failed: {_told(text)}") from error


def _messages(node: Any) -> Iterator[str]:
    """The texts of an error, which the engine gives as a tree."""
    if rego_node_type(node) == _ERROR_MESSAGE:
        yield rego_node_value(node)
    for index in range(rego_node_size(node)):
        yield from _messages(rego_node_get(node, index))


def _told(text: str) -> str:
    return "; ".join(_ERROR_TEXT.findall(text)) or text[:500]
