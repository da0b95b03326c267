"""The members of one segment file, however damaged it is: where each lies, and every place that is not as written.

Where a header is not in its one spelling, reading goes on at the next one that is, whether or not it stands on a
block boundary; a header that is damaged in a few bytes is read as what it must have been.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from agent.evidence.blobs import CHUNK, Window
from agent.evidence.findings import Sure, What
from agent.evidence.sources import parse_header
from agent.formats import pack

MAX_MEMBERS = 400_000
MAX_DAMAGES = 2_000
MEND_BYTES = 8
"""A header that differs from a possible one in at most this many of its 512 bytes is taken for it."""
_ENTRY = re.compile(r"([0-9]{10})\.(age|json|note)")
_NAMES_KEPT = 4_096
_LIMITS = {"age": pack.MAX_SEALED, "json": pack.MAX_LEAF, "note": pack.MAX_NOTE}
_HEAD = (pack.INIT, pack.HEADER, pack.CHAIN)
# Where every member header has these bytes: the search for the next header looks for them.
_MAGIC, _MAGIC_AT = b"ustar\x0000", 257
_NAME_AND_SIZE = (slice(0, 100), slice(124, 136))


@lru_cache(_NAMES_KEPT)
def _index_and_kind(name: str) -> tuple[int, str]:
    """What the name of a member says; (-1, name) before the first entry. Asked several times for each member."""
    match = _ENTRY.fullmatch(name)
    return (int(match[1]), match[2]) if match else (-1, name)


@dataclass(frozen=True, slots=True)
class Member:
    """One member whose header starts at byte `offset`; `size` bytes of data follow the header."""

    name: str
    offset: int
    size: int

    @property
    def data(self) -> int:
        return self.offset + pack.BLOCK

    @property
    def end(self) -> int:
        return self.data + self.size + -self.size % pack.BLOCK

    @property
    def index(self) -> int:
        """Log index in its name; -1 for the members before the first entry."""
        return _index_and_kind(self.name)[0]

    @property
    def kind(self) -> str:
        return _index_and_kind(self.name)[1]


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where the file itself is not a segment, whatever its contents say."""

    what: What
    offset: int
    text: str
    index: int | None = None
    sure: Sure = Sure.PROVEN


@dataclass
class Layout:
    """`sealed` where the trailer is there; `cut_at` is where the file ends too early, None where it does not."""

    members: list[Member] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    sealed: bool = False
    cut_at: int | None = None

    def head(self, name: str) -> Member | None:
        """The member of this name: that in its right place where it stands more than once, else the first."""
        best: tuple[int, Member] | None = None
        for i, member in enumerate(self.members):
            if member.name == name:
                before, after = self.members[i - 1].name if i else None, self.members[i + 1 : i + 2]
                fits = may_follow(before, name) + any(may_follow(name, m.name) for m in after)
                best = (fits, member) if best is None or fits > best[0] else best
        return best[1] if best else None

    def misfit(self) -> Member | None:
        """The first member that stands after one it does not belong after."""
        for before, member in pairwise([None, *self.members]):
            if member is not None and not may_follow(before.name if before else None, member.name):
                return member
        return None

    def drop_old_blocks(self, first: int, known: bool) -> bool:
        """Of a segment that is still open, and holds no leaf before `first`: forget what stands in its torn end from an
        earlier use of those blocks, and say whether there was any. Where a member of a later entry follows, that is no
        torn end, and nothing is dropped. `known` tells that the leaves before `first` are elsewhere, so none of them is
        an entry of this segment.
        """
        stray = self.misfit()
        if known:
            stray = next((m for m in self.members if m is stray or 0 <= m.index < first), None)
        if stray is None:
            return False
        at = self.members.index(stray)
        torn = max([first, *(m.index + (m.kind == "note") for m in self.members[:at])])
        if any(m.index > torn for m in self.members[at:]):
            return False
        self.members = self.members[:at]
        self.damages = [d for d in self.damages if d.offset < stray.offset]
        return True


def limit_of(name: str) -> int | None:
    """The most bytes a member of this name may have; None where no segment has such a member."""
    if name in _HEAD:
        return pack.MAX_HEADER
    index, kind = _index_and_kind(name)
    return _LIMITS[kind] if index >= 0 else None


def successor(name: str | None) -> set[str]:
    """Names that may follow this member."""
    if name is None:
        return {pack.INIT, pack.HEADER}
    if name in _HEAD[:2]:
        return {_HEAD[_HEAD.index(name) + 1]}
    match = _ENTRY.fullmatch(name)
    if not match:
        return set()
    kind = {"age": "json", "json": "note", "note": "age"}[match[2]]
    return {f"{int(match[1]) + (match[2] == 'note'):010d}.{kind}"}


def may_follow(before: str | None, name: str) -> bool:
    """Whether a member of this name may stand after that one; which entry comes first, chain.pem cannot say."""
    return name in successor(before) or (before == pack.CHAIN and name.endswith(".age") and name != pack.INIT)


def same_bytes(window: Window, one: Member, other: Member) -> bool:
    """Whether two members hold the same data."""
    return one.size == other.size and window.at(one.data, one.size) == window.at(other.data, other.size)


def predecessor(name: str | None) -> set[str]:
    """Names that may stand before this member."""
    if name in _HEAD[1:]:
        return {_HEAD[_HEAD.index(name) - 1]}
    match = _ENTRY.fullmatch(name or "")
    if not match:
        return set()
    kind = {"age": "note", "json": "age", "note": "json"}[match[2]]
    number = int(match[1]) - (match[2] == "age")
    return {f"{number:010d}.{kind}"} if number >= 0 else set()


class Scanner:
    """One pass over the headers; the data between them is not read, but for padding and where damage is met."""

    def __init__(self, window: Window) -> None:
        self._w = window
        self._zeros: list[tuple[int, int]] = []
        self.layout = Layout()

    def run(self, head_only: bool = False) -> Layout:
        """Read to the end, or to the end of the first entry."""
        at, layout = 0, self.layout
        while at < self._w.size and layout.cut_at is None and not layout.sealed:
            if len(layout.members) >= MAX_MEMBERS or len(layout.damages) >= MAX_DAMAGES:
                self._damage(What.NOT_A_SEGMENT, at, "too many members or damages; the rest was not read")
                return layout
            block = self._w.at(at, pack.BLOCK)
            found = parse_header(block) if len(block) == pack.BLOCK else None
            if found and (limit := limit_of(found[0])) is not None and found[1] <= limit:
                at = self._member(at, *found)
            elif found and limit_of(found[0]) is None:
                at = self._stranger(at, *found)
            else:
                at = self._damaged(at, block)
            if head_only and layout.members and layout.members[-1].kind == "note":
                return layout
        if not layout.sealed and layout.cut_at is None:
            layout.cut_at = self._w.size
        return layout

    # -- members ---------------------------------------------------------------------------------------------------

    def _member(self, at: int, name: str, size: int) -> int:
        member = Member(name, at, size)
        if member.end > self._w.size:
            inside = self._find(member.data)
            if inside is not None:
                return self._shortened(member, inside[0])
            self.layout.cut_at = self._w.size
            return self._w.size
        pad = self._w.at(member.data + size, -size % pack.BLOCK)
        if any(pad):
            first = next(i for i, byte in enumerate(pad) if byte)
            self._damage(What.ALTERED_BYTES, member.data + size + first, f"the padding of {name} is not zero", member)
        self.layout.members.append(member)
        return member.end

    def _stranger(self, at: int, name: str, size: int) -> int:
        self._damage(What.INSERTED_BYTES, at, f"a member {name!r} does not belong in a segment")
        return min(at + pack.BLOCK + size + -size % pack.BLOCK, self._w.size)

    def _shortened(self, member: Member, end: int) -> int:
        gone = member.end - end
        self._damage(
            What.ALTERED_BYTES, member.data, f"{gone} bytes are missing from {member.name} or after it", member
        )
        self.layout.members.append(replace(member, size=max(0, end - member.data)))
        return end

    # -- damage ----------------------------------------------------------------------------------------------------

    def _damaged(self, at: int, block: bytes) -> int:
        """Something that is no header stands where one belongs. Returns where to read on."""
        if self._is_zero(at):
            return self._tail_of_zeros(at)
        members = self.layout.members
        if members and (inside := self._find(members[-1].data, at)) is not None:
            return self._shortened(members.pop(), inside[0])
        hit = self._find(at)
        return self._header_lost(at, block, hit) if hit else self._last_header_lost(at, block)

    def _header_lost(self, at: int, block: bytes, hit: tuple[int, str]) -> int:
        previous = self.layout.members[-1].name if self.layout.members else None
        mended = self._mend(at, block, hit[0], successor(previous) | predecessor(hit[1]))
        if mended:
            return mended.end
        if hit[1] in successor(previous):
            text = f"{hit[0] - at} bytes that are no member stand before {hit[1]}"
            self._damage(What.INSERTED_BYTES, at, text)
        else:
            expected = " or ".join(sorted(successor(previous))) or "a member"
            text = f"{hit[0] - at} bytes are no member of a segment where {expected} belongs"
            self._damage(What.ALTERED_BYTES, at, text)
        return hit[0]

    def _last_header_lost(self, at: int, block: bytes) -> int:
        """No header follows any more: a damaged trailer, a damaged last member, or a file cut inside a header."""
        size, end = self._w.size, self._w.size - len(pack.TRAILER)
        previous = self.layout.members[-1].name if self.layout.members else None
        if at == end or (at < end and self._is_zero(end) and self._mend(at, block, end, successor(previous))):
            return self._trailer(end)
        if block == bytes(pack.BLOCK) and self._w.at(at, len(pack.TRAILER)) == pack.TRAILER:
            text = f"{size - at - len(pack.TRAILER)} bytes follow the trailer"
            self._damage(What.INSERTED_BYTES, at + len(pack.TRAILER), text)
            self.layout.sealed = True
        elif at < end and self._is_zero(end):
            self._damage(What.ALTERED_BYTES, at, f"the last {end - at} bytes before the trailer are no members")
            self.layout.sealed = True
        else:
            self.layout.cut_at = size
        return size

    def _mend(self, at: int, block: bytes, end: int, names: set[str]) -> Member | None:
        """The member whose header at `at` is damaged in a few bytes, where it ends at `end`."""
        parsed = block[:100].rstrip(b"\0").decode("ascii", "replace")
        expected = frozenset(names)
        names |= {parsed} if limit_of(parsed) is not None and parsed.isascii() else set()
        most = end - at - pack.BLOCK
        if len(block) < pack.BLOCK or most < 0 or most > pack.MAX_SEALED + pack.BLOCK:
            return None
        tail = self._w.at(max(at + pack.BLOCK, end - pack.BLOCK), min(pack.BLOCK, most))
        data_end = most - len(tail) + len(tail.rstrip(b"\0"))
        # One whose checksum is right was not damaged but written by somebody else: its name and size are what it says.
        rewritten = block[148:156] == _checksum(block)
        best: tuple[bool, int, bool, int, Member] | None = None
        for name in sorted(names):
            for size in range(max(0, most - pack.BLOCK + 1), min(most, limit_of(name) or 0) + 1):
                wanted = pack.member_header(name, size)
                other = rewritten and any(wanted[field] != block[field] for field in _NAME_AND_SIZE)
                wrong = _bytes_apart(wanted, block)
                # As near as another: the name that belongs here, then the size that ends where the data does.
                rank = (other, wrong, name not in expected, abs(size - data_end), Member(name, at, size))
                if best is None or rank[:4] < best[:4]:
                    best = rank
        if best is None or (best[1] > MEND_BYTES and (best[0] or not rewritten)):
            return None
        member = best[4]
        wanted = pack.member_header(member.name, member.size)
        first = next(i for i in range(pack.BLOCK) if wanted[i] != block[i])
        self._damage(What.ALTERED_BYTES, at + first, f"the header of {member.name} is altered", member)
        self._member(at, member.name, member.size)
        return member

    # -- the end ---------------------------------------------------------------------------------------------------

    def _tail_of_zeros(self, at: int) -> int:
        left = self._w.size - at
        if left < len(pack.TRAILER):
            self.layout.cut_at = self._w.size
        else:
            self.layout.sealed = True
            if left > len(pack.TRAILER):
                text = f"{left - len(pack.TRAILER)} zero bytes follow the trailer"
                self._damage(What.INSERTED_BYTES, at + len(pack.TRAILER), text)
        return self._w.size

    def _trailer(self, at: int) -> int:
        self.layout.sealed = True
        data = self._w.at(at, len(pack.TRAILER))
        if any(data):
            first = next(i for i, byte in enumerate(data) if byte)
            self._damage(What.ALTERED_BYTES, at + first, "the trailer is not zero")
        return self._w.size

    def _is_zero(self, at: int) -> bool:
        """Whether nothing but zeros follows. No stretch of them is read twice, however often reading goes back."""
        begin, end = at, self._zeros_end(at)
        while end is None and at < self._w.size:
            piece = self._w.at(at, CHUNK)
            at += len(piece) - len(piece.lstrip(b"\0"))
            if not piece or piece.strip(b"\0"):
                break
            end = self._zeros_end(at)
        if begin < at:
            self._zeros = [s for s in self._zeros if not begin <= s[0] <= at] + [(begin, at if end is None else end)]
        return (at if end is None else end) >= self._w.size

    def _zeros_end(self, at: int) -> int | None:
        """Where a stretch of zeros that is known ends, at another byte or the end of the file; None outside of any."""
        return next((end for first, end in self._zeros if first <= at < end), None)

    def _find(self, start: int, end: int | None = None) -> tuple[int, str] | None:
        """(offset, name) of the first good header that begins in start <= offset < end."""
        end = self._w.size if end is None else end
        at = start
        while at < end:
            piece = self._w.at(at, CHUNK + pack.BLOCK)
            hit = piece.find(_MAGIC)
            while hit >= 0:
                offset = at + hit - _MAGIC_AT
                if start <= offset < end:
                    found = parse_header(self._w.at(offset, pack.BLOCK))
                    if found and (limit_of(found[0]) or -1) >= found[1]:
                        return offset, found[0]
                hit = piece.find(_MAGIC, hit + 1)
            at += CHUNK
        return None

    def _damage(self, what: What, offset: int, text: str, member: Member | None = None) -> None:
        index = member.index if member and member.index >= 0 else None
        self.layout.damages.append(Damage(what, offset, text, index))


def _checksum(block: bytes) -> bytes:
    return b"%06o\0 " % (sum(block[:148]) + sum(block[156:]) + 8 * 0x20)


def _bytes_apart(one: bytes, other: bytes) -> int:
    """In how many of their bytes two blocks of equal length differ."""
    difference = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return len(one) - difference.to_bytes(len(one), "big").count(0)
