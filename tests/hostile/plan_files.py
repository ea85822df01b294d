"""Plan files that are wrong in every way that a person, a generator or an attacker gets them wrong."""

import json
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import yaml

from neural_hive.plans import BadPlan, plan_from, read_plan
from neural_hive.schemas.codec import BadRecord, encode_message
from neural_hive.schemas.envelope import Header
from tests.hostile.inputs import TEXTS, mutated

PIECES: Final = (
    "&a [x]",
    "*a",
    "&a {<<: *a}",
    "!!python/object/apply:os.system [id]",
    "!!binary aGk=",
    "[" * 40,
    "{" * 40,
    "{a: " * 40,
    "? [a]\n: b",
    "---\n",
    "...\n",
    "\t",
    "\0",
    "\ufeff",
    "1e999",
    "-1e999",
    ".nan",
    "0x" + "f" * 40,
    "9" * 5_000,
    "1_000",
    "true",
    "~",
    "null",
    "''",
    '"\\ud800"',
    '"\\x00"',
    "|\n  text",
    ": ",
    "- ",
    "\n",
    "\r",
    "\u2028",
    "%YAML 9.9\n",
    "# comment",
    '"tasks"',
    "]",
    "}",
    ",",
)
WRONG: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    2**64,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    [],
    {},
    [None],
    {"": {}},
    [[[[]]]],
    "EXECUTE",
    "a",
    *TEXTS,
)
PLAN: Final[dict[str, Any]] = {
    "decision_id": "d-1",
    "plan_id": "release",
    "risk_band": "low",
    "priority": "HIGH",
    "confidence": 0.9,
    "deadline_ms": 60_000,
    "votes": [{"specialist": "s", "weight": 1.0, "confidence": 0.5, "approve": True}],
    "tasks": [
        {"task_id": "a", "command": ["make", "-j"], "environment": {"A": "b"}, "timeout_ms": 1_000},
        {"task_id": "b", "dependencies": ["a"], "task_type": "TEST", "parameters": {"x": "y"}},
        {"task_id": "c", "dependencies": ["a", "b"], "command": ["x", "${tasks.a.outputs.y}"]},
    ],
}


def try_plan(chance: Random, file: Path) -> bool:
    """Reads one plan, as a file or as content; whether it was good. Raises whatever is neither a plan nor BadPlan."""
    content = _wronged(json.loads(json.dumps(PLAN)), chance)
    try:
        if chance.random() < 0.3:
            decision = plan_from(content)
        else:
            file.write_bytes(_text(content, chance))
            decision = read_plan(file)
    except BadPlan as error:
        assert error.errors, "refused without a word"
        assert all(len(line) < 5_000 for line in error.errors), "a refusal nobody can read"
        str(error).encode()
        return False
    header = Header("message", "DecisionConsolidated", 0, decision.decision_id, "", "", "", "", "test")
    try:
        encode_message(header, msgspec.to_builtins(decision))
    except BadRecord as error:
        assert "more than" in str(error), f"accepted, and cannot be published: {error}"
    return True


def _wronged(node: Any, chance: Random) -> Any:
    """A copy in which a few places hold something else, are gone, or have company."""
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        holder = node
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(holder[key], dict | list) and chance.random() < 0.7:
                holder = holder[key]
                continue
            match chance.randrange(4):
                case 0:
                    del holder[key]
                case 1 if isinstance(holder, dict):
                    holder[chance.choice((*TEXTS, "extra"))] = chance.choice(WRONG)
                case 2 if isinstance(holder, list):
                    holder.extend([holder[key]] * chance.choice((1, 2, 50)))
                case _:
                    holder[key] = chance.choice(WRONG)
            break
    return node


def _text(content: Any, chance: Random) -> bytes:
    """The content as a file, and perhaps not quite."""
    text = json.dumps(content, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.5 or not _is_text(text) or "\\ud8" in text:
        pass  # YAML's writer knows no halves of characters
    else:
        text = yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True)
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(PIECES) + text[at + chance.choice((0, 0, 1, 5)) :]
    data = text.encode(errors="surrogatepass")
    return mutated(data, chance) if chance.random() < 0.2 else data


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
