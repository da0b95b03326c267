"""What the paths on a command line hold: segments, receipts, revocations, purge notes, tiles; in files, directories,
spools and exports.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from agent.errors import UnreadableError, UsageError
from agent.evidence.blobs import STATES, Blob, Window, blob_at, read_small, said_of
from agent.evidence.walk import Kind, walk
from agent.formats import pack

MAX_HELD = 1_000_000
"""Files, inner segments and receipts of exports, and members of ranges: all that is held of what was given."""
MAX_MEMBERS = 800_000
"""Of one proof: four for each part of a day."""
MAX_LISTED, MAX_ALL_LISTED = 64 << 10, 64 << 20
"""Bytes of one checkpoint that are kept as it is listed, and of all; one beyond is read when its turn comes."""
PROOF = ".proof.tar"
"""How the proof beside an exported MP4 ends: a tar of whole segments, or of entries, and what else a court needs."""
COSIGNED = "cosigned"
"""The folder in the proof of a whole recording that leads from its segments to a head that a station cosigned."""
ELSEWHERE = "elsewhere"
"""The folder in the proof of a whole recording with the receipts of what a card no longer had of it."""
_FOLDERS = ("segments", "receipts", "purges", ELSEWHERE)
"""Those in the proof of a whole recording with files that count by themselves, too."""
_BESIDE = re.compile(
    r"README\.txt|report\.json|trust/root\.pem|heads/.*|cosigned/(checkpoint|consistency|station\.pem|chain\.pem)"
)
"""The other members of the proof of a whole recording."""
CHECKPOINT, ENTRIES = "checkpoint", "entries"
"""The member and the folder that make a proof one of a range (docs/evidence-format.md, section 9)."""


class Scope(Enum):
    """How much the given paths claim to be, hence what is missing if it is not there.

    WHOLE: a directory, so all of a log. PICKED: several segments, or an export: each recording whole. SINGLE: one
    segment, which verifies alone.
    """

    WHOLE = "whole"
    PICKED = "picked"
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class ProofMembers:
    """Members of a proof by name: of a range all, of a whole recording those in cosigned/. `repeated` names those of
    a range that stand again.
    """

    blob: Blob
    members: dict[str, Blob]
    repeated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Film:
    """The MP4 of an export, report.json in the proof beside it, if it has one, and that proof where it is of a range.
    `unchecked` says why there is nothing to check it with.
    """

    mp4: Blob
    told: Blob | None = None
    unchecked: str = ""
    part_of: ProofMembers | None = None


@dataclass
class Sources:
    """Everything found. `spools` are those of cameras, whose delivered segments may be gone; `extracted` are proofs
    that somebody unpacked; `lent` are the receipts by which proofs, of either sort, tell who has what they lack;
    `repeated` tells the members of whole proofs that stand again; `walked` are the segments found in a directory, and
    in no proof; `of_stations` the receipts in a station's own directory that was given; `kept` the heads that a purge
    keeps, of which those in `late` came while this was listed; `checkpoints` those beside the tiles of `logs`, as they
    stood before the segments were listed: of a card or a station in use a later one tells of leaves that no listed
    segment has.
    `passed` counts what was not read, the first of which is named; `unread` are proofs whose members the disk does not
    give, each with why, `unlisted` directories.
    """

    segments: list[Blob] = field(default_factory=list)
    receipts: list[Blob] = field(default_factory=list)
    revocations: list[Blob] = field(default_factory=list)
    purges: list[Blob] = field(default_factory=list)
    kept: list[Blob] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    checkpoints: dict[Path, bytes] = field(default_factory=dict)
    broken_exports: list[str] = field(default_factory=list)
    films: list[Film] = field(default_factory=list)
    ranges: list[ProofMembers] = field(default_factory=list)
    cosigned: list[ProofMembers] = field(default_factory=list)
    repeated: list[tuple[str, str]] = field(default_factory=list)
    proofs: set[Path] = field(default_factory=set)
    spools: set[Path] = field(default_factory=set)
    extracted: dict[Path, None] = field(default_factory=dict)
    lent: dict[Blob, Path] = field(default_factory=dict)
    walked: set[Path] = field(default_factory=set)
    of_stations: set[Path] = field(default_factory=set)
    late: set[Path] = field(default_factory=set)
    listed: int = 0
    held: int = 0
    passed: int = 0
    first_passed: str = ""
    unread: dict[Path, str] = field(default_factory=dict)
    unlisted: list[Path] = field(default_factory=list)

    def hold(self, what: str, count: int = 1) -> None:
        """So many more are to be kept of what was given. Raises UsageError where that is too much."""
        self.held += count
        if self.held > MAX_HELD:
            raise UsageError(
                f"{what}: with it there are more than {MAX_HELD} files and members to check", "name fewer at once"
            )

    def list_log(self, log: Path) -> None:
        """Keep its checkpoint; why one cannot be read, whoever reads it later hears."""
        self.hold(str(log))
        self.logs.append(log)
        with suppress(UsageError, UnreadableError):
            self.checkpoints[log] = read_small(log / CHECKPOINT, min(MAX_LISTED, MAX_ALL_LISTED - self.listed))
            self.listed += len(self.checkpoints[log])

    def pass_over(self, name: str, why: Kind) -> None:
        """One that is not read."""
        self.passed += 1
        self.first_passed = self.first_passed or f"{name} ({why.value})"

    @property
    def passed_over(self) -> str:
        """What was not read, in words; empty where all was."""
        more = f" and {self.passed - 1} more" if self.passed > 1 else ""
        return f"passed over, and not read: {self.first_passed}{more}" if self.passed else ""

    def in_spool(self, blobs: Sequence[Blob]) -> bool:
        """Whether any of these lies where a camera's spool has its segments; others may come from a station."""
        places = {blob.path.parent for blob in blobs}
        return any(place.name in STATES and place.parent in self.spools for place in places)

    def lent_to(self, blobs: Sequence[Blob]) -> set[Blob]:
        """The receipts that say who has what lacks of these; none where any of them lies in no export."""
        proofs = {self.proof_of(blob) for blob in blobs}
        return set() if None in proofs else {blob for blob, proof in self.lent.items() if proof in proofs}

    def on_card(self, path: Path) -> bool:
        """Whether it lies in a camera's spool."""
        return not self.spools.isdisjoint(path.parents)

    def proof_of(self, blob: Blob) -> Path | None:
        """The export that holds it, also one that was unpacked; None of a file that lies by itself."""
        if blob.start:
            return blob.path
        place = blob.path.parent
        return place.parent if place.name in _FOLDERS and place.parent in self.extracted else None

    def scope_of(self, blobs: Sequence[Blob]) -> Scope:
        """Of the log that has these segments, whatever else was given with it."""
        if any(blob.path in self.walked for blob in blobs):
            return Scope.WHOLE
        is_file = len(blobs) == 1 and self.proof_of(blobs[0]) is None
        return Scope.SINGLE if is_file else Scope.PICKED


def collect(paths: Sequence[Path]) -> Sources:
    """Find what `paths` hold. Raises UsageError for a path that is not there or holds no evidence at all. Why a file
    cannot be opened, whoever reads it hears.
    """
    found, moved = Sources(), set[Path]()
    for path in paths:
        if path.is_dir():
            for file in _walk(path, found):
                blob = blob_at(file)
                if blob.path != file:
                    moved.add(blob.path)
                elif file in moved:
                    continue
                _add(blob, found, walked=True)
                if file.parent.name == ELSEWHERE and file.parent.parent in found.extracted:
                    found.lent[blob] = file.parent.parent
                if _is_stations(file, path, found.extracted):
                    found.of_stations.add(file)
        elif not path.exists():
            raise UsageError(f"{path} does not exist", "name a segment, a directory of them, or an export")
        else:
            _add(blob_at(path), found, walked=False)
    if not (found.segments or found.broken_exports or found.ranges or found.unread or found.unlisted):
        beside = f"; {found.passed_over}" if found.passed else ""
        raise UsageError(
            f"no segment (*.tar) in {', '.join(map(str, paths))}{beside}",
            "name a segment, a directory of them, or an export",
        )
    return found


def _is_stations(file: Path, given: Path, extracted: Container[Path]) -> bool:
    """Whether it is a receipt where a station keeps its own, below `receipts/` beside `segments/`, and all that the
    station has is given with it. What an extracted proof has in `receipts/` itself is from whoever exported.
    """
    if not file.name.endswith(".receipt"):
        return False
    for folder in (folder for folder in file.parents if folder.name == "receipts"):
        station, handed = folder.parent, folder == file.parent and folder.parent in extracted
        if station.is_relative_to(given) and not handed and (station / "segments").is_dir():
            return True
    return False


def _walk(directory: Path, found: Sources) -> Iterator[Path]:
    """The files of evidence below."""
    for kind, path in walk(directory):
        if kind is Kind.EVIDENCE:
            yield path
        elif kind is Kind.LATE:
            found.late.add(path)
            yield path
        elif kind is Kind.SPOOL:
            found.spools.add(path)
        elif kind is Kind.PROOF:
            found.extracted[path] = None
            _add_cosigned(path, found)
        elif kind is Kind.LOG:
            found.list_log(path)
        elif kind is Kind.UNLISTED:
            found.hold(str(path))
            found.unlisted.append(path)
        else:
            found.pass_over(str(path), kind)


def _add(blob: Blob, found: Sources, walked: bool) -> None:
    found.hold(blob.name)
    if blob.name.endswith(".receipt"):
        found.receipts.append(blob)
    elif blob.name.endswith(".revocation"):
        found.revocations.append(blob)
    elif blob.name.endswith(".purge"):
        found.purges.append(blob)
    elif blob.name.endswith(".vouched"):
        found.kept.append(blob)
    elif blob.name.endswith(PROOF):
        mp4 = blob.path.with_name(blob.name.removesuffix(PROOF) + ".mp4")
        _open_export(blob, mp4 if mp4.is_file() and not mp4.is_symlink() else None, found)
    elif blob.name.lower().endswith(".mp4"):
        _add_film(blob, found, walked)
    else:
        found.segments.append(blob)
        if walked and found.proof_of(blob) is None:
            found.walked.add(blob.path)


def _add_cosigned(proof: Path, found: Sources) -> None:
    """What an extracted proof has in this folder."""
    names = [f"{COSIGNED}/{name}" for name in ("checkpoint", "consistency", "station.pem", "chain.pem")]
    files = {n: proof / n for n in names if (proof / n).is_file() and not (proof / n).is_symlink()}
    if files and not (proof / COSIGNED).is_symlink():
        members = {name: replace(blob_at(file), name=name) for name, file in files.items()}
        found.hold(str(proof), len(members))
        found.cosigned.append(ProofMembers(replace(blob_at(proof / "report.json"), name=proof.name), members))


def _add_film(blob: Blob, found: Sources, walked: bool) -> None:
    """An MP4 proves nothing by itself: it stands or falls with the proof beside it."""
    proof = blob.path.with_name(blob.path.stem + PROOF)
    if proof.is_file() and not (walked and proof.is_symlink()):
        _open_export(blob_at(proof), blob.path, found)
    elif walked:
        found.films.append(Film(blob, unchecked="has no proof beside it"))
    else:
        raise UsageError(
            f"{blob.path}: its proof, {proof.name}, is not beside it", "put both files of the export into one directory"
        )


def _open_export(blob: Blob, mp4: Path | None, found: Sources) -> None:
    if blob.path.resolve() in found.proofs:
        return
    found.proofs.add(blob.path.resolve())
    film = blob_at(mp4) if mp4 is not None else None
    try:
        members = list(export_members(blob))
    except (ValueError, UnreadableError) as err:
        if isinstance(err, UnreadableError):
            found.unread[blob.path] = said_of(blob.path, err)
        else:
            found.broken_exports.append(f"{blob.name}: {err}")
        if film is not None:
            found.films.append(Film(film, unchecked="has a proof that cannot be read"))
        return
    proof = _by_name(blob, members)
    is_range = any(name == CHECKPOINT or name.startswith(ENTRIES + "/") for name in proof.members)
    if film is not None:
        found.films.append(Film(film, proof.members.get("report.json"), part_of=proof if is_range else None))
    if is_range:
        found.hold(blob.name, len(members))
        found.ranges.append(proof)
    else:
        _add_whole(blob, proof, found)


def _add_whole(blob: Blob, proof: ProofMembers, found: Sources) -> None:
    """What the proof of a whole recording holds. Of a member that stands again the first counts, as in a range."""
    members = list(proof.members.values())
    if proof.repeated:
        found.hold(blob.name, len(proof.repeated))
        found.repeated.append((blob.name, _in_words(proof.repeated)))
    if not any(member.name.startswith("segments/") for member in members):
        found.broken_exports.append(f"{blob.name}: it holds neither segments nor the entries of a range")
    if beside := [member for member in members if member.name.startswith(COSIGNED + "/")]:
        found.hold(blob.name, len(beside))
        found.cosigned.append(_by_name(blob, beside))
    for member in members:
        folder, _, name = member.name.rpartition("/")
        inner = Blob(blob.path, name, member.start, member.size)
        if folder == "segments" and name.endswith(".tar"):
            found.hold(blob.name)
            found.segments.append(inner)
        elif folder in ("receipts", ELSEWHERE) and name.endswith(".receipt"):
            found.hold(blob.name)
            found.receipts.append(inner)
            found.lent |= {inner: blob.path} if folder == ELSEWHERE else {}
        elif folder == "purges" and name.endswith((".purge", ".vouched")):
            found.hold(blob.name)
            (found.purges if name.endswith(".purge") else found.kept).append(inner)
        elif not _BESIDE.fullmatch(member.name):
            found.pass_over(f"{member.name} in {blob.path}", Kind.OTHER_NAME)


def _in_words(repeated: tuple[str, ...]) -> str:
    names = list(dict.fromkeys(repeated))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"it holds more than once {names[0][:100]}{more}"


def _by_name(blob: Blob, members: list[Blob]) -> ProofMembers:
    named: dict[str, Blob] = {}
    repeated = tuple(m.name for m in members if named.setdefault(m.name, m) is not m)
    return ProofMembers(blob, named, repeated)


def export_members(blob: Blob) -> Iterator[Blob]:
    """The members of a proof, in the same one spelling as a segment's. Raises ValueError where it is damaged,
    UnreadableError.
    """
    with blob.reader() as window:
        offset = 0
        for count in range(MAX_MEMBERS + 1):
            block = window.at(offset, pack.BLOCK)
            if block == bytes(pack.BLOCK):
                if window.at(offset, len(pack.TRAILER) + 1) != pack.TRAILER:
                    raise ValueError(f"it does not end in 1,024 zero bytes, but at byte {offset}")
                return
            if count == MAX_MEMBERS:
                raise ValueError(f"it holds more than {MAX_MEMBERS} members")
            name, size = _member(window, block, offset)
            yield Blob(blob.path, name, blob.start + offset + pack.BLOCK, size)
            offset += pack.BLOCK + size
            if window.at(offset, -size % pack.BLOCK) != pack.padding(size):
                raise ValueError(f"the padding of {name} is not zero")
            offset += -size % pack.BLOCK


def _member(window: Window, block: bytes, offset: int) -> tuple[str, int]:
    parsed = parse_header(block)
    if parsed is None or offset + pack.BLOCK + parsed[1] > window.size:
        raise ValueError(f"not a member at byte {offset}, or cut short there")
    return parsed


def parse_header(block: bytes) -> tuple[str, int] | None:
    """(name, size) of a member header in its one spelling, else None."""
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        size = int(block[124:135], 8)
    except (ValueError, UnicodeError):
        return None
    if not name or size < 0 or pack.member_header(name, size) != block:
        return None
    return name, size
