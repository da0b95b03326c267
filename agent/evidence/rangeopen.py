"""A range in the clear, for a holder of a key: only what is proven and authentic ever leaves this file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING

from agent.errors import EvidenceError, KeyTrustError, UnreadableError
from agent.evidence.findings import Finding, What
from agent.evidence.rangehead import read_member
from agent.evidence.rangeview import RangeView, entry_name
from agent.evidence.sealedfile import HEADER, camera_file
from agent.evidence.sources import ProofMembers
from agent.evidence.tally import Tally
from agent.formats import age, age_header, pack
from agent.formats import leaf as leaves

if TYPE_CHECKING:
    from agent.evidence.verify import Report

Progress = Callable[[str, int], None]


class RangeOpener:
    """One member in memory at a time."""

    def __init__(self, view: RangeView, identities: Sequence[age.Identity]) -> None:
        self._view, self._identities = view, identities

    def init(self) -> bytes:
        """The recording's ftyp and moov. Raises EvidenceError, KeyTrustError."""
        if not self._view.init_sound:
            raise EvidenceError(f"{pack.INIT} is not the one the camera wrote, or not in the proof")
        return self._open(pack.INIT)

    def entry(self, index: int) -> bytes:
        """A part's media, or an event's salt and body. Raises EvidenceError, KeyTrustError."""
        leaf = self._view.proven.get(index)
        if leaf is None or index not in self._view.sound:
            raise EvidenceError(f"leaf {index} is not proven, or its sealed bytes are not what the camera wrote")
        plain = self._open(entry_name(index, "age"))
        if leaf.part is None:
            leaves.open_body(plain, leaf.body)
        return plain

    def write_plain(self, file: IO[bytes], first: int, last: int) -> int | None:
        """Init and the parts of these numbers. Returns where the first begins on the recording's timeline, in ns; None
        where there is none of them. Raises EvidenceError, KeyTrustError.
        """
        begin_ns: int | None = None
        for index, leaf in sorted(self._view.proven.items()):
            if leaf.part is not None and first <= leaf.part <= last:
                if begin_ns is None:
                    begin_ns = leaf.start_ns
                    file.write(self.init())
                file.write(self.entry(index))
        return begin_ns

    def _open(self, name: str) -> bytes:
        return open_sealed(*sealed_pair(self._view.source, name), self._identities)


def sealed_pair(source: ProofMembers, name: str) -> tuple[bytes, bytes | None]:
    """A sealed file of the range, and the camera's header where it has another. Raises EvidenceError."""
    data = read_member(source, name, pack.MAX_SEALED)
    beside = name.removesuffix("age") + HEADER
    return data, read_member(source, beside, age_header.MAX_HEADER_BYTES) if beside in source.members else None


def open_sealed(data: bytes, header: bytes | None, identities: Sequence[age.Identity]) -> bytes:
    """The plaintext. Where `data` has another header than the camera's, both must be of one file key: the camera's MAC
    is what binds it to the payload. Raises EvidenceError, KeyTrustError.
    """
    if header is None:
        return age.decrypt(data, identities)
    return age.decrypt_with(camera_key(data, header, identities), camera_file(data, header))


def camera_key(data: bytes, header: bytes | None, identities: Sequence[age.Identity]) -> bytes:
    """The file key, by whichever of the two headers an identity opens; both must be under it. Raises EvidenceError,
    KeyTrustError.
    """
    if header is None:
        return age.file_key(data, identities)
    whole = camera_file(data, header)
    try:
        key = age.file_key(data, identities)
    except KeyTrustError:
        key = age.file_key(whole, identities)
    for bound, whose in ((whole, "the camera's own"), (data, "the new")):
        try:
            age_header.parse(bound).check(key)
        except EvidenceError:
            raise EvidenceError(f"its two headers are not of one file key: that of {whose} is another") from None
    return key


def open_ranges(
    report: Report, identities: Sequence[age.Identity], progress: Progress = lambda name, count: None
) -> list[Finding]:
    """Open everything in every range of a report; what cannot be opened, or read any more, is found, and added to its
    view. Of a range of which none of the identities opens anything that is noted, and the report is `locked`.
    """
    found: list[Finding] = []
    for view in report.ranges:
        tally = _open_range(view, identities, progress)
        report.unread |= {view.source.blob.path for f in tally.kept if f.what is What.UNREADABLE}
        if view.opened is None:
            locked = KeyTrustError(f"no identity given opens {view.name}", "name the key file of one recipient with -i")
            report.locked = report.locked or locked
            tally.tell(Finding(What.UNCHECKED, locked.message, recording=_recording(view)))
        found += tally.told(view.name)
    return found


def _open_range(view: RangeView, identities: Sequence[age.Identity], progress: Progress) -> Tally:
    """`opened` of the view stays None where no key opens anything: then what is altered is told, and no lack of it."""
    opener, opened, found, altered = RangeOpener(view, identities), 0, Tally(), Tally()
    locked = False
    for index in (None, *sorted(view.sound)):
        if index is None and not view.init_sound:
            continue
        name = pack.INIT if index is None else entry_name(index, "age")
        try:
            plain = opener.init() if index is None else opener.entry(index)
        except (EvidenceError, KeyTrustError, UnreadableError) as err:
            by_key = isinstance(err, KeyTrustError)
            locked = locked or by_key
            # The leaf vouches for the camera's header; one that fits no key after others did was altered.
            what = What.UNCHECKED if by_key and not view.rewrapped else What.ALTERED_BYTES
            what = What.UNREADABLE if isinstance(err, UnreadableError) else what
            part = view.proven[index].part if index is not None else None
            text = f"{view.name}: {name}: {err.message}"
            finding = Finding(what, text, recording=_recording(view), first=index, part_first=part)
            found.tell(finding)
            altered.tell_all([] if by_key else [finding])
            continue
        opened += 1
        progress(view.source.blob.name, len(plain))
    view.opened = opened if opened or not locked else None
    told = altered if view.opened is None else found
    view.tally.tell_all(told.told(view.name))
    return told


def _recording(view: RangeView) -> str | None:
    return view.told.recording if view.told else None
