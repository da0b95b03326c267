"""The log's tree: RFC 6962 hashes, compact frontier, inclusion and consistency proofs, and C2SP tlog-tiles
addressing.

Spec: RFC 6962 section 2.1 (RFC 9162 section 2.1 for the verification algorithms), c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.errors import EvidenceError

HASH_SIZE = 32
TILE_WIDTH = 256
MAX_SIZE = 1 << 62
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of one leaf's verbatim bytes (domain byte 0x00)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (domain byte 0x01)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree of `size` leaves as the roots of its perfect subtrees, largest (leftmost) first: O(log n) memory.

    Their sizes are the powers of two in `size`, so `len(hashes)` is the number of set bits in `size`.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.hashes) != self.size.bit_count():
            raise EvidenceError(f"a frontier of {len(self.hashes)} hashes does not fit a tree of {self.size} leaves")
        if any(len(h) != HASH_SIZE for h in self.hashes):
            raise EvidenceError("a frontier hash is not 32 bytes long")

    def append(self, hash_of_leaf: bytes) -> Frontier:
        """The tree with one more leaf."""
        hashes, size = [*self.hashes, hash_of_leaf], self.size
        while size & 1:
            right = hashes.pop()
            hashes[-1] = node_hash(hashes[-1], right)
            size >>= 1
        return Frontier(self.size + 1, tuple(hashes))

    def root(self) -> bytes:
        """RFC 6962 Merkle Tree Hash of all leaves so far."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


Subtree = Callable[[int, int], bytes]
"""Given (start, end), the Merkle Tree Hash of leaves start <= i < end."""


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """Merkle Tree Hash over the hashes of one tile, at most 256."""
    frontier = Frontier()
    for value in hashes:
        frontier = frontier.append(value)
    return frontier.root()


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (RFC 6962's k)."""
    return 1 << (count - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, leaf's sibling first."""
    if not 0 <= index < size:
        raise EvidenceError(f"no leaf {index} in a tree of {size}")

    def path(m: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        k = _split(end - start)
        if m < k:
            return [*path(m, start, start + k), subtree(start + k, end)]
        return [*path(m - k, start + k, end), subtree(start, start + k)]

    return path(index, 0, size)


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 section 2.1.2; empty where old is 0 or equals new."""
    if not 0 <= old <= new:
        raise EvidenceError(f"no consistency proof from {old} to {new}")

    def sub(m: int, start: int, end: int, whole: bool) -> list[bytes]:
        if m == end - start:
            return [] if whole else [subtree(start, end)]
        k = _split(end - start)
        if m <= k:
            return [*sub(m, start, start + k, whole), subtree(start + k, end)]
        return [*sub(m - k, start + k, end, False), subtree(start, start + k)]

    return [] if old in (0, new) else sub(old, 0, new, True)


def verify_inclusion(hash_of_leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 section 2.1.3.2. Raises EvidenceError where the proof does not lead to `root`."""
    if not 0 <= index < size <= MAX_SIZE or len(proof) > 64:
        raise EvidenceError(f"inclusion proof: no leaf {index} in a tree of {size}")
    fn, sn, r = index, size - 1, hash_of_leaf
    for p in proof:
        if sn == 0:
            raise EvidenceError("inclusion proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or r != root:
        raise EvidenceError(f"inclusion proof of leaf {index} does not lead to the root of {size} leaves")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.4.2. Raises EvidenceError where `new` is not an extension of `old`."""
    bad = EvidenceError(f"the tree of {new} leaves is not an extension of the tree of {old}")
    if not 0 <= old <= new <= MAX_SIZE or len(proof) > 64:
        raise bad
    if old == new or old == 0:
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise bad
        return
    if proven_roots(old, old_root, new, proof) != (old_root, new_root):
        raise bad


def proven_roots(old: int, old_root: bytes, new: int, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """What a proof of consistency makes of its hashes (0 < `old` < `new`): the roots of the trees of `old` and of `new`
    leaves. Whoever signed the second signed the first with it. None where that is no proof between such trees; where
    `old` is a power of two the proof leaves its root out, and `old_root` is taken.
    """
    if not proof and old.bit_count() != 1:
        return None
    hashes = [old_root, *proof] if old.bit_count() == 1 else list(proof)
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = hashes[0]
    for c in hashes[1:]:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr) if sn == 0 else None


# -- tiles ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class TileId:
    """One tile: level, index within the level, and width (TILE_WIDTH where full)."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Path below the log's prefix, e.g. `tile/0/x001/234.p/12`."""
        digits = f"{self.index % 1000:03d}"
        rest = self.index // 1000
        while rest:
            digits = f"x{rest % 1000:03d}/{digits}"
            rest //= 1000
        return f"tile/{self.level}/{digits}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")


_PATH = re.compile(r"tile/([0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?")


def parse_tile_path(path: str) -> TileId:
    """The inverse of TileId.path; raises EvidenceError on anything that is not exactly such a path."""
    bad = EvidenceError(f"not a tile path: {path[:80]!r}")
    found = _PATH.fullmatch(path) if len(path) <= 100 else None
    if found is None:
        raise bad
    index = int(found[2].replace("x", "").replace("/", ""))
    tile = TileId(int(found[1]), index, int(found[3]) if found[3] else TILE_WIDTH)
    if tile.path != path or not 0 <= tile.level < 64 or not 1 <= tile.width <= TILE_WIDTH:
        raise bad
    return tile


def tiles_of(size: int) -> Iterator[TileId]:
    """Every tile of a tree of `size` leaves, full and partial, lowest level first."""
    level, count = 0, size
    while count:
        for index in range(count // TILE_WIDTH):
            yield TileId(level, index)
        if count % TILE_WIDTH:
            yield TileId(level, count // TILE_WIDTH, count % TILE_WIDTH)
        level, count = level + 1, count // TILE_WIDTH


def new_tiles(old: int, new: int) -> Iterator[TileId]:
    """The tiles of a tree of `new` leaves that a holder of all tiles at `old` leaves lacks."""
    level = 0
    while new:
        first = old // TILE_WIDTH
        for index in range(first, new // TILE_WIDTH):
            yield TileId(level, index)
        if new % TILE_WIDTH and new != old:
            yield TileId(level, new // TILE_WIDTH, new % TILE_WIDTH)
        level, old, new = level + 1, old // TILE_WIDTH, new // TILE_WIDTH


class TileTree:
    """Subtree hashes read from tiles; `read` gives a tile's bytes or None. Raises EvidenceError where a tile
    lacks or is malformed.
    """

    def __init__(self, size: int, read: Callable[[TileId], bytes | None]) -> None:
        self.size = size
        self._read = read
        self._cache: dict[tuple[int, int], bytes] = {}

    def subtree(self, start: int, end: int) -> bytes:
        """Merkle Tree Hash of leaves start <= i < end, as proofs ask for them: start a multiple of the power of
        two that holds the range.
        """
        if not 0 <= start < end <= self.size:
            raise EvidenceError(f"leaves {start} to {end} are outside a tree of {self.size}")
        count = end - start
        if count & (count - 1) == 0:
            return self._node(count.bit_length() - 1, start // count)
        k = _split(count)
        return node_hash(self.subtree(start, start + k), self.subtree(start + k, end))

    def frontier(self) -> Frontier:
        """The compact form of the whole tree."""
        hashes, start = [], 0
        for bit in reversed(range(self.size.bit_length())):
            if self.size >> bit & 1:
                hashes.append(self.subtree(start, start + (1 << bit)))
                start += 1 << bit
        return Frontier(self.size, tuple(hashes))

    def _node(self, height: int, index: int) -> bytes:
        if height % 8:
            return node_hash(self._node(height - 1, 2 * index), self._node(height - 1, 2 * index + 1))
        offset = index % TILE_WIDTH * HASH_SIZE
        return self._tile(height // 8, index // TILE_WIDTH)[offset : offset + HASH_SIZE]

    def _tile(self, level: int, index: int) -> bytes:
        if (level, index) not in self._cache:
            count = (self.size >> 8 * level) - index * TILE_WIDTH
            width = min(count, TILE_WIDTH)
            data = self._read(TileId(level, index, width))
            if data is None and width < TILE_WIDTH:
                data = self._read(TileId(level, index))
            if data is None:
                raise EvidenceError(f"tile {TileId(level, index, width).path} is missing")
            if len(data) < width * HASH_SIZE:
                raise EvidenceError(f"tile {TileId(level, index, width).path} is {len(data)} bytes long")
            if len(self._cache) >= 64:
                self._cache.pop(next(iter(self._cache)))
            self._cache[level, index] = data[: width * HASH_SIZE]
        return self._cache[level, index]
