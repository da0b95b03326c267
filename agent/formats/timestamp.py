"""What an RFC 3161 time-stamp response says: of which digest, and when. Its signature is not checked here.

DER (X.690) is walked only as far as the TSTInfo; what is not where RFC 3161 section 2.4.2 and RFC 5652 section 5 put it
is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.errors import EvidenceError

MAX_RESPONSE = 64 << 10
_SEQUENCE, _SET, _INTEGER, _OID, _OCTETS, _TIME, _CONTEXT_0 = 0x30, 0x31, 0x02, 0x06, 0x04, 0x18, 0xA0
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_SHA256 = bytes.fromhex("608648016503040201")
_GENERALIZED = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """The SHA-256 that was stamped, and the authority's time, UTC as ISO 8601 in whole seconds."""

    sha256: str
    time: str


def parse(data: bytes) -> Timestamp:
    """A granted response over a SHA-256. Raises EvidenceError for anything else."""
    if len(data) > MAX_RESPONSE:
        raise EvidenceError("the timestamp is longer than 64 KiB")
    response = _Der(data)
    body = response.enter(_SEQUENCE)
    response.end()
    status = body.enter(_SEQUENCE).take(_INTEGER)
    if status not in (b"\x00", b"\x01"):
        raise EvidenceError("the authority did not grant the timestamp")
    content = body.enter(_SEQUENCE)
    if content.take(_OID) != _SIGNED_DATA:
        raise EvidenceError("the timestamp holds no signed data")
    signed = content.enter(_CONTEXT_0).enter(_SEQUENCE)
    signed.take(_INTEGER)
    signed.take(_SET)
    inner = signed.enter(_SEQUENCE)
    if inner.take(_OID) != _TST_INFO:
        raise EvidenceError("the timestamp holds signed data of another kind")
    return _info(_Der(inner.enter(_CONTEXT_0).take(_OCTETS)).enter(_SEQUENCE))


def _info(info: _Der) -> Timestamp:
    info.take(_INTEGER)
    info.take(_OID)
    imprint = info.enter(_SEQUENCE)
    if imprint.enter(_SEQUENCE).take(_OID) != _SHA256:
        raise EvidenceError("the timestamp is not over a SHA-256", "ask for one with `openssl ts -query -sha256`")
    digest = imprint.take(_OCTETS)
    info.take(_INTEGER)
    time = _GENERALIZED.fullmatch(info.take(_TIME))
    if len(digest) != 32 or time is None:
        raise EvidenceError("the timestamp has no valid digest or time")
    year, month, day, hour, minute, second = (part.decode("ascii") for part in time.groups())
    return Timestamp(digest.hex(), f"{year}-{month}-{day}T{hour}:{minute}:{second}+00:00")


class _Der:
    """Elements of definite length, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, tag: int) -> bytes:
        """The content of the next element, which must have this tag. Raises EvidenceError."""
        head = self._data[self._at : self._at + 2]
        if len(head) < 2 or head[0] != tag:
            raise EvidenceError("the timestamp is not the DER of an RFC 3161 response")
        size, start = head[1], self._at + 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(self._data[start : start + count], "big") if 0 < count <= 4 else len(self._data) + 1
            start += count
        if start + size > len(self._data):
            raise EvidenceError("the timestamp is cut short")
        self._at = start + size
        return self._data[start : self._at]

    def enter(self, tag: int) -> _Der:
        return _Der(self.take(tag))

    def end(self) -> None:
        """Raises EvidenceError where bytes are left."""
        if self._at != len(self._data):
            raise EvidenceError("bytes follow the timestamp")
