"""The tree against RFC 6962's recursive definition, published vectors, and Go's golang.org/x/mod/sumdb/tlog."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EvidenceError
from agent.formats import merkle
from agent.formats.merkle import Frontier, TileId
from tests.builders import frontier_of

VECTORS = Path(__file__).parent.parent / "vectors" / "merkle" / "go-tlog.json"

# The eight leaves and roots that Certificate Transparency implementations share (RFC 6962 test data).
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaf_hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"leaf %d" % n) for n in range(count)]


def naive_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(hashes[:k]) + naive_root(hashes[k:])).digest()


def subtree_of(hashes: list[bytes]) -> merkle.Subtree:
    return lambda start, end: naive_root(hashes[start:end])


def tile_store(hashes: list[bytes]) -> dict[str, bytes]:
    """All tiles of a tree, each from the definition."""
    tiles = {}
    for tile in merkle.tiles_of(len(hashes)):
        span = merkle.TILE_WIDTH**tile.level
        first = tile.index * merkle.TILE_WIDTH
        tiles[tile.path] = b"".join(
            naive_root(hashes[(first + n) * span : (first + n + 1) * span]) for n in range(tile.width)
        )
    return tiles


def test_the_roots_of_certificate_transparency() -> None:
    frontier = Frontier()
    assert frontier.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for leaf, root in zip(CT_LEAVES, CT_ROOTS, strict=True):
        frontier = frontier.append(merkle.leaf_hash(bytes.fromhex(leaf)))
        assert frontier.root().hex() == root


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 300))
def test_the_frontier_gives_the_root_of_the_definition(size: int) -> None:
    hashes = leaf_hashes(size)
    frontier = frontier_of(hashes)
    assert frontier.size == size
    assert frontier.root() == naive_root(hashes)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_inclusion_proofs(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 130))
    index = data.draw(st.integers(0, size - 1))
    hashes = leaf_hashes(size)
    proof = merkle.inclusion_proof(index, size, subtree_of(hashes))
    root = naive_root(hashes)
    merkle.verify_inclusion(hashes[index], index, size, proof, root)
    for wrong in bad_proofs(proof):
        with pytest.raises(EvidenceError):
            merkle.verify_inclusion(hashes[index], index, size, wrong, root)
    for other in {(index + 1) % size, index ^ 1} - {index}:
        with pytest.raises(EvidenceError):
            merkle.verify_inclusion(hashes[index], other, size, proof, root)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_consistency_proofs(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 130))
    old = data.draw(st.integers(0, new))
    hashes = leaf_hashes(new)
    proof = merkle.consistency_proof(old, new, subtree_of(hashes))
    roots = naive_root(hashes[:old]), naive_root(hashes)
    merkle.verify_consistency(old, roots[0], new, roots[1], proof)
    for wrong in bad_proofs(proof):
        with pytest.raises(EvidenceError):
            merkle.verify_consistency(old, roots[0], new, roots[1], wrong)
    other = hashlib.sha256(b"another history").digest()
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(old, other, new, roots[1], proof)
    if old:
        with pytest.raises(EvidenceError):
            merkle.verify_consistency(old, roots[0], new, other, proof)


def bad_proofs(proof: list[bytes]) -> list[list[bytes]]:
    stray = hashlib.sha256(b"stray").digest()
    wrong = [[*proof, stray], [stray, *proof]]
    for i in range(len(proof)):
        wrong += [proof[:i] + proof[i + 1 :], [*proof[:i], stray, *proof[i + 1 :]]]
    return wrong


def test_what_go_says() -> None:
    """Roots, record proofs and tree proofs made by golang.org/x/mod/sumdb/tlog (tests/vectors/merkle/generate.go)."""
    vectors = json.loads(VECTORS.read_text())
    hashes = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in vectors["leaves"]]
    assert [frontier_of(hashes[:n]).root().hex() for n in range(1, len(hashes) + 1)] == vectors["roots"]
    subtree = subtree_of(hashes)
    for told in vectors["records"]:
        proof = merkle.inclusion_proof(told["index"], told["size"], subtree)
        assert [p.hex() for p in proof] == told["proof"]
        root = bytes.fromhex(vectors["roots"][told["size"] - 1])
        merkle.verify_inclusion(hashes[told["index"]], told["index"], told["size"], proof, root)
    for told in vectors["trees"]:
        proof = merkle.consistency_proof(told["old"], told["new"], subtree)
        assert [p.hex() for p in proof] == told["proof"]
        roots = [bytes.fromhex(vectors["roots"][told[k] - 1]) for k in ("old", "new")]
        merkle.verify_consistency(told["old"], roots[0], told["new"], roots[1], proof)
    for told in vectors["tiles"]:
        tile = TileId(told["level"], told["index"], told["width"])
        assert tile.path == told["path"]
        assert merkle.parse_tile_path(told["path"]) == tile


@pytest.mark.wide
@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 1000, 66_000])
def test_the_tree_read_from_tiles(size: int) -> None:
    hashes = leaf_hashes(size)
    # The definition costs too much at the largest size; the frontier is proven against it above.
    tiles = tile_store(hashes) if size <= 1000 else fast_tiles(hashes)
    tree = merkle.TileTree(size, lambda tile: tiles.get(tile.path))
    assert tree.frontier() == frontier_of(hashes)
    chosen = random.Random(size)
    for _ in range(5):
        index, older = chosen.randrange(size), chosen.randrange(1, size + 1)
        proof = merkle.inclusion_proof(index, size, tree.subtree)
        merkle.verify_inclusion(hashes[index], index, size, proof, frontier_of(hashes).root())
        proof = merkle.consistency_proof(older, size, tree.subtree)
        merkle.verify_consistency(older, frontier_of(hashes[:older]).root(), size, frontier_of(hashes).root(), proof)


def fast_tiles(hashes: list[bytes]) -> dict[str, bytes]:
    tiles, rows = {}, hashes
    level = 0
    while rows:
        for at in range(0, len(rows), merkle.TILE_WIDTH):
            row = rows[at : at + merkle.TILE_WIDTH]
            tiles[TileId(level, at // merkle.TILE_WIDTH, len(row)).path] = b"".join(row)
        full = len(rows) // merkle.TILE_WIDTH
        rows = [frontier_of(rows[n * merkle.TILE_WIDTH : (n + 1) * merkle.TILE_WIDTH]).root() for n in range(full)]
        level += 1
    return tiles


def test_a_missing_or_short_tile_is_named() -> None:
    tiles = tile_store(leaf_hashes(300))
    for path in list(tiles):
        for broken in (None, tiles[path][:-1]):
            held = {**tiles, path: broken}
            with pytest.raises(EvidenceError, match="tile"):
                merkle.TileTree(300, lambda tile, held=held: held.get(tile.path)).frontier()
                merkle.TileTree(300, lambda tile, held=held: held.get(tile.path)).subtree(0, 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_new_tiles_are_those_that_a_holder_of_the_old_ones_lacks(a: int, b: int) -> None:
    old, new = sorted((a, b))
    held, wanted = set(merkle.tiles_of(old)), set(merkle.tiles_of(new))
    fresh = set(merkle.new_tiles(old, new))
    assert fresh <= wanted
    # What is left out was there before, or lies in a full tile's place unchanged.
    assert wanted - fresh <= held


@given(st.integers(0, 63), st.integers(0, 10**15), st.integers(1, 256))
def test_tile_paths_round_trip(level: int, index: int, width: int) -> None:
    tile = TileId(level, index, width)
    assert merkle.parse_tile_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "", "tile", "tile/0", "tile/0/1", "tile/0/0001", "tile/00/000", "tile/-1/000", "tile/64/000", "tile/0/x000/000",
        "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/257", "tile/0/000.p/01", "tile/0/000.p/", "tile/0/../000",
        "tile/0/000/", "/tile/0/000", "tile/0/000\n", "tile/0/0\u0660\u0660", "tile/x/000", "tile/0/001/000",
        "tile/0/-02", "tile/0/-2", "tile/63/-1002", "tile/0/+01", "tile/0/0_1", "tile/0/ 01", "tile/0/001.p/-1",
    ],
)  # fmt: skip
def test_another_spelling_of_a_tile_path_is_refused(path: str) -> None:
    with pytest.raises(EvidenceError):
        merkle.parse_tile_path(path)


def test_a_frontier_has_one_hash_for_each_bit() -> None:
    whole = frontier_of(leaf_hashes(5))
    with pytest.raises(EvidenceError):
        Frontier(4, whole.hashes)
    with pytest.raises(EvidenceError):
        Frontier(5, (whole.hashes[0], whole.hashes[1][:-1]))
    with pytest.raises(EvidenceError):
        Frontier(-1, ())
