"""The witness: one history of each log, whatever a camera, or whoever took it, sends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest

from agent.formats import merkle, note
from agent.formats.leaf import Kind
from agent.model import SegmentState
from agent.sealing.session import Session, open_session
from agent.station import admin
from tests.camera_kit import CAMERA, ORIGIN, Desk
from tests.station.kit import Answer, Bench, checkpoint_request


@dataclass
class Tree:
    """A log of random leaves, signed by a real session of the camera."""

    session: Session
    leaves: list[bytes] = field(default_factory=list)

    def grow(self, size: int) -> Tree:
        self.leaves += [os.urandom(32) for _ in range(size - len(self.leaves))]
        return self

    def fork(self, keep: int) -> Tree:
        return Tree(self.session, self.leaves[:keep])

    def subtree(self, start: int, end: int) -> bytes:
        frontier = merkle.Frontier()
        for value in self.leaves[start:end]:
            frontier = frontier.append(value)
        return frontier.root()

    def head(self, size: int, origin: str = ORIGIN) -> note.Checkpoint:
        return note.Checkpoint(origin, size, self.subtree(0, size))

    def signed(self, size: int, origin: str = ORIGIN) -> bytes:
        return self.session.sign_checkpoint(self.head(size, origin), True).note

    def proof(self, old: int, new: int) -> list[bytes]:
        return merkle.consistency_proof(old, new, self.subtree)

    def send(self, station: Bench, old: int, new: int) -> Answer:
        return station.add_checkpoint(old, self.proof(old, new), self.signed(new))

    def send_tiles(self, station: Bench, size: int) -> None:
        """Level 0 only: these logs are short."""
        tile = merkle.TileId(0, 0, size)
        assert size < merkle.TILE_WIDTH
        assert station.ask("PUT", f"/log/1/{tile.path}", b"".join(self.leaves[:size])).status == 204


@pytest.fixture
def tree(station: Bench, desk: Desk) -> Tree:
    session = desk.log.session
    assert station.send_chain(session.chain_pem).status == 204
    return Tree(session).grow(40)


def test_cosigns_a_growing_log(station: Bench, tree: Tree) -> None:
    name, key = note.parse_vkey(station.paths.witness_vkey.read_text(), note.COSIGNATURE)
    old = 0
    for size in (1, 7, 8, 31, 31, 40):
        answer = tree.send(station, old, size)
        assert answer.status == 200
        cosigned = note.parse(tree.signed(size) + answer.body)
        assert note.verify_cosignature(cosigned, name, key) > 0
        old = size
    assert station.ask("GET", "/log/1").body == b'{"cosigned": 40, "proven": 0, "newest": 1}'


def test_size_zero_is_a_log_too(station: Bench, tree: Tree) -> None:
    assert tree.send(station, 0, 0).status == 200
    assert tree.send(station, 0, 5).status == 200


def test_tells_its_size_to_who_does_not_know_it(station: Bench, tree: Tree) -> None:
    tree.send(station, 0, 20)
    answer = tree.send(station, 7, 30)
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (409, "text/x.tlog.size", b"20\n")
    assert station.conflicts() == []


def test_fork_at_the_same_size_is_filed(station: Bench, tree: Tree) -> None:
    tree.send(station, 0, 20)
    other = tree.fork(10).grow(20)
    answer = station.add_checkpoint(20, [], other.signed(20))
    assert answer.status == 409
    assert answer.headers["Content-Type"] != "text/x.tlog.size"
    (filed,) = station.conflicts()
    assert (filed["kind"], filed["camera"]) == ("fork", CAMERA)
    assert note.parse_checkpoint(note.parse(filed["came"].encode()).text) == other.head(20)
    assert note.parse_checkpoint(note.parse(filed["cosigned"].encode()).text) == tree.head(20)
    assert tree.send(station, 20, 30).status == 200


def test_fork_is_filed_once_however_often_it_comes(station: Bench, tree: Tree) -> None:
    tree.send(station, 0, 20)
    other = tree.fork(10).grow(20).signed(20)
    for _ in range(3):
        station.add_checkpoint(20, [], other)
    assert len(station.conflicts()) == 1


def test_a_longer_log_that_is_no_extension(station: Bench, tree: Tree) -> None:
    tree.send(station, 0, 20)
    other = tree.fork(10).grow(30)
    assert other.send(station, 20, 30).status == 422
    (filed,) = station.conflicts()
    assert filed["kind"] == "inconsistent"
    assert filed["proof"].split("\n") == [note.b64(p) for p in other.proof(20, 30)]
    assert tree.send(station, 20, 30).status == 200


@pytest.mark.parametrize("old", [16, 20])
def test_the_tiles_of_a_longer_log_that_is_no_extension_show_it_whatever_the_proof(
    station: Bench, tree: Tree, old: int
) -> None:
    """With the size a power of two, a proof leaves the old root out, and says nothing of another one."""
    tree.send(station, 0, old)
    other = tree.fork(10).grow(30)
    other.send_tiles(station, 30)
    proof = other.proof(old, 30)
    assert station.add_checkpoint(old, [bytes(32), *proof[1:]], other.signed(30)).status == 422
    assert [c["kind"] for c in station.conflicts()] == ["inconsistent"]


@pytest.mark.parametrize("tiles", [0, 20, 40])
@pytest.mark.parametrize("old", [16, 20])
def test_a_wrong_proof_of_an_honest_head_accuses_nobody(station: Bench, tree: Tree, old: int, tiles: int) -> None:
    if tiles:
        tree.send_tiles(station, tiles)
    tree.send(station, 0, old)
    wrong = tree.proof(old, 40)
    for at in range(len(wrong)):
        bent = [bytes([p[0] ^ (number == at), *p[1:]]) for number, p in enumerate(wrong)]
        assert station.add_checkpoint(old, bent, tree.signed(40)).status == 422
    assert {c["kind"] for c in station.conflicts()} == {"bad-proof"}
    assert all(c["proof"].count("\n") == len(wrong) - 1 for c in station.conflicts())
    assert tree.send(station, old, 40).status == 200


def test_rollback_is_no_fork_where_the_smaller_tree_is_ours(station: Bench, tree: Tree) -> None:
    tree.send_tiles(station, 30)
    tree.send(station, 0, 30)
    assert tree.send(station, 12, 12).status == 409
    assert station.conflicts() == []
    other = tree.fork(5).grow(12)
    assert other.send(station, 12, 12).status == 409
    assert [c["kind"] for c in station.conflicts()] == ["fork"]


@pytest.mark.parametrize("bend", range(3))
def test_a_bent_proof(station: Bench, tree: Tree, bend: int) -> None:
    tree.send(station, 0, 20)
    proof = tree.proof(20, 40)
    wrong = [proof[1:], [*proof, bytes(32)], [bytes(32), *proof[1:]]][bend]
    assert station.add_checkpoint(20, wrong, tree.signed(40)).status == 422


def test_logs_of_others_are_not_known(station: Bench, tree: Tree) -> None:
    for origin in ("bodycam.local/cam-2/1", "elsewhere", f"bodycam.local/{CAMERA}/01", f"bodycam.local/{CAMERA}/x"):
        assert station.add_checkpoint(0, [], tree.signed(5, origin)).status == 404, origin


def test_a_log_does_not_change_its_name(station: Bench, tree: Tree) -> None:
    tree.send(station, 0, 20)
    assert station.add_checkpoint(0, [], tree.signed(5, f"other.example/{CAMERA}/1")).status == 404


def test_epochs_are_logs_of_their_own(station: Bench, tree: Tree) -> None:
    tree.send(station, 0, 20)
    assert station.add_checkpoint(0, [], tree.signed(5, f"bodycam.local/{CAMERA}/2")).status == 200


def test_signatures_of_strangers(station: Bench, tree: Tree, desk: Desk) -> None:
    other = open_session(
        desk.log.session.signer, station.paths.camera(CAMERA).identity_chain.read_bytes(), CAMERA, desk.clock.boot_id
    )
    unknown = Tree(other, tree.leaves)
    assert unknown.send(station, 0, 20).status == 403
    assert station.send_chain(other.chain_pem).status == 204
    assert unknown.send(station, 0, 20).status == 200


def test_an_invalid_signature_beside_a_valid_one(station: Bench, tree: Tree) -> None:
    signed = note.parse(tree.signed(20))
    ecdsa = signed.signatures[1]
    value = ecdsa.value[:-1] + bytes([ecdsa.value[-1] ^ 1])
    bent = note.Note(signed.text, (signed.signatures[0], note.Signature(ecdsa.name, ecdsa.key_id, value)))
    assert station.add_checkpoint(0, [], bent.to_bytes()).status == 403


def test_unknown_signatures_are_ignored_and_not_kept(station: Bench, tree: Tree) -> None:
    signed = note.parse(tree.signed(20)).with_signatures([note.Signature("someone", b"abcd", b"x" * 64)])
    assert station.add_checkpoint(0, [], signed.to_bytes()).status == 200
    kept = note.parse((station.paths.station / "log" / CAMERA / "1" / "checkpoint").read_bytes())
    assert "someone" not in [s.name for s in kept.signatures]


def test_no_chain_no_cosignature(station: Bench, desk: Desk) -> None:
    assert Tree(desk.log.session).grow(5).send(station, 0, 5).status == 404


def test_chains_must_lead_to_the_root_and_to_this_camera(station: Bench, desk: Desk) -> None:
    good = desk.log.session.chain_pem
    assert station.send_chain(good[: len(good) // 2]).status == 403
    assert station.send_chain(b"").status == 403
    assert station.send_chain(station.paths.camera(CAMERA).identity_chain.read_bytes()).status == 403
    admin.enrol(station.paths.root, "cam-2")
    other = Bench(station.paths, station.app, station.state, station.paths.camera("cam-2").tls_chain.read_text())
    assert other.send_chain(good).status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n",
        b"old -1\n\n",
        b"new 0\n\n",
        b"old 0\nAAAA\n\n",
        b"old 0\n" + b"\xff\n\n",
        b"old 0\n" + b"A" * 43 + b"=\n" * 70 + b"\n",
    ],
)
def test_malformed_requests(station: Bench, tree: Tree, body: bytes) -> None:
    assert station.ask("POST", "/add-checkpoint", body + tree.signed(5)).status == 400
    assert station.ask("POST", "/add-checkpoint", body).status == 400


def test_the_old_size_may_not_exceed_the_new(station: Bench, tree: Tree) -> None:
    assert station.add_checkpoint(6, [], tree.signed(5)).status == 400


def test_requests_are_bounded(station: Bench) -> None:
    assert station.ask("POST", "/add-checkpoint", b"x" * (65 << 10)).status == 413


# -- tiles ---------------------------------------------------------------------------------------------------------


def test_tiles_that_lead_to_the_cosigned_head_are_proven_and_stay(station: Bench, tree: Tree) -> None:
    tree.send_tiles(station, 30)
    tree.send(station, 0, 30)
    assert station.ask("GET", "/log/1").body == b'{"cosigned": 30, "proven": 30, "newest": 1}'
    tile = f"/log/1/{merkle.TileId(0, 0, 30).path}"
    assert station.ask("PUT", tile, b"".join(tree.leaves[:30])).status == 204
    assert station.ask("PUT", tile, bytes(30 * 32)).status == 409
    assert [c["kind"] for c in station.conflicts()] == ["tile"]


def test_tiles_that_nobody_vouches_for_may_be_replaced(station: Bench, tree: Tree) -> None:
    tile = f"/log/1/{merkle.TileId(0, 0, 30).path}"
    assert station.ask("PUT", tile, bytes(30 * 32)).status == 204
    tree.send(station, 0, 30)
    assert station.ask("GET", "/log/1").body == b'{"cosigned": 30, "proven": 0, "newest": 1}'
    tree.send_tiles(station, 30)
    assert tree.send(station, 30, 30).status == 200
    assert station.ask("GET", "/log/1").body == b'{"cosigned": 30, "proven": 30, "newest": 1}'


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600])
def test_every_level_is_proven(station: Bench, desk: Desk, size: int) -> None:
    for _ in range(size):
        desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    assert desk.spool.records(SegmentState.SEALED)[0].end == size
    station.send_log(desk)
    assert station.ask("GET", "/log/1").body == f'{{"cosigned": {size}, "proven": {size}, "newest": 1}}'.encode()


def test_a_log_that_grows_between_visits_is_proven_each_time(station: Bench, desk: Desk) -> None:
    old, log = 0, desk.spool.log_dir(1)
    assert station.send_chain(desk.log.session.chain_pem).status == 204
    for size in (3, 200, 256, 300, 513, 520):
        while desk.log.next_index < size:
            desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
        desk.sealer.seal_open()
        for tile in merkle.new_tiles(old, size):
            assert station.ask("PUT", f"/log/1/{tile.path}", (log / tile.path).read_bytes()).status == 204
        tree = merkle.TileTree(
            size, lambda tile: (log / tile.path).read_bytes() if (log / tile.path).exists() else None
        )
        proof = merkle.consistency_proof(old, size, tree.subtree)
        assert station.add_checkpoint(old, proof, (log / "checkpoint").read_bytes()).status == 200
        assert station.ask("GET", "/log/1").body == f'{{"cosigned": {size}, "proven": {size}, "newest": 1}}'.encode()
        old = size


def test_a_head_within_a_full_tile_that_came_first_is_proven(station: Bench, tree: Tree) -> None:
    """Its partial tile never came: there is no directory for it."""
    tree.grow(merkle.TILE_WIDTH)
    full = merkle.TileId(0, 0)
    assert station.ask("PUT", f"/log/1/{full.path}", b"".join(tree.leaves)).status == 204
    assert tree.send(station, 0, 100).status == 200
    assert station.ask("GET", "/log/1").body == b'{"cosigned": 100, "proven": 100, "newest": 1}'


def test_an_upper_tile_that_does_not_follow(station: Bench, desk: Desk) -> None:
    for _ in range(300):
        desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    upper = desk.spool.log_dir(1) / merkle.TileId(1, 0, 1).path
    upper.write_bytes(bytes(32))
    station.send_log(desk)
    assert station.ask("GET", "/log/1").body == b'{"cosigned": 300, "proven": 0, "newest": 1}'


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("tile/0/000", 8191),
        ("tile/0/000.p/3", 95),
        ("tile/0/0", 8192),
        ("tile/0/000.p/256", 8192),
        ("tile/9/000", 8192),
    ],
)
def test_what_is_no_tile(station: Bench, path: str, size: int) -> None:
    assert station.ask("PUT", f"/log/1/{path}", bytes(size)).status == 400
    assert station.ask("PUT", "/log/1/tile/../../../x", bytes(32)).status == 400


def test_proof_lines_are_at_most_63(station: Bench, tree: Tree) -> None:
    body = checkpoint_request(0, [bytes(32)] * 64, tree.signed(5))
    assert station.ask("POST", "/add-checkpoint", body).status == 400
