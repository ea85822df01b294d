"""Errors as a person is told of them: one sentence that says what to do."""

from typing import Any, Final

_NO_ANSWER: Final = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_RESOLVE"})
_SETTINGS: Final = frozenset(
    {"_INVALID_ARG", "_CONFLICT", "_SSL", "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"}
)


def explained(error: BaseException) -> str | None:
    """The sentence for an error that was foreseen; None for any other."""
    if type(error).__module__.startswith("neural_hive."):
        return str(error)
    # By its name: most commands need no Kafka client, and it takes long to import.
    if type(error).__name__ == "KafkaException" and error.args:
        return _of_kafka(error.args[0])
    return None


def _of_kafka(reason: Any) -> str | None:
    if reason.name() in _NO_ANSWER:
        return (
            f"Kafka does not answer ({reason.str()}). Is it running, and is the setting kafka_bootstrap right? "
            "`neural-hive up` starts one here"
        )
    if reason.name() in _SETTINGS:
        return f"Kafka cannot be used with these settings (kafka_…): {reason.str()}. Mend them"
    return None
