"""The system on the real inbox, fold and partition, with a log in memory: what is asked of it, and what follows."""

from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.dead_letter import DEAD_LETTER
from neural_hive.aggregates.refusals import REFUSALS
from neural_hive.schemas.codec import BadRecord, decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX
from neural_hive.streams.kernel.inbox import DEAD_LETTERS, dead_letter
from neural_hive.streams.kernel.transport import Fetched
from neural_hive.streams.kernel.unit import Output
from neural_hive.streams.operations.messages import COMMANDS, NoteRefusedCall, RedriveDeadLetter
from neural_hive.streams.operations.system import build
from tests.hostile.memory_kernel import MemoryKernel, Outcome
from tests.privacy.memory_keys import hidden

PLANS = "plans.consensus"
NONSENSE = b"\xff no plan"
FIRST = f"{DEAD_LETTERS}:0:0"
ANN = hidden("ann")
CALL = NoteRefusedCall(
    "api",
    hidden("ann", "caller"),
    hidden("10.0.0.7", "address"),
    "POST",
    "/api/v1/plans",
    "publisher",
    403,
    "no",
    3,
    5,
    9,
)


class Operations:
    """The system, and how it is spoken to."""

    def __init__(self) -> None:
        self.kernel = MemoryKernel(build(), {}, 1)
        self._sent = 0

    def bury(self, topic: str = PLANS, value: bytes = NONSENSE, **about: Any) -> None:
        """A record that some processor could not process."""
        about = {"key": b"k", "headers": [("h", b"\x00")], **about}
        record = Fetched(topic, 0, 40, self.kernel.log.now // 1_000, about["key"], value, about["headers"])
        letter = dead_letter(
            record, BadRecord(about.get("why", "no")), "orchestrator.0", {DEAD_LETTERS: 1}, None
        )
        self.put(letter)

    def put(self, letter: Output) -> None:
        self.kernel.log.commit([letter], {})

    def ask(self, message: Any, message_id: str = "") -> Outcome:
        self._sent += 1
        name = type(message).__name__
        routing_id = message.dead_letter if isinstance(message, RedriveDeadLetter) else message.api
        header = Header(message_id or f"m-{self._sent}", name, 1, routing_id, "", "", "", "", "test")
        return self.kernel.take(COMMANDS, encode_message(header, msgspec.to_builtins(message)))

    def redrive(self, place: str = FIRST, again: bool = False, message_id: str = "") -> Outcome:
        return self.ask(RedriveDeadLetter(place, "it is mended", ANN, again), message_id)

    def last(self, topic: str) -> dict[str, Any]:
        """The payload of the last event of a topic."""
        return decode(self.kernel.log.topics[topic][-1].value or b"", "event").payload


@pytest.fixture
def operations() -> Operations:
    return Operations()


def test_a_record_goes_back_where_it_came_byte_for_byte(operations: Operations) -> None:
    operations.bury()
    outcome = operations.redrive()
    (sent,) = outcome.sent
    assert (sent.topic, sent.partition, sent.key, sent.value) == (PLANS, 0, b"k", NONSENSE)
    assert sent.headers == (("h", b"\x00"), ("redriven", f"{FIRST}#1".encode()))
    told = operations.last(DEAD_LETTER.topic)
    assert (told["dead_letter"], told["redrive"], told["requested_by"]) == (FIRST, 1, ANN)
    assert (told["source_topic"], told["source_partition"], told["source_offset"]) == (PLANS, 0, 40)
    operations.kernel.check_state()


def test_a_record_without_a_key_has_none_again(operations: Operations) -> None:
    operations.bury(key=None, headers=[])
    (sent,) = operations.redrive().sent
    assert sent.key is None


def test_once_unless_a_person_says_again(operations: Operations) -> None:
    operations.bury()
    assert len(operations.redrive(message_id="one").sent) == 1
    repeat = operations.redrive(message_id="one")
    assert (repeat.events, repeat.sent) == (0, ())
    refused = operations.redrive()
    assert (refused.events, refused.sent) == (1, ())
    assert operations.last(DEAD_LETTER.topic)["obstacle"] == "REDRIVEN_BEFORE"
    (again,) = operations.redrive(again=True).sent
    assert again.headers[-1] == ("redriven", f"{FIRST}#2".encode())
    operations.kernel.check_state()


def test_a_record_that_dies_again_carries_one_mark(operations: Operations) -> None:
    """However often it comes and goes, it does not grow."""
    operations.bury(headers=[("redriven", b"dead.letters:0:9#1"), ("h", b"1")])
    (sent,) = operations.redrive().sent
    assert sent.headers == (("h", b"1"), ("redriven", f"{FIRST}#1".encode()))


@pytest.mark.parametrize(
    ("topic", "obstacle"),
    [
        ("execution.tickets", "NOT_AN_INPUT"),
        ("telemetry-flow-c", "NOT_AN_INPUT"),
        (DEAD_LETTERS, "NOT_AN_INPUT"),
        ("nobody.knows", "NOT_AN_INPUT"),
        ("", "TIMER"),
    ],
)
def test_only_inputs_are_written_again(operations: Operations, topic: str, obstacle: str) -> None:
    operations.bury(topic)
    assert operations.redrive().sent == ()
    assert operations.last(DEAD_LETTER.topic)["obstacle"] == obstacle


def test_what_the_letter_does_not_hold_whole_is_not_written(operations: Operations) -> None:
    operations.bury(value=b"x" * (MESSAGE_BYTES_MAX + 1))
    assert operations.redrive().sent == ()
    assert operations.last(DEAD_LETTER.topic)["obstacle"] == "NOT_WHOLE"


def test_words_of_a_sender_do_not_make_it_cut(operations: Operations) -> None:
    operations.bury(why="amount must not be ' (kept here: '")
    assert len(operations.redrive().sent) == 1


def test_what_may_not_fit_is_not_written(operations: Operations) -> None:
    """The broker would refuse the whole transaction, again and again."""
    operations.bury(value=b"x" * MESSAGE_BYTES_MAX, headers=[("h", b"y" * 60 * 1024)])
    assert operations.redrive().sent == ()
    assert operations.last(DEAD_LETTER.topic)["obstacle"] == "TOO_LARGE"


def test_the_largest_record_fits_with_its_mark(operations: Operations) -> None:
    operations.bury(value=b"x" * MESSAGE_BYTES_MAX, headers=[("h", b"y" * 58 * 1024)])
    assert len(operations.redrive().sent) == 1  # the log in memory is as strict as the broker


def test_strangers_bytes_are_no_letter(operations: Operations) -> None:
    for value in (b"nonsense", encode_message(_header("PauseWorkflow"), _pause())):
        operations.put(Output(DEAD_LETTERS, 0, b"", value, [], None))
    for offset in (0, 1, 2, 77):
        assert operations.redrive(f"{DEAD_LETTERS}:0:{offset}").sent == ()
        assert operations.last(DEAD_LETTER.topic)["obstacle"] == "NO_SUCH_LETTER"
    assert operations.redrive(f"{DEAD_LETTERS}:5:0").events == 1


@pytest.mark.parametrize(
    "place",
    ["", "x", f"{PLANS}:0:0", f"{DEAD_LETTERS}:0", f"{DEAD_LETTERS}:00:0", f"{DEAD_LETTERS}:0:-1", f"{FIRST}\n",
     f"{DEAD_LETTERS}:0:{'9' * 40}", f"{DEAD_LETTERS}:٣:0"],
)  # fmt: skip
def test_one_letter_has_one_name(operations: Operations, place: str) -> None:
    """Or what was redriven under one name could be redriven under another."""
    operations.bury()
    outcome = operations.redrive(place)
    assert (outcome.events, outcome.sent, len(outcome.letters)) == (0, (), 1)


def test_a_refused_call_is_kept(operations: Operations) -> None:
    assert operations.ask(CALL).events == 1
    assert operations.last(REFUSALS.topic) == msgspec.to_builtins(CALL)
    assert len(operations.ask(msgspec.structs.replace(CALL, status=200)).letters) == 1
    operations.kernel.check_state()


def _header(message_type: str) -> Header:
    return Header("m", message_type, 1, "w", "", "", "", "", "test")


def _pause() -> dict[str, str]:
    return {"workflow_id": "w", "reason": "", "requested_by": ""}
