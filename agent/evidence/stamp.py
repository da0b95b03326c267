"""An RFC 3161 timestamp that somebody had made over a cosigned head, to be put into an export."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError, UsageError
from agent.evidence.blobs import read_small, said_of
from agent.formats import certs, timestamp

STAMP_HINT = (
    "stamp the head that a receipt cosigns: grep '^checkpoint ' R.receipt | cut -d' ' -f2 | base64 -d > head.note, "
    "then openssl ts -query -sha256 -cert -data head.note -out head.tsq"
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """The response, DER, and the authority's root certificate, PEM, where the user gave it."""

    name: str
    data: bytes
    said: timestamp.Timestamp
    authority: bytes | None = None

    def covers(self, data: bytes) -> bool:
        """Whether it was made over these bytes."""
        return hashlib.sha256(data).hexdigest() == self.said.sha256


def load_stamp(path: Path | None, authority: Path | None) -> Stamp | None:
    """None where none was asked for. Raises UsageError."""
    if path is None:
        if authority is not None:
            raise UsageError("--timestamp-ca without --timestamp", "name the response too, or leave both out")
        return None
    try:
        data = read_small(path, timestamp.MAX_RESPONSE)
        said = timestamp.parse(data)
    except AgentError as err:
        raise UsageError(f"--timestamp {path}: {said_of(path, err)}", err.hint or STAMP_HINT) from None
    pem = None
    if authority is not None:
        try:
            pem = read_small(authority, 64 << 10)
            if not certs.parse_pem(pem):
                raise UsageError("it holds no certificate")
        except AgentError as err:
            hint = "name the PEM file of the timestamp authority's root certificate"
            raise UsageError(f"--timestamp-ca {authority}: {said_of(authority, err)}", hint) from None
    return Stamp(path.name, data, said, pem)
