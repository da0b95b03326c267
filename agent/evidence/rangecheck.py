"""A range checked: some parts of a recording, each proven by its own path to one signed checkpoint, without the rest
(docs/evidence-format.md, section 9).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agent.errors import AgentError, EvidenceError, UnreadableError
from agent.evidence.ahead import in_order
from agent.evidence.belief import Around
from agent.evidence.findings import Finding, Sure, What, when
from agent.evidence.rangehead import (
    CHAINS,
    CONSISTENCY,
    EARLIER,
    IDENTITY_MEMBER,
    STATION,
    Absent,
    RangeHead,
    camera_of,
    read_member,
    read_range_head,
)
from agent.evidence.rangesilence import tell_unvouched
from agent.evidence.rangeview import AUTHORITY, NO_PART, PROOF_SUFFIX, TIMESTAMP, Proven, RangeView, entry_name
from agent.evidence.rangewhole import whole_range
from agent.evidence.sealedfile import HEADER, sealed_problem, whole_sha256
from agent.evidence.sources import CHECKPOINT, ENTRIES, ProofMembers
from agent.evidence.told import REPORT, Told
from agent.evidence.trust import Trust
from agent.formats import leaf as leaves
from agent.formats import merkle, pack, timestamp, tlogproof

_ENTRY = re.compile(ENTRIES + r"/([0-9]{10})\.(age|json|tlog-proof|header)")
_LIMITS = {"age": pack.MAX_SEALED, "json": pack.MAX_LEAF, PROOF_SUFFIX: tlogproof.MAX_PROOF, HEADER: 64 << 10}
_KNOWN = frozenset(
    {"README.txt", REPORT, "trust/root.pem", AUTHORITY, CHECKPOINT, STATION, EARLIER, CONSISTENCY, TIMESTAMP}
    | {pack.INIT, "init.header"}
)

Progress = Callable[[str, int], None]


def check_range(source: ProofMembers, trust: Trust, progress: Progress = lambda name, count: None) -> RangeView:
    """All that can be checked without a key; `trust` learns its chains. Raises StorageError; what is wrong with the
    proof is in the findings.
    """
    return _RangeCheck(source, trust, progress).run()


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of an entry's sealed bytes: a problem, or none. `sha256` is of the file as the camera wrote it,
    None where it could not be read.
    """

    problem: str | None
    what: What = What.ALTERED_BYTES
    size: int = 0
    sha256: str | None = None


class _RangeCheck:
    def __init__(self, source: ProofMembers, trust: Trust, progress: Progress) -> None:
        self._source, self._trust, self._progress = source, trust, progress
        self._view = RangeView(source, RangeHead())
        self._digests: dict[str, int] | None = None
        self._entries: set[int] = set()

    def run(self) -> RangeView:
        view = self._view
        self._tell_members()
        try:
            view.told = Told.parse(read_member(self._source, REPORT, Told.MAX_BYTES))
        except EvidenceError as err:
            self._tell(What.ALTERED_EXPORT, err.message)
        view.head = read_range_head(self._source, self._trust, self._tell)
        indexes = sorted(self._entries)
        for index, found in zip(indexes, in_order(partial(self._look, i) for i in indexes), strict=True):
            self._check_entry(index, found)
        self._check_init()
        if TIMESTAMP in self._source.members:
            self._check_timestamp()
        if view.told is not None and view.head.head is not None:
            view.tally.tell_all(whole_range(view, view.told))
        view.tally.tell_all(tell_unvouched(view))
        return view

    def _tell(
        self,
        what: What,
        text: str,
        index: int | None = None,
        leaf: leaves.Leaf | None = None,
        sure: Sure = Sure.PROVEN,
    ) -> None:
        part = leaf.part if isinstance(leaf, leaves.MediaLeaf) else None
        moment = when(leaf.common.stamp) if leaf is not None else None
        recording = self._view.told.recording if self._view.told else None
        self._view.tally.tell(
            Finding(
                what,
                f"{self._view.name}: {text}",
                recording=recording,
                first=index,
                part_first=part,
                when=moment,
                sure=sure,
            )
        )

    def _tell_members(self) -> None:
        for name in self._source.repeated:
            self._tell(What.REPEATED_ENTRY, f"{name[:100]} stands in the proof more than once")
        unknown = []
        for name in self._source.members:
            if match := _ENTRY.fullmatch(name):
                self._entries.add(int(match[1]))
            elif name not in _KNOWN and not name.startswith(CHAINS + "/") and not IDENTITY_MEMBER.fullmatch(name):
                unknown.append(name)
        if unknown:
            shown = ", ".join(name[:60] for name in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
            self._tell(What.UNCHECKED, f"{len(unknown)} members that prove nothing here were not looked at: {shown}")

    # -- one entry -------------------------------------------------------------------------------------------------

    def _read(self, index: int, kind: str) -> bytes:
        return read_member(self._source, entry_name(index, kind), _LIMITS[kind])

    def _named_by(self, sha256: str) -> int | None:
        """The leaf that names these sealed bytes; all leaves are read again, once, where something does not fit."""
        if self._digests is None:
            self._digests = {}
            for index in sorted(self._entries):
                with contextlib.suppress(EvidenceError, UnreadableError):
                    sealed = leaves.parse(self._read(index, "json")).common.sealed
                    self._digests.setdefault(sealed.sha256, index)
        return self._digests.get(sha256)

    def _check_entry(self, index: int, found: _Found) -> None:
        name = entry_name(index)
        try:
            data = self._read(index, "json")
            if not self._check_proof(index, data):
                self._accuse(index)
                return
            leaf = leaves.parse(data)
            if leaf.common.index != index:
                raise EvidenceError(f"{name} says that it is leaf {leaf.common.index}")
        except EvidenceError as err:
            what = What.MISSING_PARTS if isinstance(err, Absent) else What.BAD_LEAF
            self._tell(what, err.message, index)
            self._accuse(index)
            return
        except UnreadableError as err:
            self._tell(What.UNREADABLE, err.message, index)
            self._accuse(index)
            return
        self._view.proven[index] = Proven.of(leaf)
        self._view.marks.hear(leaf)
        if self._view.init is None and isinstance(leaf, leaves.MediaLeaf):
            self._view.init = leaf.init
        self._check_session(index, leaf)
        if self._check_sealed(index, leaf, found):
            self._view.sound.add(index)

    def _accuse(self, index: int) -> None:
        """It is here, and not proven; what it says that it is spares it a second finding."""
        said: leaves.Leaf | None = None
        with contextlib.suppress(EvidenceError, UnreadableError):
            said = leaves.parse(self._read(index, "json"))
        if said is None or said.common.index != index:
            self._view.accused[index] = None
        else:
            self._view.accused[index] = said.part if isinstance(said, leaves.MediaLeaf) else NO_PART

    def _check_proof(self, index: int, leaf: bytes) -> bool:
        """Whether the leaf leads to the checkpoint. Raises EvidenceError where a member is not there."""
        data, head, name = self._read(index, PROOF_SUFFIX), self._view.head.head, entry_name(index, PROOF_SUFFIX)
        if head is None:
            return False
        try:
            proof = tlogproof.InclusionProof.parse(data)
        except EvidenceError as err:
            self._tell(What.ALTERED_BYTES, f"{name}: {err.message}", index)
            return False
        if proof.index != index:
            self._tell(What.SWAPPED_ENTRIES, f"{name} is the proof of leaf {proof.index}", index)
            return False
        if proof.checkpoint != head.data:
            self._tell(
                What.BAD_ROOT, f"its {PROOF_SUFFIX} leads to another checkpoint than the one in the proof", index
            )
            return False
        try:
            value, point = merkle.leaf_hash(leaf), head.point
            merkle.verify_inclusion(value, index, point.size, proof.hashes, point.root)
        except EvidenceError:
            self._blame(index, leaf)
            return False
        return True

    def _blame(self, index: int, leaf: bytes) -> None:
        """Leaf or path? The leaf beside it in the tree, if it is here and proven, has the right hash in its path."""
        name = entry_name(index)
        try:
            said = leaves.parse(leaf).common.index
        except EvidenceError:
            said = index
        if said != index:
            self._tell(What.SWAPPED_ENTRIES, f"{name} holds leaf {said}", index)
            return
        right = self._hash_by_neighbour(index)
        if right is None:
            text = f"{name} and its proof do not lead to the checkpoint: one of them is altered"
            self._tell(What.ALTERED_BYTES, text, index, sure=Sure.LIKELY)
        elif right == merkle.leaf_hash(leaf):
            self._tell(What.ALTERED_BYTES, f"{entry_name(index, PROOF_SUFFIX)} is altered in its path", index)
        else:
            self._tell(What.ALTERED_BYTES, f"{name} is not the leaf that was signed", index)

    def _hash_by_neighbour(self, index: int) -> bytes | None:
        head, other = self._view.head.head, index ^ 1
        try:
            proof = tlogproof.InclusionProof.parse(self._read(other, PROOF_SUFFIX))
            value = merkle.leaf_hash(self._read(other, "json"))
            if head is None or max(index, other) >= head.point.size or not proof.hashes:
                return None
            merkle.verify_inclusion(value, other, head.point.size, proof.hashes, head.point.root)
        except (EvidenceError, UnreadableError):
            return None
        return proof.hashes[0]

    def _check_session(self, index: int, leaf: leaves.Leaf) -> None:
        """Camera, chain and boot; then clocks, sessions and the recording, over all leaves so far."""
        view, common = self._view, leaf.common
        assert view.head.head is not None
        camera = camera_of(view.head.head.point.origin)
        if common.camera != camera:
            self._tell(What.OTHER_CAMERA, f"the leaf is of camera {common.camera}, the log of {camera}", index, leaf)
        session = view.head.sessions.get(common.chain)
        if session is None:
            text = f"{CHAINS}/{common.chain}.pem, the chain its leaf names, is not in the proof, or not trusted"
            self._tell(What.UNTRUSTED_CHAIN, text, index, leaf)
            return
        view.watch.epochs.origin = view.head.head.point.origin
        for finding in view.watch.leaf(leaf, Around("", session, None)):
            self._tell(finding.what, finding.text, index, leaf)

    def _look(self, index: int) -> _Found:
        """Sealed bytes against their leaf as it stands, proven or not: the work, on any thread."""
        try:
            wanted = leaves.parse(self._read(index, "json")).common.sealed
            data = self._read(index, "age")
            own = entry_name(index, HEADER)
            header = self._read(index, HEADER) if own in self._source.members else None
        except EvidenceError as err:
            return _Found(err.message, What.MISSING_PARTS if isinstance(err, Absent) else What.ALTERED_BYTES)
        except UnreadableError as err:
            return _Found(err.message, What.UNREADABLE)
        problem = sealed_problem(data, header, wanted)
        return _Found(
            problem, What.ALTERED_BYTES, len(data), whole_sha256(data, header) if problem is not None else None
        )

    def _check_sealed(self, index: int, leaf: leaves.Leaf, found: _Found) -> bool:
        self._progress(self._source.blob.name, found.size)
        if found.problem is None:
            return True
        name, other = entry_name(index, "age"), self._named_by(found.sha256) if found.sha256 is not None else None
        if found.sha256 is None:
            self._tell(found.what, found.problem, index, leaf)
        elif other is not None and other != index:
            self._tell(What.SWAPPED_ENTRIES, f"{name} holds the sealed bytes of leaf {other}", index, leaf)
        else:
            self._tell(What.ALTERED_BYTES, f"{name} {found.problem}", index, leaf)
        return False

    def _check_timestamp(self) -> None:
        view = self._view
        try:
            found = timestamp.parse(read_member(self._source, TIMESTAMP, timestamp.MAX_RESPONSE))
        except EvidenceError as err:
            self._tell(What.ALTERED_BYTES, f"{TIMESTAMP}: {err.message}")
            return
        checkpoint = self._source.members.get(CHECKPOINT)
        # Whoever signed it: the time is of these bytes.
        if checkpoint is None or found.sha256 != checkpoint.sha256():
            self._tell(What.ALTERED_BYTES, f"{TIMESTAMP} is not over the {CHECKPOINT} in the proof")
            return
        view.stamped = found.time
        command = f"openssl ts -verify -data {CHECKPOINT} -in {TIMESTAMP} -CAfile tsa.pem"
        self._tell(
            What.UNCHECKED, f"{TIMESTAMP} says {found.time} of the {CHECKPOINT}; its signature shows by `{command}`"
        )

    def _check_init(self) -> None:
        """All media leaves name one, or the watch has told."""
        view = self._view
        if view.init is None:
            return
        try:
            data = read_member(self._source, pack.INIT, pack.MAX_SEALED)
            header = self._source.members.get("init.header")
            original = header.read(_LIMITS[HEADER]) if header is not None else None
            view.init_sound = whole_sha256(data, original) == view.init
            if not view.init_sound:
                self._tell(What.ALTERED_BYTES, f"{pack.INIT} is not the one its leaves name")
        except AgentError as err:
            what = What.UNREADABLE if isinstance(err, UnreadableError) else What.MISSING_PARTS
            self._tell(what, f"{pack.INIT}: {err.message}")
