"""The witness: cosigns a camera's tree head only if it extends the last one it cosigned (c2sp.org/tlog-witness).

Compare and set are one SQLite transaction, durable before the cosignature is given out: no two heads that
contradict each other ever get one, whatever is killed when.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import certs, merkle, note
from agent.station.conflicts import Conflicts
from agent.station.state import Head, State
from agent.station.web import TEXT, Refused, Response

MAX_REQUEST = 64 << 10
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_EPOCH = re.compile(r"[1-9][0-9]{0,5}")
_SIZE = {"Content-Type": "text/x.tlog.size"}


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """The request: size last cosigned, consistency proof from there, and the camera's checkpoint note."""

    old: int
    proof: tuple[bytes, ...]
    signed: note.Note
    checkpoint: note.Checkpoint


def parse_request(body: bytes) -> AddCheckpoint:
    """Raises EvidenceError."""
    head, blank, rest = body.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise EvidenceError("the request is not ASCII before the checkpoint") from None
    old = _OLD.fullmatch(lines[0])
    if not blank or not old or len(lines) > 64:
        raise EvidenceError("the request is not: old size, proof lines, blank line, checkpoint")
    proof = tuple(note.unb64(line) for line in lines[1:])
    if any(len(p) != merkle.HASH_SIZE for p in proof):
        raise EvidenceError("a proof line is not 32 bytes")
    parsed = note.parse(rest)
    return AddCheckpoint(int(old[1]), proof, parsed, note.parse_checkpoint(parsed.text))


def parse_epoch(text: str) -> int:
    """Raises Refused (404)."""
    if not _EPOCH.fullmatch(text):
        raise Refused(404, "no such epoch")
    return int(text)


class Witness:
    """One key, many logs. `root_at` gives the proven root of a smaller tree of a log, or None where tiles lack;
    `goes_on` says of a larger one whether it extends what was cosigned, or None where tiles lack.
    """

    def __init__(
        self,
        state: State,
        conflicts: Conflicts,
        root: x509.Certificate,
        name: str,
        key: Ed25519PrivateKey,
        root_at: Callable[[str, int, int], bytes | None],
        goes_on: Callable[[str, int, Head, note.Checkpoint], bool | None],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._state, self._conflicts, self._root = state, conflicts, root
        self._name, self._key, self._root_at, self._now_s = name, key, root_at, now_s
        self._goes_on = goes_on

    def add_chain(self, camera: str, chain_pem: bytes) -> None:
        """Learn a session key, from a chain that leads to the agency's root. Raises Refused."""
        try:
            session = certs.check_session(certs.parse_chain(chain_pem), self._root)
        except KeyTrustError as err:
            raise Refused(403, err.message) from None
        if session.camera != camera:
            raise Refused(403, f"this chain is of camera {session.camera}, not of {camera}")
        self._state.add_session(camera, note.raw_public(session.key), chain_pem)

    def add_checkpoint(self, camera: str, body: bytes) -> Response:
        """Answer one add-checkpoint request of this camera. Raises Refused."""
        try:
            request = parse_request(body)
        except EvidenceError as err:
            raise Refused(400, err.message) from None
        epoch = self._known(camera, request.checkpoint.origin)
        signed = self._check_signatures(camera, request)
        if request.old > request.checkpoint.size:
            raise Refused(400, "the old size is larger than the checkpoint's")
        with self._state.transaction():
            held = self._state.head(camera, epoch)
            against = self._compare(held, request)
            refusal = against or self._ended(camera, epoch, held, request.checkpoint)
            if refusal is None:
                cosignature = note.cosign(signed.text, self._name, self._key, int(self._now_s()))
                cosigned = signed.with_signatures([cosignature]).to_bytes()
                new = request.checkpoint
                self._state.set_head(camera, epoch, Head(new.origin, new.size, new.root, cosigned, 0))
                return Response(200, cosignature.line().encode(), TEXT)
        self._file(camera, epoch, held, request, ended=against is None)
        return refusal

    def renew(self, trusted: Callable[[str], bool]) -> int:
        """Cosign anew what stands under an earlier key of this station, of cameras that are trusted: else one that pins
        the present key alone would not believe it. Returns how many.
        """
        count = 0
        for camera, epoch in self._state.heads():
            # Looked at first: where nothing is to be renewed nothing is written, which a full disk would refuse.
            if not trusted(camera) or self._is_ours(self._state.head(camera, epoch)):
                continue
            with self._state.transaction():
                head = self._state.head(camera, epoch)
                if head is None or self._is_ours(head):
                    continue
                signed = note.parse(head.note)
                kept = tuple(s for s in signed.signatures if s.name != self._name)
                cosignature = note.cosign(signed.text, self._name, self._key, int(self._now_s()))
                again = note.Note(signed.text, (*kept, cosignature)).to_bytes()
                self._state.set_head(camera, epoch, replace(head, note=again))
                count += 1
        return count

    def _is_ours(self, head: Head | None) -> bool:
        """Whether it is cosigned by the present key."""
        ours = note.key_id(self._name, note.COSIGNATURE, note.raw_public(self._key.public_key()))
        return head is not None and any(s.key_id == ours for s in note.parse(head.note).signatures)

    def _known(self, camera: str, origin: str) -> int:
        """The epoch, where this is a log of this camera that we may know. Raises Refused (404)."""
        words = origin.rsplit("/", 2)
        if len(words) != 3 or words[1] != camera:
            raise Refused(404, f"not a log of camera {camera}")
        epoch = parse_epoch(words[2])
        held = self._state.head(camera, epoch)
        if held is not None and held.origin != origin:
            raise Refused(404, f"epoch {epoch} of {camera} is known as {held.origin}")
        if not self._state.sessions(camera):
            raise Refused(404, "no session of this camera is known: send its chain first")
        return epoch

    def _check_signatures(self, camera: str, request: AddCheckpoint) -> note.Note:
        """The note with only the signatures that a session of this camera, and its identity, made. Raises Refused
        (403).
        """
        origin = request.checkpoint.origin
        for key, pem in self._state.sessions(camera):
            wanted = note.key_id(origin, note.ED25519, key)
            if not any(s.name == origin and s.key_id == wanted for s in request.signed.signatures):
                continue
            try:
                session = certs.check_session(certs.parse_pem(pem), self._root)
                note.verify_ed25519(request.signed, origin, session.key)
                note.verify_ecdsa(request.signed, origin, session.identity)
            except (EvidenceError, KeyTrustError) as err:
                raise Refused(403, err.message) from None
            ours = {wanted, note.key_id(origin, note.ECDSA, note.spki(session.identity))}
            kept = tuple(s for s in request.signed.signatures if s.name == origin and s.key_id in ours)
            return note.Note(request.signed.text, kept)
        raise Refused(403, "no signature by a session of this camera that is known")

    def _compare(self, held: Head | None, request: AddCheckpoint) -> Response | None:
        """None where the new head may be cosigned, else the refusal."""
        size, root = (held.size, held.root) if held else (0, merkle.EMPTY_ROOT)
        new = request.checkpoint
        if request.old != size:
            return Response(409, f"{size}\n".encode(), _SIZE)
        if new.size == size and new.root != root:
            return Response(409, b"another tree of this size was cosigned before\n", TEXT)
        try:
            merkle.verify_consistency(size, root, new.size, new.root, request.proof)
        except EvidenceError as err:
            return Response(422, err.message.encode() + b"\n", TEXT)
        return None

    def _ended(self, camera: str, epoch: int, held: Head | None, new: note.Checkpoint) -> Response | None:
        """The refusal where a later epoch has begun, which says where this one ended: up to there it may still grow."""
        for link in self._state.links(camera):
            size = held.size if held else 0
            if link.follows != epoch or new.size <= size or new.size < link.size:
                continue
            if (new.size, new.root) != (link.size, link.root):
                text = f"epoch {link.epoch} says that this log ended at {link.size} leaves, as another than this\n"
                return Response(409, text.encode(), TEXT)
        return None

    def _file(self, camera: str, epoch: int, held: Head | None, request: AddCheckpoint, ended: bool) -> None:
        """A validly signed head that contradicts a cosigned one, or goes on after its log `ended`, is evidence; one
        that is only old is not, and one of which only the proof is wrong says nothing against the camera.
        """
        new = request.checkpoint
        if held is None:
            return
        if ended:
            kind: str | None = "ended-epoch"
        elif new.size == held.size:
            root = held.root if held.size else merkle.EMPTY_ROOT
            kind = "fork" if new.root != root else None
        elif new.size < held.size:
            proven = self._root_at(camera, epoch, new.size)
            kind = "fork" if proven is not None and proven != new.root else None
        else:
            kind = self._kind_of_bad_proof(camera, epoch, held, request) if request.old == held.size else None
        if kind:
            facts = {"cosigned": held.note.decode(), "came": request.signed.to_bytes().decode()}
            facts["proof"] = "\n".join(map(note.b64, request.proof))
            self._conflicts.file(camera, kind, {"epoch": epoch, "old": request.old, **facts})

    def _kind_of_bad_proof(self, camera: str, epoch: int, held: Head, request: AddCheckpoint) -> str:
        """The proof came with the head, and is signed by nobody: a contradiction is only what follows from the two
        heads. That is where it leads to the new root, and to another old one; or where the tiles do.
        """
        new = request.checkpoint
        roots = merkle.proven_roots(held.size, held.root, new.size, request.proof) if held.size else None
        if roots is not None and roots[1] == new.root:
            return "inconsistent"
        return "inconsistent" if self._goes_on(camera, epoch, held, new) is False else "bad-proof"
