"""Operations: what people do about dead letters, and what APIs have refused.

    operations.commands → RedriveDeadLetter → operations.redrives, and the record into the topic that it had come to
                        → NoteRefusedCall   → operations.refusals

Who wants a dead letter tried again names its place, and no more: the bytes are read where the log has them.
"""

from neural_hive.aggregates.dead_letter import DEAD_LETTER, DeadLetterRedriven, Redrive
from neural_hive.aggregates.refusals import REFUSALS, Note
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.operations.letters import buried, place_of, read_letter, written_again
from neural_hive.streams.operations.messages import COMMANDS, NoteRefusedCall, RedriveDeadLetter


def build() -> System:
    """The system."""
    operations = System(
        "operations",
        (DEAD_LETTER, REFUSALS),
        (__name__,),
        repartition="operations.repartition",
        looks_into=(DEAD_LETTERS,),
    )

    @operations.on(COMMANDS, RedriveDeadLetter, route="dead_letter")
    def redrive(unit: Unit, message: RedriveDeadLetter) -> None:
        found = read_letter(unit.record(DEAD_LETTERS, *place_of(message.dead_letter)))
        command = Redrive(
            message.dead_letter,
            message.reason,
            message.requested_by,
            message.again,
            buried(found) if found else None,
        )
        for event in unit.execute(DEAD_LETTER, message.dead_letter, command):
            if isinstance(event, DeadLetterRedriven):
                assert found is not None, "else it is rejected"
                record = written_again(found.letter, f"{message.dead_letter}#{event.redrive}")
                unit.put_back(event.source_topic, event.source_partition, *record)

    @operations.on(COMMANDS, NoteRefusedCall, route="api")
    def note(unit: Unit, message: NoteRefusedCall) -> None:
        unit.execute(
            REFUSALS,
            message.api,
            Note(
                message.api,
                message.caller,
                message.address,
                message.method,
                message.path,
                message.role,
                message.status,
                message.reason,
                message.count,
                message.first_at,
                message.last_at,
            ),
        )

    return operations
