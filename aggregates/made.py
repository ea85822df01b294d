"""What an attempt at a ticket has made, and how much of it the log keeps."""

from typing import Final

import msgspec

from neural_hive.aggregates.vocabulary import Artifact

OUTPUT_BYTES_MAX: Final = 64 * 1024  # names and values of all outputs of one attempt
ARTIFACTS_MAX: Final = 256
ARTIFACT_TEXT_BYTES_MAX: Final = 128 * 1024  # names, URIs and hashes of all artifacts of one attempt


class Made(msgspec.Struct, frozen=True):
    """Outputs by name, and artifacts."""

    outputs: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()

    def artifact(self, name: str) -> Artifact | None:
        """The artifact of that name, if there is one."""
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)


def excess(made: Made) -> str:
    """What is too much to be kept in the log, in words for the author of the task; empty if nothing is."""
    outputs = size_bytes(*made.outputs, *made.outputs.values())
    if outputs > OUTPUT_BYTES_MAX:
        return f"its outputs take {outputs:,} bytes, more than {OUTPUT_BYTES_MAX:,}: make a file of them"
    if len(made.artifacts) > ARTIFACTS_MAX:
        return (
            f"it made {len(made.artifacts):,} artifacts, more than {ARTIFACTS_MAX:,}: make an archive of them"
        )
    texts = artifact_bytes(made.artifacts)
    if texts > ARTIFACT_TEXT_BYTES_MAX:
        return f"names and URIs of its artifacts take {texts:,} bytes, more than {ARTIFACT_TEXT_BYTES_MAX:,}"
    return ""


def artifact_bytes(artifacts: tuple[Artifact, ...]) -> int:
    """How many bytes artifacts take in an event, about."""
    return sum(size_bytes(made.name, made.uri, made.sha256) for made in artifacts)


def size_bytes(*texts: str) -> int:
    """How many bytes texts take in UTF-8."""
    return sum(len(text.encode()) for text in texts)
