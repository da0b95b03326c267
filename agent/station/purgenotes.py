"""What the station signs before it deletes a recording: that it did, what that was, and that its days were over
(docs/evidence-format.md, "Purge"). Whoever verifies what is left can tell it from evidence that somebody took away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from cryptography import x509

from agent import durable
from agent.errors import AgentError, StorageError
from agent.formats import certs, note
from agent.formats.purge import MAX_SEGMENTS, Gone, Purge, check
from agent.station import admin
from agent.station.indexed import Segment
from agent.station.layout import AgencyPaths
from agent.station.state import State


class PurgeNotes:
    """Signs with the station's receipt key. Raises KeyTrustError where it cannot."""

    def __init__(self, paths: AgencyPaths, state: State) -> None:
        self._paths, self._state = paths, state
        self._station, self._key, chain = admin.receipt_signer(paths)
        self._root = admin.load_certificates(paths.trust_root)[0]
        self._certificates = tuple(certs.der(one) for one in chain)

    def standing(self, camera: str, recording: str) -> list[Purge]:
        """Those that hold, of this recording. One that does not, no verifier would take either."""
        return standing(self._paths, self._root, camera, recording)

    def lost(self, segments: Sequence[Segment]) -> set[str]:
        """Those of one recording of which the file is gone, and no purge took it: no note that stands names them. What
        an earlier purge took without a note is not among them. Raises StorageError.
        """
        stand = self.standing(segments[0].camera, str(segments[0].recording))
        named = {gone for told in stand for gone in told.gone}
        open_ = [s for s in segments if (s.lost or s.purged_s is None) and _gone(s) not in named]
        return {s.name for s in open_ if not durable.is_there(self._paths.station / s.place)}

    def write(self, segments: Sequence[Segment], until_s: int, now_s: int) -> None:
        """Durable when this returns: each of these segments of one recording is named, by a note that stands with this
        end, or by a new one. One of which the file is gone, and that none names, was lost and not purged: it stays
        unnamed. Raises StorageError.
        """
        camera, recording = segments[0].camera, str(segments[0].recording)
        stand = self.standing(camera, recording)
        named = {gone for told in stand for gone in told.gone if told.until_s == until_s}
        new = [s for s in segments if _gone(s) not in named and durable.is_there(self._paths.station / s.place)]
        self._sign(new, until_s, now_s)
        # A name that an earlier process left may not be on the disk yet.
        durable.sync_names(_files(self._paths, camera, recording), self._paths.station)

    def write_late(self, segments: Sequence[Segment]) -> bool:
        """Of a recording that was purged before there were notes, as far as the index knows what it was; whether one
        was written. It tells the time of the purge, and nothing of what was lost before that, or may have been. Raises
        StorageError.
        """
        segments = [s for s in segments if not s.lost and not s.unexplained]
        if not segments:
            return False
        until_s, purged_s = max(s.until_s for s in segments), max(s.purged_s or 0 for s in segments)
        known = all(s.purged_s and 0 < s.until_s <= s.purged_s and s.entries and s.size for s in segments)
        if not known or self.standing(segments[0].camera, str(segments[0].recording)):
            return False
        self._sign(segments, until_s, purged_s)
        return True

    def _sign(self, segments: Sequence[Segment], until_s: int, purged_s: int) -> None:
        """New notes of these segments of one recording. Raises StorageError."""
        ordered = sorted(segments, key=lambda s: s.first)
        for start in range(0, len(ordered), MAX_SEGMENTS):
            batch = ordered[start : start + MAX_SEGMENTS]
            camera, recording = batch[0].camera, str(batch[0].recording)
            gone, origin = tuple(_gone(s) for s in batch), self._origin(batch[0])
            told = Purge(self._station, origin, camera, recording, until_s, purged_s, gone, self._certificates)
            signature = note.sign_ed25519(told.text(), self._station, self._key)
            self._put(told, note.Note(told.text(), (signature,)).to_bytes())

    def _put(self, told: Purge, data: bytes) -> None:
        check(data, self._root)
        for number in count(1):
            path = self._paths.purge(told.camera, told.recording, number)
            durable.make_dir(path.parent)
            if durable.create_file(path, data, 0o644):
                return

    def _origin(self, segment: Segment) -> str:
        head = self._state.head(segment.camera, segment.epoch)
        if head is None:
            text = f"of {segment.name} it is not known which log of {segment.camera} it is of"
            raise StorageError(text, "put station/state.sqlite back: nothing is purged without a signed note")
        return head.origin


def standing(paths: AgencyPaths, root: x509.Certificate, camera: str, recording: str) -> list[Purge]:
    """The notes of this recording that hold. Raises StorageError."""
    found = (_read(path, root) for path in _files(paths, camera, recording))
    return [told for told in found if told is not None]


def _files(paths: AgencyPaths, camera: str, recording: str) -> list[Path]:
    folder = paths.purges(camera)
    names = durable.names(folder, ".purge") if durable.is_there(folder) else []
    return [folder / name for name in names if name.startswith(f"{recording}-")]


def _read(path: Path, root: x509.Certificate) -> Purge | None:
    with durable.storage_errors(path, "cannot read"):
        data = path.read_bytes()
    try:
        return check(data, root)
    except AgentError:
        return None


def _gone(segment: Segment) -> Gone:
    return Gone(segment.sha256, segment.size, segment.name, segment.first, segment.entries)


def named(paths: AgencyPaths, root: x509.Certificate) -> Callable[[str, str], set[str]]:
    """Of a camera's recording: the digests that its notes name."""
    return lambda *one: {gone.sha256 for told in standing(paths, root, *one) for gone in told.gone}


def noted(paths: AgencyPaths, camera: str) -> set[str]:
    """The recordings of this camera of which notes lie there, by their names alone."""
    folder = paths.purges(camera)
    names = durable.names(folder, ".purge") if durable.is_there(folder) else []
    return {name[:20] for name in names}
