"""One sealed file of a range against its leaf: as the camera wrote it, or with another header before the same payload
and the camera's header beside it (docs/evidence-format.md, section 9, "Rewrapped").
"""

from __future__ import annotations

import hashlib

from agent.errors import EvidenceError
from agent.formats import age
from agent.formats import leaf as leaves

HEADER = "header"
"""Kind of the member that holds the camera's own header, where the sealed file has another."""


def camera_file(data: bytes, header: bytes | None) -> bytes:
    """The sealed file as the camera wrote it, if the two are what they claim. Raises EvidenceError."""
    return data if header is None else header + data[age.split_header(data) :]


def whole_sha256(data: bytes, header: bytes | None) -> str:
    """Hex SHA-256 of the file as the camera wrote it; of `data` as it stands where no age header begins it."""
    try:
        return hashlib.sha256(camera_file(data, header)).hexdigest()
    except EvidenceError:
        return hashlib.sha256(data).hexdigest()


def sealed_problem(data: bytes, header: bytes | None, wanted: leaves.Sealed) -> str | None:
    """Why this is not what the leaf names; None where it is."""
    try:
        whole = camera_file(data, header)
    except EvidenceError as err:
        return f"is altered: {err.message}"
    found = leaves.Sealed.of(whole, min(wanted.header_size, len(whole)))
    if found != wanted:
        return difference(found, wanted, header is not None)
    try:
        return None if age.split_header(whole) == wanted.header_size else "has an age header of another length"
    except EvidenceError as err:
        return f"begins with what the camera should not have written: {err.message}"


def difference(found: leaves.Sealed, wanted: leaves.Sealed, rewrapped: bool = False) -> str:
    """In words."""
    if found.payload_sha256 == wanted.payload_sha256 and found.header_sha256 != wanted.header_sha256:
        return "has beside it a header that the camera did not write" if rewrapped else "is altered in its age header"
    if found.size != wanted.size:
        return f"has {found.size} bytes, its leaf says {wanted.size}"
    return "is altered in its payload" if found.payload_sha256 != wanted.payload_sha256 else "is altered"
