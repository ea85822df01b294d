"""Dead letters: every record that could not be processed, where it lay, and why.

`dead_letter` is the letter's own place: by it a person wants the record to be tried again.
"""

from typing import Final

from neural_hive.projections.archive import MESSAGES
from neural_hive.projections.projection import TIME, WORD, Column, Projection

DEAD_LETTERS: Final = Projection(
    name="dead_letters",
    source=MESSAGES,
    types=("DeadLetter",),
    key=(Column("message_id", sql="message_id"),),
    columns=(
        Column("occurred_at", TIME, sql="occurred_at"),
        Column("source_topic", WORD),
        Column("source_partition", "UInt32"),
        Column("source_offset", "UInt64"),
        Column(
            "source_timestamp",
            "DateTime64(3, 'UTC')",
            sql=("fromUnixTimestamp64Milli(JSONExtractInt(payload, 'source_timestamp_ms'), 'UTC')"),
        ),
        Column("reason"),
        Column("error_type", WORD),
        Column("processor", WORD),
        Column("aggregate_id"),
        Column("key", sql="base64Decode(JSONExtract(payload, 'key', 'Nullable(String)'))"),
        Column("value", sql="base64Decode(JSONExtractString(payload, 'value'))"),
    ),
    folded=False,
    computed=(("dead_letter", "concat(topic, ':', toString(partition), ':', toString(offset))"),),
)
