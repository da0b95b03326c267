"""Why an epoch began, on the card from the epoch's first durable byte until its own log has said all of it: signed,
since the camera says in its log what stands there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError
from agent.formats import epoch as epochs
from agent.formats import note
from agent.formats.epoch import Link
from agent.own import Own
from agent.sealing.session import Session

FILE = "epoch.json"
_TITLE = "bodycam-epoch/v1\n"


@dataclass(frozen=True, slots=True)
class Opening:
    """`detail` is for people."""

    link: Link
    detail: str


def write(path: Path, opening: Opening, origin: str, session: Session) -> None:
    """Durably. The session's key signs it under the name of the log that begins. Its text has two lines, and so is no
    checkpoint, which has three. Raises StorageError.
    """
    text = _TITLE + json.dumps({"epoch": opening.link.facts(), "detail": opening.detail[:500]}) + "\n"
    signed = note.Note(text, (note.sign_ed25519(text, origin, session.key),)).to_bytes()
    value = {"v": 2, "signed": signed.decode(), "chain": session.chain_pem.decode()}
    durable.write_file(path, json.dumps(value).encode() + b"\n", 0o640)


def read(path: Path, origin: str, own: Own) -> Opening | None:
    """None where there is none, or the disk has lost it, or it is not of this camera and for this log. Raises
    StorageError.
    """
    data = durable.read_if_whole(path)
    if data is None:
        return None
    try:
        value = json.loads(data)
        signed = note.parse(str(value["signed"]).encode())
        note.verify_ed25519(signed, origin, own.session(str(value["chain"]).encode()).key)
        told = json.loads(signed.text.removeprefix(_TITLE))
        return Opening(epochs.parse_link(told["epoch"], origin), str(told["detail"]))
    except (ValueError, KeyError, TypeError, RecursionError, EvidenceError):
        return None
