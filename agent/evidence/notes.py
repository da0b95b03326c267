"""One checkpoint note: its one spelling, its two possible signatures, and what of it can be believed."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.evidence.findings import What
from agent.formats import certs, note


@dataclass(frozen=True, slots=True)
class CheckedNote:
    """`head` is None unless the session's signature holds (or there is no session to check it with). `what` and
    `text` say what is wrong, if anything is.
    """

    head: note.Checkpoint | None
    by_identity: bool = False
    what: What | None = None
    text: str = ""
    parsed: note.Note | None = None


def check_note(data: bytes, origin: str, session: certs.Session | None) -> CheckedNote:
    """Everything about a checkpoint note that needs no leaf."""
    try:
        parsed = note.parse(data)
        if parsed.to_bytes() != data:
            raise EvidenceError("note is not in its one spelling")
    except EvidenceError as err:
        return CheckedNote(None, what=What.ALTERED_BYTES, text=f"the checkpoint is altered: {err.message}")
    try:
        head = note.parse_checkpoint(parsed.text)
    except EvidenceError as err:
        text = f"the checkpoint is altered: {err.message}"
        return CheckedNote(None, what=What.ALTERED_BYTES, text=text, parsed=parsed)
    if session is None:
        return CheckedNote(head, by_identity=True, parsed=parsed)
    return _check_signatures(parsed, head, origin, session)


def _check_signatures(parsed: note.Note, head: note.Checkpoint, origin: str, session: certs.Session) -> CheckedNote:
    try:
        note.verify_ed25519(parsed, origin, session.key)
    except EvidenceError as err:
        return CheckedNote(None, what=What.BAD_SIGNATURE, text=f"the checkpoint: {err.message}", parsed=parsed)
    try:
        by_identity = note.verify_ecdsa(parsed, origin, session.identity)
    except EvidenceError as err:
        text = f"the checkpoint: {err.message}"
        return CheckedNote(head, True, What.BAD_SIGNATURE, text, parsed)
    wanted = [note.key_id(origin, note.ED25519, note.raw_public(session.key))]
    if by_identity:
        wanted.append(note.key_id(origin, note.ECDSA, note.spki(session.identity)))
    if [s.key_id for s in parsed.signatures] != wanted:
        text = "the checkpoint carries signatures that do not belong there, or not in their order"
        return CheckedNote(head, by_identity, What.BAD_SIGNATURE, text, parsed)
    return CheckedNote(head, by_identity, parsed=parsed)


def signs(parsed: note.Note, text: str, origin: str, session: certs.Session) -> bool:
    """True where the note's signature is the session's over `text`, whatever text the note itself holds."""
    try:
        note.verify_ed25519(note.Note(text, parsed.signatures), origin, session.key)
    except EvidenceError:
        return False
    return True
