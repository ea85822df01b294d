"""Notes and checkpoints: those of others verify here, ours are as theirs, and nothing forged is taken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.replay.seal.checkpoint import Checkpoint, opened
from neural_hive.replay.seal.note import (
    LOG,
    WITNESS,
    BadKey,
    BadNote,
    Note,
    PrivateKey,
    PublicKey,
    signed_note,
)

# From the documentation of golang.org/x/mod/sumdb/note.
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETERS = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
ENOCHS = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
# The example of c2sp.org/signed-note.
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOOS = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# A checkpoint of Go's checksum database, and its key.
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDBS = (
    "go.sum database tree\n63096908\n8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n\n— sum.golang.org "
    "Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n"
)
# A checkpoint of a log of certificates that witnesses have cosigned.
ARCHE = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
REMORA = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
STAGEMOLE = "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv"
COSIGNED = (
    "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n"
    "— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bf"
    "TW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n"
    "— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0"
    "WBxtqB0DrAWfBw==\n"
    "— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI"
    "7cUiOvKFYe/TmN9DAg==\n"
)
KEY = PrivateKey.make("example.com/log", LOG)
WITNESS_KEY = PrivateKey.make("example.com/witness", WITNESS)
CHECKPOINT = Checkpoint("example.com/log", 42, b"r" * 32)


def test_notes_of_others_verify() -> None:
    for key, content in ((PETER, f"{TEXT}\n{PETERS}"), (FOO, FOOS), (SUMDB, SUMDBS)):
        note = Note.parse(content)
        note.check_signed(PublicKey.parse(key))
        assert note.content == content
    both = Note.parse(f"{TEXT}\n{PETERS}{ENOCHS}")
    both.check_signed(PublicKey.parse(PETER))
    both.check_signed(PublicKey.parse(ENOCH))
    assert both.signed_at(PublicKey.parse(FOO)) is None


def test_what_we_sign_is_what_others_sign() -> None:
    key = PrivateKey.parse(PETER_PRIVATE)
    assert (key.text, key.public.text) == (PETER_PRIVATE, PETER)
    assert signed_note(TEXT, key).content == f"{TEXT}\n{PETERS}"


def test_a_checkpoint_of_others_reads() -> None:
    found = Checkpoint.parse(Note.parse(SUMDBS).text)
    assert (found.origin, found.size) == ("go.sum database tree", 63096908)
    with_extensions = Checkpoint("o", 0, b"x" * 32, ("one", "two three"))
    assert Checkpoint.parse(with_extensions.text) == with_extensions


def test_cosignatures_of_others_verify() -> None:
    note, found = opened(COSIGNED, PublicKey.parse(ARCHE))
    assert found.size == 1_432_088_532
    for witness in (REMORA, STAGEMOLE):
        assert note.signed_at(PublicKey.parse(witness)) == 0x6A122120


def test_ours_opens() -> None:
    note, found = opened(CHECKPOINT.signed(KEY).content, KEY.public)
    assert found == CHECKPOINT
    assert note.signed_at(KEY.public) == 0


def test_a_cosignature_says_when() -> None:
    note = CHECKPOINT.signed(KEY)
    both = note.with_signatures(WITNESS_KEY.sign(note.text, 1_790_000_000))
    both.check_signed(KEY.public)
    assert both.signed_at(WITNESS_KEY.public) == 1_790_000_000
    assert note.signed_at(WITNESS_KEY.public) is None
    # Another time, with the same signature.
    line = both.signatures[1]
    later = (1_790_000_001).to_bytes(8, "big") + line.body[8:]
    forged = Note(note.text, (type(line)(line.name, line.key_id, later),))
    with pytest.raises(BadNote, match="not over this text"):
        forged.signed_at(WITNESS_KEY.public)


def test_the_key_of_a_witness_is_none_of_a_log() -> None:
    """The same seed under both kinds: neither signature passes for the other."""
    log = PrivateKey("same", LOG, KEY.seed)
    witness = PrivateKey("same", WITNESS, KEY.seed)
    assert log.public.id != witness.public.id
    assert signed_note(TEXT, log).signed_at(witness.public) is None
    assert signed_note(TEXT, witness, 5).signed_at(log.public) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n\n",
        TEXT,
        f"{TEXT}{PETERS}",
        f"\n{PETERS}",
        f"{TEXT}\n",
        f"{TEXT}\n{PETERS[:-1]}",
        f"{TEXT}\n{PETERS}\n",
        f"{TEXT}\n{PETERS.replace('— ', '- ')}",
        f"{TEXT}\n{PETERS.replace('— ', '—  ')}",
        f"{TEXT}\n{PETERS.replace('AM=', 'AN=')}",
        f"{TEXT}\n{PETERS.replace('=', '')}",
        f"{TEXT}\n— PeterNeumann x08goA==\n\n",
        f"{TEXT}\n— PeterNeumann x08g\n",
        f"{TEXT}\n— Peter+Neumann x08go/ZJ\n",
        f"{TEXT}\n{PETERS * 101}",
        f"{TEXT}\t\n{PETERS}",
        f"{'x' * 70_000}\n\n{PETERS}",
    ],
)
def test_what_is_no_note(content: str) -> None:
    with pytest.raises(BadNote):
        Note.parse(content)


def test_a_signature_over_another_text_is_refused() -> None:
    forged = Note.parse(f"{TEXT.replace('answer', 'question')}\n{PETERS}")
    with pytest.raises(BadNote, match="not over this text"):
        forged.check_signed(PublicKey.parse(PETER))
    with pytest.raises(BadNote, match="is not signed by EnochRoot"):
        Note.parse(f"{TEXT}\n{PETERS}").check_signed(PublicKey.parse(ENOCH))


@settings(deadline=None)
@given(st.data())
def test_a_changed_checkpoint_does_not_open(data: st.DataObject) -> None:
    content = CHECKPOINT.signed(KEY).content
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != content[at]))
    with pytest.raises(BadNote):
        opened(content[:at] + other + content[at + 1 :], KEY.public)


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "\n1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n01\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n-1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n+1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n٣\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n9999999999999999999\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJ=\n",
        "o\n1\ncnJycnI=\n",
        "o\n1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n\n",
        "o\n1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(BadNote):
        Checkpoint.parse(text)


def test_a_checkpoint_of_another_origin_does_not_open() -> None:
    other = Checkpoint("example.com/other", 42, b"r" * 32)
    with pytest.raises(BadNote, match=r"signed by example\.com/log"):
        opened(other.signed(KEY).content, KEY.public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a+b",
        "PeterNeumann+c74f20a3+AAAA",
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("ARpc", "AhpC"),
    ],
)
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(BadKey):
        PublicKey.parse(text)


def test_a_bad_private_key_is_not_shown() -> None:
    secret = PETER_PRIVATE.rpartition("+")[2]
    for text in (
        PETER,
        PETER_PRIVATE.replace("c74f20a3", "c74f20a4"),
        PETER_PRIVATE + "x",
        PETER_PRIVATE[:-4],
    ):
        with pytest.raises(BadKey) as error:
            PrivateKey.parse(text)
        assert secret[:20] not in str(error.value)
    assert secret not in repr(PrivateKey.parse(PETER_PRIVATE))
