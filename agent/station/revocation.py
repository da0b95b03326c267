"""A camera that is lost is trusted no further than its station saw its log: what it signs from then on counts for
nothing, since whoever has it can sign as it.

The station goes on storing its bytes, for they may be what was recorded before; it cosigns and receipts none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError, KeyTrustError, UsageError
from agent.formats import certs, note
from agent.formats.revocation import Counted, Revocation, check_reason, parse
from agent.station import admin
from agent.station.layout import AgencyPaths
from agent.station.state import State


@dataclass(frozen=True, slots=True)
class Revoked:
    """`again` where it was revoked before: that revocation stands."""

    camera: str
    file: Path
    logs: tuple[Counted, ...]
    again: bool


def revoke(root: Path, camera: str, reason: str) -> Revoked:
    """Raises UsageError for a camera that is not enrolled or a reason that is none, KeyTrustError, StorageError."""
    paths = AgencyPaths(root)
    here = paths.camera(camera)
    if not here.identity_chain.exists():
        raise UsageError(f"no camera {camera} is enrolled in {root}", "check its name")
    try:
        check_reason(reason)
    except EvidenceError:
        raise UsageError(f"--reason {reason[:40]!r} is not a line of text", "say in a few words why") from None
    station, key, chain = admin.receipt_signer(paths)
    logs = _logs(paths, camera)
    found = Revocation(station, camera, int(time.time()), reason, logs, tuple(certs.der(c) for c in chain))
    data = note.Note(found.text(), (note.sign_ed25519(found.text(), station, key),)).to_bytes()
    file = paths.revocation(camera)
    durable.make_dir(file.parent)
    if durable.create_file(file, data, 0o644):
        return Revoked(camera, file, logs, False)
    return Revoked(camera, file, standing(paths, camera).logs, True)


def standing(paths: AgencyPaths, camera: str) -> Revocation:
    """The revocation that was made. Raises KeyTrustError."""
    file = paths.revocation(camera)
    try:
        return parse(note.parse(file.read_bytes()).text)
    except (OSError, EvidenceError) as err:
        raise KeyTrustError(f"{file} is there already, and no revocation", "move it away, and repeat this") from err


def _logs(paths: AgencyPaths, camera: str) -> tuple[Counted, ...]:
    """Up to what was cosigned last, epoch by epoch."""
    file = paths.state
    if not file.exists():
        return ()
    state = State(file)
    try:
        heads = [state.head(camera, epoch) for epoch in range(1, state.newest_epoch(camera) + 1)]
    finally:
        state.close()
    return tuple(Counted(head.origin, head.size, head.root) for head in heads if head is not None and head.size)
