"""What a new epoch says of the old one, held against what the station cosigned of that."""

from __future__ import annotations

import pytest

from agent.formats import note
from agent.formats.epoch import Link, Why
from agent.station.conflicts import Conflicts
from agent.station.epochs import Epochs
from agent.station.logs import Logs
from agent.station.state import Link as Known
from tests.camera_kit import CAMERA, Desk
from tests.station.kit import Bench
from tests.station.test_witness import Tree

STEM = f"bodycam.local/{CAMERA}"


@pytest.fixture
def tree(station: Bench, desk: Desk) -> Tree:
    """Epoch 1, of which 20 leaves are cosigned and proven by tiles."""
    assert station.send_chain(desk.log.session.chain_pem).status == 204
    tree = Tree(desk.log.session).grow(40)
    tree.send_tiles(station, 20)
    tree.send(station, 0, 20)
    return tree


def learn(station: Bench, size: int, root: bytes, left: note.Checkpoint | None = None) -> set[str]:
    """The kinds of what is filed."""
    conflicts = Conflicts(station.paths.station / "conflicts")
    logs = Logs(station.paths.station / "log", station.state, conflicts)
    epochs = Epochs(station.state, conflicts, logs.root_at)
    link = Link(Why.BEHIND, note.Checkpoint(f"{STEM}/1", size, root), left)
    epochs.learn(CAMERA, f"{STEM}/2", link)
    epochs.learn(CAMERA, f"{STEM}/2", link)
    return {c["kind"] for c in station.conflicts()}


@pytest.mark.parametrize("size", [7, 20, 33])
def test_a_link_that_fits_is_indexed_and_filed_once(station: Bench, tree: Tree, size: int) -> None:
    assert learn(station, size, tree.subtree(0, size)) == {"epoch"}
    assert station.state.links(CAMERA) == [Known(2, 1, size, tree.subtree(0, size), "behind")]
    assert len(station.conflicts()) == 1


@pytest.mark.parametrize("size", [7, 20])
def test_a_link_that_contradicts_what_was_cosigned_is_filed(station: Bench, tree: Tree, size: int) -> None:
    assert learn(station, size, bytes(32)) == {"epoch", "epoch-contradicts"}
    (against,) = [c for c in station.conflicts() if c["kind"] == "epoch-contradicts"]
    assert "\n20\n" in against["cosigned"]


def test_an_old_log_grows_to_where_it_ended_and_no_further(station: Bench, tree: Tree) -> None:
    learn(station, 30, tree.subtree(0, 30))
    assert tree.send(station, 20, 25).status == 200
    assert tree.send(station, 25, 31).status == 409
    assert "ended-epoch" in {c["kind"] for c in station.conflicts()}
    assert tree.send(station, 25, 30).status == 200
    assert tree.send(station, 30, 30).status == 200
    assert tree.send(station, 30, 31).status == 409


def test_an_old_log_that_ends_otherwise_than_its_successor_says_is_refused(station: Bench, tree: Tree) -> None:
    learn(station, 30, bytes(32))
    assert tree.send(station, 20, 30).status == 409


def test_the_newest_epoch_and_what_was_cosigned_of_it_are_told(station: Bench, tree: Tree) -> None:
    assert station.ask("GET", "/log/2/checkpoint").status == 404
    assert station.add_checkpoint(0, [], tree.signed(5, f"{STEM}/2")).status == 200
    assert b'"newest": 2' in station.ask("GET", "/log/1").body
    name, key = note.parse_vkey(station.paths.witness_vkey.read_text(), note.COSIGNATURE)
    told = note.parse(station.ask("GET", "/log/2/checkpoint").body)
    assert note.parse_checkpoint(told.text).origin == f"{STEM}/2"
    assert note.verify_cosignature(told, name, key) > 0
