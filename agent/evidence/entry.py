"""One log entry: sealed bytes against leaf, leaf against the signed root, checkpoint against the session's key."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent.errors import EvidenceError
from agent.evidence.blobs import Window
from agent.evidence.entries import Entries
from agent.evidence.findings import Finding, Sure, What, when
from agent.evidence.layout import Member
from agent.evidence.notes import CheckedNote, check_note, signs
from agent.evidence.roots import Proof, Step, Tracker
from agent.formats import age, certs, merkle, note, pack
from agent.formats import leaf as leaves

UNKNOWN_ORIGIN = "unknown"


@dataclass
class Outcome:
    """`leaf` is what can be believed of the entry, None where nothing can. `proven` if a signature of the segment's
    session covers it, `waiting` if one behind it may. `size` counts its sealed bytes. `lacks` is the failure that it is
    where nothing `vouches`: no later checkpoint that the identity key signed. `follows` where its tree is that of the
    entries before it, as far as anybody signed one.
    """

    index: int
    leaf: leaves.Leaf | None = None
    proven: bool = False
    waiting: bool = False
    size: int = 0
    findings: list[Finding] = field(default_factory=list)
    lacks: Finding | None = None
    vouches: bool = False
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the segment's head says, against which each leaf is held. None: not known, not checked. `recording` is
    that of the file's name, `media_of` that of its media.
    """

    segment: str
    recording: str | None
    media_of: str | None
    origin: str
    session: certs.Session | None
    chain: Member | None
    chain_sha256: str
    init: Member | None
    init_sha256: str | None


class EntryCheck:
    """Run it over a segment's entries in order of index, then `finish`."""

    def __init__(self, facts: Facts, window: Window, entries: Entries) -> None:
        self._facts, self._window, self._entries = facts, window, entries
        self._unknown: list[int] = []
        self._chains, self._inits = _Named(facts.chain, pack.CHAIN), _Named(facts.init, pack.INIT)

    def peek(self, index: int) -> leaves.Leaf | None:
        """The leaf as it stands, believed or not."""
        member = self._entries.slots[index].get("json")
        try:
            return leaves.parse(self._read(member)) if member else None
        except EvidenceError:
            return None

    def has_head(self, index: int) -> bool:
        """True where this entry has an authentic checkpoint."""
        return self._note(self._entries.slots[index].get("note")).head is not None

    def proves(self, index: int, before: merkle.Frontier) -> bool:
        """True where this entry's leaf and authentic checkpoint fit the log `before` it."""
        slot = self._entries.slots[index]
        leaf, head = slot.get("json"), self._note(slot.get("note")).head
        if leaf is None or head is None or head.size != index + 1 or before.size != index:
            return False
        return before.append(merkle.leaf_hash(self._read(leaf))).root() == head.root

    def run(self, index: int, tracker: Tracker) -> Outcome:
        """Check one entry; the tracker moves on by one leaf."""
        out, slot = Outcome(index), self._entries.slots[index]
        member, signed = slot.get("json"), slot.get("note")
        data = self._read(member) if member else None
        checked = self._note(signed)
        head = checked.head
        if head is not None and (head.size, head.origin) != (index + 1, self._facts.origin):
            checked = CheckedNote(None, what=What.BAD_ROOT, text=_other_head(head, index), parsed=checked.parsed)
            head = None
        step = tracker.step(index, data, head)
        if step.proof is Proof.WAITING:
            checked = self._settle_by_signature(checked, tracker)
            out.waiting = bool(tracker.waiting)
        out.follows = step.proof in (Proof.PROVEN, Proof.MENDED, Proof.WAITING)
        out.proven = step.proof in (Proof.PROVEN, Proof.MENDED) or (step.proof is Proof.WAITING and not out.waiting)
        out.leaf = self._believe(out, step, data, member)
        if checked.what is not None:
            self._add(out, checked.what, checked.text, signed or member)
        if out.leaf is not None:
            self._check_leaf(out, out.leaf, checked, signed)
        self._check_sealed(out, slot.get("age"), out.leaf)
        out.findings = [_placed(f, out.leaf) for f in out.findings]
        out.vouches = out.proven and head is not None and checked.what is None and checked.by_identity
        return out

    def finish(self) -> list[Finding]:
        """What could not be decided before the end."""
        findings = [f for named in (self._chains, self._inits) for f in named.findings(self._facts)]
        if self._unknown:
            first, last = self._unknown[0], self._unknown[-1]
            text = "a leaf before these is lost, so their signed roots prove nothing; they fit their sealed bytes"
            findings.append(Finding(What.UNCHECKED, text, self._facts.segment, self._facts.recording, first, last))
        return findings

    # -- leaf and root ---------------------------------------------------------------------------------------------

    def _believe(self, out: Outcome, step: Step, data: bytes | None, member: Member | None) -> leaves.Leaf | None:
        """The leaf, if it may be believed; findings about it otherwise."""
        if data is None or member is None:
            self._add(out, What.MISSING_PARTS, "its leaf (.json) is not in the segment", None)
            return None
        if step.proof is Proof.MENDED and step.leaf is not None:
            text = f"one bit of {member.name} is altered; with it turned back the leaf is the one that was signed"
            self._add(out, What.ALTERED_BYTES, text, member, at=member.data + step.offset)
            data = step.leaf
        elif step.proof is Proof.WRONG:
            self._add_wrong(out, step, member)
            return None
        try:
            leaf = leaves.parse(data)
            if leaf.common.index != out.index:
                raise EvidenceError(f"it says that it is leaf {leaf.common.index}")
        except EvidenceError as err:
            # Signed and malformed is the camera's fault; unsigned and malformed is damage.
            proven = step.proof in (Proof.PROVEN, Proof.MENDED)
            what = What.BAD_LEAF if proven else What.ALTERED_BYTES
            self._add(out, what, f"{member.name}: {err.message}", member)
            return None
        if step.proof is Proof.UNKNOWN:
            self._unknown.append(out.index)
        return leaf

    def _add_wrong(self, out: Outcome, step: Step, member: Member) -> None:
        if step.blamed != out.index:
            text = f"one of the leaves {step.blamed} to {out.index} is not what was signed"
            self._add(out, What.ALTERED_BYTES, text, member, sure=Sure.LIKELY)
        else:
            self._add(out, What.ALTERED_BYTES, f"{member.name} is not the leaf that was signed", member)

    def _check_leaf(self, out: Outcome, leaf: leaves.Leaf, checked: CheckedNote, signed: Member | None) -> None:
        facts, common = self._facts, leaf.common
        if facts.session and common.camera != facts.session.camera:
            text = f"the leaf is of camera {common.camera}, the chain of {facts.session.camera}"
            self._add(out, What.OTHER_CAMERA, text, None)
        if facts.chain is not None:
            self._chains.hear(out, common.chain == facts.chain_sha256)
        if isinstance(leaf, leaves.MediaLeaf):
            if facts.init is not None:
                self._inits.hear(out, leaf.init == facts.init_sha256)
            if leaf.recording != facts.media_of:
                self._add(out, What.BAD_LEAF, f"the leaf is of recording {leaf.recording}", None)
        elif leaf.kind in leaves.IDENTITY_KINDS and checked.what is None and not checked.by_identity:
            text = f"the checkpoint of this {leaf.kind.value} leaf lacks the identity key's signature"
            out.lacks = _placed(self._finding(out, What.MISSING_SIGNATURE, text, signed), leaf)

    # -- checkpoint ------------------------------------------------------------------------------------------------

    def _note(self, member: Member | None) -> CheckedNote:
        if member is None:
            text = "its checkpoint (.note) is not in the segment"
            return CheckedNote(None, what=What.MISSING_PARTS, text=text)
        return check_note(self._read(member), self._facts.origin, self._facts.session)

    def _settle_by_signature(self, checked: CheckedNote, tracker: Tracker) -> CheckedNote:
        """A checkpoint whose text was altered still proves the leaves, if its signature is over the right text."""
        session, frontier = self._facts.session, tracker.frontier
        if checked.parsed is None or session is None or frontier is None:
            return checked
        right = note.Checkpoint(self._facts.origin, frontier.size, frontier.root())
        if checked.parsed.text == right.text() or not signs(checked.parsed, right.text(), right.origin, session):
            return checked
        tracker.settle()
        return CheckedNote(
            right, True, What.ALTERED_BYTES, "the text of the checkpoint is altered; its signature shows the true one"
        )

    # -- sealed bytes ----------------------------------------------------------------------------------------------

    def _check_sealed(self, out: Outcome, member: Member | None, leaf: leaves.Leaf | None) -> None:
        if leaf is None:
            return
        if member is None:
            self._add(out, What.MISSING_PARTS, "its sealed bytes (.age) are not in the segment", None)
            return
        data, wanted = self._read(member), leaf.common.sealed
        out.size = len(data)
        found = leaves.Sealed.of(data, min(wanted.header_size, len(data)))
        if found == wanted:
            self._check_age_header(out, data, wanted, member)
            return
        other = self._entries.digests.get(found.sha256)
        if other is not None and other != out.index:
            text = f"{member.name} holds the sealed bytes of leaf {other}"
            self._add(out, What.SWAPPED_ENTRIES, text, member)
            return
        self._add(out, What.ALTERED_BYTES, f"{member.name} {_difference(found, wanted)}", member)

    def _check_age_header(self, out: Outcome, data: bytes, wanted: leaves.Sealed, member: Member) -> None:
        try:
            if age.split_header(data) == wanted.header_size:
                return
            text = "its age header ends elsewhere than its leaf says"
        except EvidenceError as err:
            text = err.message
        self._add(out, What.BAD_LEAF, f"{member.name}: {text}", member)

    def _read(self, member: Member) -> bytes:
        return self._window.at(member.data, member.size)

    def _add(
        self,
        out: Outcome,
        what: What,
        text: str,
        member: Member | None,
        at: int | None = None,
        sure: Sure = Sure.PROVEN,
    ) -> None:
        out.findings.append(self._finding(out, what, text, member, at, sure))

    def _finding(
        self,
        out: Outcome,
        what: What,
        text: str,
        member: Member | None,
        at: int | None = None,
        sure: Sure = Sure.PROVEN,
    ) -> Finding:
        offset = at if at is not None else (member.data if member else None)
        f = self._facts
        return Finding(what, text, f.segment, f.recording, out.index, offset=offset, sure=sure)


def _placed(finding: Finding, leaf: leaves.Leaf | None) -> Finding:
    """The finding with the part and the time of its leaf, where that can be believed."""
    if leaf is None:
        return finding
    part = leaf.part if isinstance(leaf, leaves.MediaLeaf) else None
    return replace(finding, part_first=part, when=when(leaf.common.stamp))


def _other_head(head: note.Checkpoint, index: int) -> str:
    return f"the checkpoint is of {head.size} leaves of {head.origin}, where {index + 1} leaves end"


def _difference(found: leaves.Sealed, wanted: leaves.Sealed) -> str:
    if found.size != wanted.size:
        return f"has {found.size} bytes, its leaf says {wanted.size}"
    if found.header_sha256 != wanted.header_sha256:
        also = " and in its payload" if found.payload_sha256 != wanted.payload_sha256 else ""
        return f"is altered in its age header{also}"
    if found.payload_sha256 != wanted.payload_sha256:
        return "is altered in its payload"
    return "is not what its leaf says"


@dataclass
class _Named:
    """A file of the segment's head that leaves name by its digest. Where it fits none of them, the file is altered;
    where it fits some, the others are wrong.
    """

    member: Member | None
    name: str
    fits: int = 0
    misses: list[Outcome] = field(default_factory=list)

    def hear(self, out: Outcome, fits: bool) -> None:
        if fits:
            self.fits += 1
        else:
            self.misses.append(out)

    def findings(self, facts: Facts) -> list[Finding]:
        if self.misses and not self.fits and self.member is not None:
            text = f"{self.name} is not the one its leaves name"
            at = self.member.data
            return [Finding(What.ALTERED_BYTES, text, facts.segment, facts.recording, offset=at)]
        if self.name == pack.INIT and self.member is not None and not self.fits and not self.misses:
            text = f"no leaf here names {self.name}, so nothing in this segment proves its bytes"
            return [Finding(What.UNCHECKED, text, facts.segment, facts.recording)]
        text = f"the leaf names another {self.name} than its segment's"
        return [
            _placed(Finding(What.BAD_LEAF, text, facts.segment, facts.recording, o.index), o.leaf) for o in self.misses
        ]


def believed_origin(window: Window, entries: Entries, origin: str | None, session: certs.Session | None) -> str:
    """The log's name as its signed checkpoints give it, whatever segment.json says."""
    said = origin
    for index in entries.indexes[:4]:
        member = entries.slots[index].get("note")
        if member is None:
            continue
        data = window.at(member.data, member.size)
        try:
            told = note.parse_checkpoint(note.parse(data).text).origin
        except EvidenceError:
            continue
        if told == origin:
            return told
        if session is None or check_note(data, told, session).head is not None:
            return told
        said = said or told
    return said or UNKNOWN_ORIGIN
