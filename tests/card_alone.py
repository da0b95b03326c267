"""Who has the card alone, and no key: what he can write there while the camera is off, and what he could show of it
after the honest camera started once more and signed what it found.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.evidence.findings import Finding, Sure
from agent.evidence.proof import Piece, write_proof
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats import age, merkle, note, pack, tlogproof
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS
from agent.vault import Vault
from tests import builders
from tests.camera_kit import CAMERA, read
from tests.test_epochs import STEM, Card, record


@dataclass
class Film:
    """A film that never was, as leaves of log 1 from `first` on, and their sealed bytes."""

    recording: str
    init: bytes
    leaves: dict[int, bytes] = field(default_factory=dict)
    sealed: dict[int, bytes] = field(default_factory=dict)

    @property
    def parts(self) -> list[int]:
        return [i for i, data in self.leaves.items() if isinstance(leaves.parse(data), leaves.MediaLeaf)]


class Thief:
    """`spool` is the card; `lines`, `ages` and `notes` are the entries of log 1 as its segments have them, from leaf 0
    on or the first that is left.
    """

    def __init__(self, card: Card) -> None:
        self.card, self.spool = card, card.spool
        self.log = self.spool / "log" / "1"
        self.lines: dict[int, bytes] = {}
        self.ages: dict[int, bytes] = {}
        self.notes: dict[int, bytes] = {}
        self.chains: set[bytes] = set()
        for path in sorted(self.spool.glob("*/*.tar")):
            header, reader, entries = read(path)
            if header.origin != f"{STEM}/1":
                continue
            self.chains.add(reader.chain)
            for entry, _ in entries:
                self.lines[entry.index], self.ages[entry.index] = entry.leaf, entry.sealed
                self.notes[entry.index] = entry.note
        self.size = max(self.lines) + 1
        self.recipients = [age.parse_recipient(text) for text in card.agency.recipients.read_text().split()]
        self.film: Film | None = None

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.spool.glob(pattern))

    def newest(self, pattern: str) -> Path:
        """By the log index in its name."""
        return max(self.spool.glob(pattern), key=lambda path: path.stem[1:])

    def change(self, path: Path, **values: object) -> None:
        """These values of a JSON file."""
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}) + "\n")

    # -- films that never were -------------------------------------------------------------------------------------

    def other_film(self) -> Film:
        """Each part of the recording on the card another one."""
        told = {i: leaves.parse(data) for i, data in self.lines.items()}
        start = next(leaf for leaf in told.values() if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.START)
        film = Film(str(start.recording), self._seal(b"ftyp-and-moov of a lie").data)
        last = max(i for i, leaf in told.items() if isinstance(leaf, leaves.MediaLeaf))
        for index in range(start.common.index, last + 1):
            leaf = told[index]
            film.leaves[index], film.sealed[index] = self.lines[index], self.ages[index]
            if isinstance(leaf, leaves.MediaLeaf):
                self._part(film, leaf, index)
        return film

    def one_more(self) -> Film:
        """A recording behind the log's end, by its newest session."""
        last = leaves.parse(self.lines[self.size - 1])
        part = next(x for x in map(leaves.parse, self.lines.values()) if isinstance(x, leaves.MediaLeaf))
        film = Film(f"r{self.size:010d}-deadbeef", self._seal(b"ftyp-and-moov of a lie").data)
        stamp = replace(last.common.stamp, mono_ns=last.common.stamp.mono_ns + NS)
        plain, digest = leaves.seal_body({"type": "record.start", "trigger": "press"}, bytes(32))
        sealed = self._seal(plain)
        common = self._common(replace(last.common, index=self.size, stamp=stamp), sealed)
        start = leaves.EventLeaf(common, Kind.START, film.recording, {}, digest)
        film.leaves[self.size], film.sealed[self.size] = leaves.to_bytes(start), sealed.data
        for number in range(4):
            made = replace(
                part, common=replace(common, index=self.size + 1 + number), recording=film.recording, part=number
            )
            self._part(film, replace(made, start_ns=number * NS // 2, idr=number % 2 == 0), made.common.index)
        return film

    def _part(self, film: Film, leaf: leaves.MediaLeaf, index: int) -> None:
        sealed = self._seal(b"a film that never was")
        made = replace(leaf, common=self._common(leaf.common, sealed), init=hashlib.sha256(film.init).hexdigest())
        film.leaves[index], film.sealed[index] = leaves.to_bytes(made), sealed.data

    def _common(self, common: leaves.Common, sealed: age.SealedFile) -> leaves.Common:
        return replace(common, sealed=leaves.Sealed.of(sealed.data, sealed.header_size))

    def _seal(self, data: bytes) -> age.SealedFile:
        return age.encrypt(data, self.recipients)

    def put_into_tiles(self, film: Film, signatures: tuple[note.Signature, ...] | None = None) -> None:
        """Tiles and a checkpoint that lead to it; with the signatures of the old checkpoint, which do not fit."""
        self.film = film
        hashes = self.hashes()
        old = note.parse((self.log / "checkpoint").read_bytes())
        head = note.Checkpoint(f"{STEM}/1", len(hashes), root_of(hashes))
        self.put_tiles(hashes, note.Note(head.text(), old.signatures if signatures is None else signatures).to_bytes())

    def put_tiles(self, hashes: list[bytes], checkpoint: bytes) -> None:
        shutil.rmtree(self.log / "tile")
        path = self.log / merkle.TileId(0, 0, len(hashes)).path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"".join(hashes))
        (self.log / "checkpoint").write_bytes(checkpoint)

    def hashes(self) -> list[bytes]:
        """Of the leaves on the card, and what is to be shown instead of them; he makes up those that are gone."""
        lines = {**self.lines, **(self.film.leaves if self.film else {})}
        return [merkle.leaf_hash(lines.get(i, b"")) for i in range(max(lines) + 1)]

    # -- a camera of his own ---------------------------------------------------------------------------------------

    def own_segments(self, behind: int, place: str) -> None:
        """Segments of a camera of this name, by keys and an agency of his own, behind so many leaves of log 1."""
        camera = builders.Camera(builders.make_agency(), name=CAMERA)
        camera.origin = f"{STEM}/1"
        for value in self.hashes()[:behind]:
            camera.hashes.append(value)
            camera.frontier = camera.frontier.append(value)
            camera.roots.append(camera.frontier.root())
        camera.new_session()
        camera.start()
        camera.part()
        camera.stop()
        camera.event(Kind.EVENT)
        for segment in camera.segments:
            path = segment.write(self.spool / place)
            if place != "open":
                path.with_suffix(".seal").write_bytes(segment.record().to_bytes())
        self.chains.add(camera.chain)


def root_of(hashes: list[bytes]) -> bytes:
    frontier = merkle.Frontier()
    for value in hashes:
        frontier = frontier.append(value)
    return frontier.root()


def live(vault: Vault) -> str:
    """The honest camera records, and is switched off."""
    name = record(vault)
    vault.sealer.event(Kind.SHUTDOWN, {"type": "shutdown"})
    vault.sealer.seal_open()
    vault.sealer.close()
    return name


def findings(card: Card, *paths: Path) -> list[Finding]:
    return list(verify(collect(paths or (card.spool,)), load_root(card.agency.trust_root)).findings)


def accused(found: list[Finding]) -> list[Finding]:
    """What fails, and is said to be proven."""
    return [f for f in found if f.fails and f.sure is Sure.PROVEN]


def believed(thief: Thief, place: Path) -> bool:
    """Whether the film verifies as a range of any head that the camera has signed by now."""
    return any(_verifies(thief, head, place) for head in _heads(thief))


def _heads(thief: Thief) -> list[bytes]:
    found = [path.read_bytes() for path in thief.files("log/*/checkpoint")]
    for path in thief.files("*/*.tar"):
        with path.open("rb") as file:
            reader = pack.PackReader(file.read)
            reader.head()
            thief.chains.add(reader.chain)
            found += [entry.note for entry in reader.entries()]
    return found


def _verifies(thief: Thief, head: bytes, place: Path) -> bool:
    """He knows all that the card has: the leaves behind his own are those of its segments."""
    film = thief.film
    assert film is not None
    told = note.parse_checkpoint(note.parse(head).text)
    hashes = thief.hashes() + later_hashes(thief, told.origin)
    if not max(film.leaves) < told.size <= len(hashes):
        return False
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    write_proof(place / f"{film.recording}.parts-0-2.proof.tar", _range(thief, film, head, hashes[: told.size]))
    return not [f for f in findings(thief.card, place) if f.fails]


def later_hashes(thief: Thief, origin: str) -> list[bytes]:
    found: dict[int, bytes] = {}
    for path in thief.files("*/*.tar"):
        header, _, entries = read(path)
        if header.origin == origin:
            found.update((entry.index, merkle.leaf_hash(entry.leaf)) for entry, _ in entries)
    return [found[i] for i in sorted(found) if i >= len(thief.hashes())]


def _range(thief: Thief, film: Film, head: bytes, hashes: list[bytes]) -> list[Piece]:
    # Not the last part: behind that belongs the recording's end.
    last = len(film.parts) - 2
    told = {"export": {"recording": film.recording, "first_part": 0, "last_part": last, "mp4_sha256": "", "shift_s": 0}}
    pieces = [Piece("README.txt", b"x\n"), Piece("report.json", json.dumps(told).encode()), Piece("checkpoint", head)]
    pieces += [Piece(f"chains/{hashlib.sha256(chain).hexdigest()}.pem", chain) for chain in sorted(thief.chains)]
    pieces.append(Piece("init.age", film.init))
    for index, data in sorted(film.leaves.items())[:-1]:
        proof = tlogproof.InclusionProof(index, tuple(_path(hashes, index)), head).to_bytes()
        for suffix, content in {"age": film.sealed[index], "json": data, "tlog-proof": proof}.items():
            pieces.append(Piece(f"entries/{index:010d}.{suffix}", content))
    return pieces


def _path(hashes: list[bytes], index: int) -> list[bytes]:
    """RFC 6962's audit path, written out."""
    if len(hashes) == 1:
        return []
    half = 1 << (len(hashes) - 1).bit_length() - 1
    if index < half:
        return [*_path(hashes[:half], index), root_of(hashes[half:])]
    return [*_path(hashes[half:], index - half), root_of(hashes[:half])]
