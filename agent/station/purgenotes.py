"""What the station signs before it deletes a recording: that it did, what that was, and that its days were over
(docs/evidence-format.md, "Purge"). Whoever verifies what is left can tell it from evidence that somebody took away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import count, groupby
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

Listed = Callable[[str, str], list[Path]]
"""By camera and recording: where its notes lie."""


class PurgeNotes:
    """Signs with the station's receipt key. Raises KeyTrustError where it cannot."""

    def __init__(self, paths: AgencyPaths, state: State) -> None:
        self._paths, self._state = paths, state
        self._station, self._key, chain = admin.receipt_signer(paths)
        self._root = admin.load_certificates(paths.trust_root)[0]
        self._certificates = tuple(certs.der(one) for one in chain)

    def standing(self, camera: str, recording: str) -> list[Purge]:
        """Those that hold, of this recording. One that does not, no verifier would take either. Raises StorageError."""
        return _standing(_files(self._paths, camera, recording), self._root)

    def listed(self) -> Listed:
        """Raises StorageError when it is asked."""
        return listed(self._paths)

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

    def write_late(self, segments: Sequence[Segment], there: Listed) -> bool:
        """Of a recording that was purged before there were notes, as far as the index knows what it was; whether one
        was written. It tells the time of the purge, and nothing of what was lost before that, or may have been. What is
        `there` is asked first: it costs no look at all the notes of a camera. Raises StorageError.
        """
        segments = [s for s in segments if not s.lost and not s.unexplained]
        if not segments:
            return False
        until_s, purged_s = max(s.until_s for s in segments), max(s.purged_s or 0 for s in segments)
        known = all(s.purged_s and 0 < s.until_s <= s.purged_s and s.entries and s.size for s in segments)
        one = segments[0].camera, str(segments[0].recording)
        if not known or _standing(there(*one), self._root) or self.standing(*one):
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


def _standing(files: Iterable[Path], root: x509.Certificate) -> list[Purge]:
    found = (_read(path, root) for path in files)
    return [told for told in found if told is not None]


def _files(paths: AgencyPaths, camera: str, recording: str) -> list[Path]:
    """The notes of this recording."""
    return [paths.purges(camera) / name for name in _names(paths, camera) if _recording(name) == recording]


def listed(paths: AgencyPaths) -> Listed:
    """The notes of a recording, without those that came since its camera was first asked for: a camera may have as many
    as recordings. Raises StorageError when it is asked.
    """

    @cache
    def of(camera: str) -> dict[str, list[Path]]:
        each = groupby(_names(paths, camera), _recording)
        return {recording: [paths.purges(camera) / name for name in names] for recording, names in each}

    return lambda camera, recording: of(camera).get(recording, [])


def _names(paths: AgencyPaths, camera: str) -> list[str]:
    """Sorted. Raises StorageError."""
    folder = paths.purges(camera)
    return durable.names(folder, ".purge") if durable.is_there(folder) else []


def _recording(name: str) -> str:
    """Whose note it is, by its name."""
    return name[:20]


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
    there = listed(paths)
    return lambda *one: {gone.sha256 for told in _standing(there(*one), root) for gone in told.gone}


def noted(paths: AgencyPaths, camera: str) -> set[str]:
    """The recordings of this camera of which notes lie there, by their names alone."""
    return {_recording(name) for name in _names(paths, camera)}
