"""Which member is which entry: by its name, and by what it says of itself, so that what was swapped, repeated or
renamed is told apart from what was altered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.errors import EvidenceError
from agent.evidence.blobs import Window
from agent.evidence.findings import What
from agent.evidence.layout import Damage, Layout, Member, same_bytes
from agent.formats import leaf as leaves
from agent.formats import note

_RANK = {"age": 0, "json": 1, "note": 2}
_LEAVES_KEPT = 512
"""A minute of parts has 120. Leaves of events may be long, and are read again where they are needed."""
MAX_VOTES = 1_000
"""Different values that are counted; an honest segment has one or two."""


@dataclass
class Entries:
    """`slots[index][kind]` is the member that holds this part of the entry. `digests` says which leaf names an
    .age file of that SHA-256. `media` holds the leaf that a member is, by the member's offset, for the first of them.
    """

    slots: dict[int, dict[str, Member]] = field(default_factory=dict)
    digests: dict[str, int] = field(default_factory=dict)
    chains: dict[str, int] = field(default_factory=dict)
    inits: dict[str, int] = field(default_factory=dict)
    cameras: dict[str, int] = field(default_factory=dict)
    recordings: dict[str, int] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    media: dict[int, leaves.MediaLeaf] = field(default_factory=dict)

    @staticmethod
    def most(votes: dict[str, int], preferred: str | None = None) -> str | None:
        """What most leaves say; `preferred` where no other value has more votes."""
        best = max(votes, key=lambda v: votes[v], default=None)
        return preferred if preferred is not None and best is not None and votes.get(preferred) == votes[best] else best

    def drop_incomplete_last(self) -> int | None:
        """Forget the last entry in the file if one of its members is not there; its index."""
        if self.slots:
            last = max(self.slots, key=lambda i: max(m.offset for m in self.slots[i].values()))
            if len(self.slots[last]) < 3:
                del self.slots[last]
                return last
        return None

    @property
    def indexes(self) -> list[int]:
        return sorted(self.slots)


@dataclass(frozen=True, slots=True)
class _Claim:
    member: Member
    index: int | None


def assemble(window: Window, layout: Layout) -> Entries:
    """Give every member its place. Leaves and notes are read one at a time; only some leaves of parts are kept."""
    entries = Entries()
    claims = _follow([_Claim(m, _claimed(window, m, entries)) for m in layout.members if m.index >= 0])
    named = {c.member.index for c in claims}
    repeated: list[tuple[int, Member, bool]] = []
    moved: list[tuple[int, Member]] = []
    for claim in (c for c in claims if c.index == c.member.index):
        held = entries.slots.setdefault(claim.member.index, {}).setdefault(claim.member.kind, claim.member)
        if held is not claim.member:
            repeated.append((claim.member.index, claim.member, same_bytes(window, held, claim.member)))
    for claim in (c for c in claims if c.index != c.member.index):
        _place_stray(window, claim, named, entries, repeated, moved)
    entries.damages += _tell_repeated(repeated)
    entries.damages += _tell_moved(moved)
    entries.damages += _tell_order(entries, {index for index, _ in moved})
    return entries


def _follow(claims: list[_Claim]) -> list[_Claim]:
    """An .age file says nothing of itself: it goes where the leaf and the checkpoint under its name go together."""
    said: dict[int, set[int | None]] = {}
    for claim in claims:
        if claim.member.kind != "age":
            said.setdefault(claim.member.index, set()).add(claim.index)
    out = []
    for claim in claims:
        told = said.get(claim.member.index, set())
        to = next(iter(told)) if claim.member.kind == "age" and len(told) == 1 else None
        out.append(_Claim(claim.member, to) if to is not None else claim)
    return out


def _claimed(window: Window, member: Member, entries: Entries) -> int | None:
    """The log index that the member's content gives; an .age file gives none but its name."""
    if member.kind == "age":
        return member.index
    try:
        data = window.at(member.data, member.size)
        if member.kind == "note":
            return note.parse_checkpoint(note.parse(data).text).size - 1
        leaf = leaves.parse(data)
    except EvidenceError:
        return None
    common = leaf.common
    entries.digests.setdefault(common.sealed.sha256, common.index)
    _vote(entries.chains, common.chain)
    _vote(entries.cameras, common.camera)
    if isinstance(leaf, leaves.MediaLeaf):
        _vote(entries.inits, leaf.init)
        _vote(entries.recordings, leaf.recording)
        if len(entries.media) < _LEAVES_KEPT:
            entries.media[member.offset] = leaf
    return common.index


def _vote(votes: dict[str, int], value: str) -> None:
    if value in votes or len(votes) < MAX_VOTES:
        votes[value] = votes.get(value, 0) + 1


def _place_stray(
    window: Window,
    claim: _Claim,
    named: set[int],
    entries: Entries,
    repeated: list[tuple[int, Member, bool]],
    moved: list[tuple[int, Member]],
) -> None:
    """A member whose name and content disagree: moved here, a copy of another, or altered."""
    member, said = claim.member, claim.index
    if said is not None and said in named:
        there = entries.slots.setdefault(said, {})
        if member.kind not in there:
            there[member.kind] = member
            moved.append((said, member))
            return
        if same_bytes(window, there[member.kind], member):
            repeated.append((said, member, True))
            return
    held = entries.slots.setdefault(member.index, {}).setdefault(member.kind, member)
    if held is not member:
        repeated.append((member.index, member, False))


def _tell_repeated(repeated: list[tuple[int, Member, bool]]) -> Iterator[Damage]:
    by_index: dict[int, list[tuple[Member, bool]]] = {}
    for index, member, same in repeated:
        by_index.setdefault(index, []).append((member, same))
    for index, members in sorted(by_index.items()):
        names = ", ".join(m.name for m, _ in members)
        how = "byte for byte" if all(same for _, same in members) else "with other content"
        at = min(m.offset for m, _ in members)
        yield Damage(What.REPEATED_ENTRY, at, f"entry {index} stands here again, {how} ({names})", index)


def _tell_moved(moved: list[tuple[int, Member]]) -> Iterator[Damage]:
    """One finding for all of them: where one member is out of its place, so is at least one more."""
    if moved:
        moved = sorted(moved, key=lambda m: m[1].offset)
        shown = ", ".join(f"{m.name} holds what belongs to entry {i}" for i, m in moved[:6])
        more = f", and {len(moved) - 6} more" if len(moved) > 6 else ""
        yield Damage(What.SWAPPED_ENTRIES, moved[0][1].offset, shown + more, min(index for index, _ in moved))


def _tell_order(entries: Entries, told: set[int]) -> Iterator[Damage]:
    """One finding for each run of members that stand in another order than that of the log, but those told of."""
    members = [m for index, slot in entries.slots.items() if index not in told for m in slot.values()]
    places = {id(m): (i, _RANK[k]) for i, slot in entries.slots.items() for k, m in slot.items()}
    stand = sorted(members, key=lambda m: m.offset)
    run: list[Member] = []
    highest = (-1, 0)
    for member, wanted in zip(stand, sorted(members, key=lambda m: places[id(m)]), strict=True):
        run.append(member)
        highest = max(highest, places[id(member)])
        # Where the members so far are those that belong so far, in whatever order, a run ends.
        if highest == places[id(wanted)]:
            if len(run) > 1:
                yield _order(run, entries)
            run = []


def _order(run: list[Member], entries: Entries) -> Damage:
    indexes = list(dict.fromkeys(m.index for m in run))
    if len(indexes) == 1:
        slot = sorted(entries.slots[indexes[0]].values(), key=lambda m: m.offset)
        shown, who = ", ".join(f".{m.kind}" for m in slot), "its members"
    else:
        who = f"{len(indexes)} entries"
        shown = ", ".join(map(str, indexes[:12])) + (", ..." if len(indexes) > 12 else "")
    text = f"{who} stand in another order than they were written: {shown}"
    return Damage(What.SWAPPED_ENTRIES, run[0].offset, text, min(indexes))
