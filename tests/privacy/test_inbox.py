"""Personal data in the clear gets no further than the input that it came in: the real kernel, in memory."""

import msgspec
import pytest

from neural_hive.aggregates.subject import SUBJECT, Erase
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import partition_of
from neural_hive.streams import privacy
from neural_hive.streams.kernel.router import router_of
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.orchestrator import system as orchestrator
from neural_hive.streams.privacy import COMMANDS, EraseSubject
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import MemoryKernel
from tests.privacy.memory_keys import hidden

ID = "0123456789abcdef" * 2
NAME = "Wilhelmina Ostrogoth"


def message(requested_by: str, reason: str = "asked for it", message_id: str = "m-1") -> bytes:
    header = Header(message_id, "EraseSubject", NOW, ID, "", "", "", "", "test")
    return encode_message(header, msgspec.to_builtins(EraseSubject(ID, reason, requested_by)))


def written(kernel: MemoryKernel) -> bytes:
    """All that the kernel has put into the log."""
    records = [record for log in kernel.log.topics.values() for record in log]
    return b"\n".join(
        part or b"" for r in records for part in (r.key, r.value, *(value for _, value in r.headers))
    )


def test_an_erasure_is_an_event_once() -> None:
    kernel = MemoryKernel(privacy.build(), {}, 1)
    assert kernel.take(COMMANDS, message(hidden("ann"))).events == 1
    assert kernel.take(COMMANDS, message(hidden("ann"))).events == 0
    assert kernel.take(COMMANDS, message("", "another reason", "m-2")).events == 0
    [record] = kernel.log.topics[SUBJECT.topic]
    payload = decode(record.value or b"", "event").payload
    assert payload == {
        "subject_id": ID,
        "reason": "asked for it",
        "requested_by": hidden("ann"),
        "erased_at": NOW,
    }
    kernel.check_state()


def test_a_name_in_the_clear_is_a_dead_letter_without_its_bytes(capfd: pytest.CaptureFixture[str]) -> None:
    kernel = MemoryKernel(privacy.build(), {}, 1)
    [letter] = kernel.take(COMMANDS, message(NAME), b"key", (("by", NAME.encode()),)).letters
    assert letter["error_type"] == "PlainPersonalData"
    assert "requested_by of EraseSubject is marked as personal data" in letter["reason"]
    place = (letter["source_topic"], letter["source_partition"], letter["source_offset"])
    assert place == (COMMANDS, 0, 0)
    assert (letter["key"], letter["value"], letter["headers"]) == (b"key", b"", [])
    assert NAME.encode() not in written(kernel)
    told = "".join(capfd.readouterr())
    assert NAME not in told
    assert kernel.take(COMMANDS, message(hidden(NAME), message_id="m-2")).events == 1, "the rest goes on"


def test_it_is_not_forwarded_either() -> None:
    elsewhere = next(f"w-{n}" for n in range(99) if partition_of(f"w-{n}".encode(), 2) == 1)
    header = Header("m", "PauseWorkflow", NOW, elsewhere, "", "", "", "", "test")
    value = encode_message(header, {"workflow_id": elsewhere, "reason": "", "requested_by": NAME})
    kernel = MemoryKernel(orchestrator.build(), {"agents": dict, "trails": dict, "freezes": dict})
    router = MemoryKernel(router_of(orchestrator.build(), "plans.consensus"), {})
    outcomes = kernel.take("orchestration.commands", value), router.take("plans.consensus", value)
    for outcome in outcomes:
        [letter] = outcome.letters
        assert letter["error_type"] == "PlainPersonalData"
        assert not (outcome.forwarded or outcome.sent)
    assert NAME.encode() not in written(kernel) + written(router)


def test_what_a_handler_makes_up_gets_into_no_event() -> None:
    """A system of others may forget where a name came from: the last gate is before the log."""
    careless = System("careless", (SUBJECT,), (__name__,))

    @careless.on(COMMANDS, EraseSubject, route="subject_id")
    def erase(unit: Unit, given: EraseSubject) -> None:
        unit.execute(SUBJECT, given.subject_id, Erase(given.subject_id, given.reason, NAME, unit.now))

    kernel = MemoryKernel(careless, {}, 1)
    outcome = kernel.take(COMMANDS, message(""))
    assert (outcome.events, [letter["value"] for letter in outcome.letters]) == (0, [b""])
    assert NAME.encode() not in written(kernel)
    kernel.check_state()
