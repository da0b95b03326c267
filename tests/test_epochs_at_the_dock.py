"""A card that lost, forgot or never knew: everything that can land lands, and goes from the card on a receipt."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import StationError
from agent.evidence.findings import Finding, What
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import Report, verify
from agent.model import SegmentState
from agent.station.index import Index
from agent.station.knowledge import Debt, Knowledge
from agent.station.layout import AgencyPaths
from agent.station.state import State
from agent.vault import Vault
from tests.camera_kit import CAMERA
from tests.station.kit import own_agency
from tests.test_epochs import Card, damaged_open, damaged_sealed, flip, full_one_that_lost_its_tail, record
from tests.test_uploader import serving
from tests.uploader_child import uploader

VISITS = 6


@dataclass
class Desk:
    """A camera's card and its station."""

    card: Card
    paths: AgencyPaths
    url: str

    def open(self) -> Vault:
        vault = self.card.open()
        vault.sealer.seal_open()
        return vault

    def visit(self, vault: Vault) -> str:
        """One docking, as the recorder and the uploader share it. What is refused, in words."""
        vault.sealer.seal_open()
        try:
            uploader(self.paths, self.card.spool, self.url).once(threading.Event())
            said = ""
        except StationError as err:
            said = err.message
        vault.accept_receipts()
        if vault.behind:
            vault.renew()
            vault.sealer.seal_open()
        return said

    def dock(self, vault: Vault) -> None:
        """Until nothing of an earlier epoch is left, and what is left is of the last visit."""
        for _ in range(VISITS):
            self.visit(vault)
            if not [r for r in vault.spool.records(SegmentState.SEALED) if r.epoch < vault.epoch]:
                break
        assert [r.segment for r in vault.spool.records(SegmentState.SEALED) if r.epoch < vault.epoch] == []
        assert self.visit(vault) == ""

    def conflicts(self) -> list[dict[str, Any]]:
        return [json.loads(p.read_bytes()) for p in sorted(self.paths.station.glob("conflicts/*/*.json"))]

    def kinds(self) -> set[str]:
        return {c["kind"] for c in self.conflicts()}

    def owes(self) -> Debt:
        index, state = Index(self.paths.index), State(self.paths.state)
        try:
            return Knowledge(self.paths, index, state).debt(CAMERA)
        finally:
            index.close()
            state.close()

    def report(self) -> Report:
        """What a verifier says of the segments, receipts and logs that the station holds."""
        held = [self.paths.station / name for name in ("segments", "receipts", "log")]
        return verify(collect(held), load_root(self.paths.trust_root))

    def fails(self) -> list[Finding]:
        return [f for f in self.report().findings if f.fails]


@pytest.fixture
def desk(agency: AgencyPaths, tmp_path: Path) -> Iterator[Desk]:
    paths = own_agency(agency, tmp_path / "agency")
    with serving(paths) as url:
        yield Desk(Card(paths, tmp_path), paths, url)


@pytest.mark.wide
@pytest.mark.parametrize(
    ("harm", "before"),
    [
        (damaged_open, "never docked"),
        (damaged_open, "docked before"),
        (damaged_sealed, "docked before"),
        (full_one_that_lost_its_tail, "never docked"),
    ],
)
def test_a_damaged_card_lands_whole_in_the_next_epoch(
    desk: Desk, monkeypatch, harm: Callable[..., str], before: str
) -> None:
    vault = desk.open()
    whole = record(vault)
    if before == "docked before":
        assert desk.visit(vault) == ""
    harmed = harm(desk.card, vault, monkeypatch)
    again = desk.open()
    assert again.epoch == 2
    kept = desk.card.spool.joinpath("sealed", f"{harmed}.tar").read_bytes()
    name = record(again)
    desk.dock(again)
    stored = desk.paths.station / "segments" / CAMERA
    assert (stored / f"{harmed}.tar").read_bytes() == kept
    assert {f"{whole}-0000.tar", f"{name}-0000.tar"} <= {p.name for p in stored.iterdir()}
    assert desk.kinds() == {"epoch"}
    assert again.retain(force=True)
    assert not list(desk.card.spool.glob(f"*/{harmed}.*"))
    assert desk.owes() == Debt((), 0)
    # Damage is told where it is, and that it was there; what else the old log had before it verifies.
    found = desk.fails()
    assert found
    assert {f.segment for f in found if f.what is not What.MISSING_SEGMENT} == {harmed}
    told = [f for f in desk.report().findings if f.what is What.EPOCH and f.segment == harmed]
    assert len(told) == 1
    # What was whole of the old epoch is evidence of it, and a receipt of its own log says so.
    assert whole in str([r.read_bytes() for r in desk.card.spool.glob("receipts/*")])


def test_an_older_image_is_told_at_the_dock_and_the_camera_counts_on(desk: Desk) -> None:
    vault = desk.open()
    first = record(vault)
    assert desk.visit(vault) == ""
    image = desk.card.image()
    second = record(vault)
    assert desk.visit(vault) == ""
    desk.card.put_back(image)
    again = desk.open()
    third = record(again)
    assert again.epoch == 1
    desk.visit(again)
    assert again.epoch == 2
    fourth = record(again)
    desk.dock(again)
    stored = {p.stem[:20] for p in (desk.paths.station / "segments" / CAMERA).glob("r*.tar")}
    assert stored == {first, second, third, fourth}
    assert "epoch" in desk.kinds()
    assert desk.kinds() & {"fork", "inconsistent"}
    found = desk.fails()
    assert {f.what for f in found} == {What.FORK}
    assert {str(f.segment)[:20] for f in found if str(f.segment).startswith("r")} <= {third, second}
    # Put back once more, to before the second epoch: its number is taken, so the third begins.
    desk.card.put_back(image)
    once_more = desk.open()
    desk.visit(once_more)
    assert once_more.epoch == 3
    fifth = record(once_more)
    desk.dock(once_more)
    assert (desk.paths.station / "segments" / CAMERA / f"{fifth}-0000.tar").exists()


def test_a_card_from_another_life_is_a_log_of_its_own(desk: Desk) -> None:
    """The camera begins at 1 with an empty card, while the station has seen the log before."""
    vault = desk.open()
    record(vault)
    assert desk.visit(vault) == ""
    shutil.rmtree(desk.card.spool)
    again = desk.open()
    other = record(again)
    assert again.epoch == 1
    desk.dock(again)
    assert again.epoch == 2
    assert (desk.paths.station / "segments" / CAMERA / f"{other}-0000.tar").exists()
    record(again)
    desk.dock(again)


def test_an_epoch_that_began_while_no_station_was_there_gives_way_to_the_one_it_knows(desk: Desk, monkeypatch) -> None:
    """Two epochs of one number: the station cosigned one, so the other is left over, and the camera counts on."""
    vault = desk.open()
    record(vault)
    damaged_open(desk.card, vault, monkeypatch)
    image = desk.card.image()
    second = desk.open()
    record(second)
    desk.dock(second)
    desk.card.put_back(image)
    again = desk.open()
    assert again.epoch == 2
    other = record(again)
    desk.dock(again)
    assert again.epoch == 3
    assert (desk.paths.station / "segments" / CAMERA / f"{other}-0000.tar").exists()


def test_an_old_log_that_goes_on_after_it_ended_is_not_cosigned(desk: Desk, monkeypatch) -> None:
    """The card comes back from just before its second epoch began: what it adds to the first extends it well."""
    vault = desk.open()
    record(vault)
    assert desk.visit(vault) == ""
    vault.close()
    image = desk.card.image()
    for path in desk.card.spool.glob("log/1/tile/0/000.p/*"):
        flip(path, 0)
    for path in desk.card.spool.glob("delivered/*"):
        path.unlink()
    second = desk.open()
    assert second.epoch == 2
    desk.dock(second)
    desk.card.put_back(image)
    again = desk.open()
    assert again.epoch == 1
    desk.dock(again)
    assert again.epoch == 3
    assert "ended-epoch" in desk.kinds()


def test_a_card_that_lied_about_a_flush_lands_what_it_still_has(desk: Desk) -> None:
    """A receipt survived what it is about: the next epoch begins at once, and nothing is signed twice."""
    vault = desk.open()
    record(vault)
    assert desk.visit(vault) == ""
    image = desk.card.image()
    lost = record(vault)
    assert desk.visit(vault) == ""
    survived = [*desk.card.spool.glob("receipts/*"), desk.card.spool / "log" / "newest-receipt"]
    held = {path: path.read_bytes() for path in survived}
    desk.card.put_back(image)
    for path, data in held.items():
        path.write_bytes(data)
    again = desk.open()
    assert again.epoch == 2
    record(again)
    desk.dock(again)
    assert desk.fails() == []
    assert (desk.paths.station / "segments" / CAMERA / f"{lost}-0000.tar").exists()
    assert desk.kinds() <= {"epoch", "two-contents"}


def test_the_cards_own_spool_verifies_when_all_is_delivered_and_deleted(desk: Desk, monkeypatch) -> None:
    vault = desk.open()
    record(vault)
    harmed = damaged_open(desk.card, vault, monkeypatch)
    again = desk.open()
    record(again)
    desk.dock(again)
    assert again.retain(force=True)
    again.close()
    report = verify(collect([desk.card.spool]), load_root(desk.paths.trust_root))
    found = [f for f in report.findings if f.fails]
    assert {f.segment for f in found} <= {harmed}, [f.line() for f in found]
    assert What.HELD_ELSEWHERE in {f.what for f in report.findings}


def cut(path: Path, length: int) -> bytes:
    """What is left."""
    os.truncate(path, length)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("harm", "ended"),
    [
        (lambda path: flip(path, 5_000), False),
        (lambda path: flip(path, 5_000), True),
        (lambda path: cut(path, 5_000), False),
        (lambda path: cut(path, 0), True),
    ],
    ids=["its log goes on", "its log has ended", "cut, its log goes on", "emptied, its log has ended"],
)
def test_a_sealed_segment_that_the_card_changed_lands_as_it_is_now(
    desk: Desk, monkeypatch, harm: Callable[[Path], bytes], ended: bool
) -> None:
    """The tiles hold its leaves, so no epoch begins for it; what its record says is not what the card gives back."""
    vault = desk.open()
    name = f"{record(vault)}-0000"
    harmed = harm(desk.card.spool / "sealed" / f"{name}.tar")
    if ended:
        damaged_open(desk.card, vault, monkeypatch)
        vault = desk.open()
        assert vault.epoch == 2
    for _ in range(3):
        assert desk.visit(vault) == ""
    stored = desk.paths.station / "segments" / CAMERA / f"{name}.tar"
    assert stored.read_bytes() == harmed
    assert name not in [r.segment for r in vault.spool.records(SegmentState.SEALED)]
    assert vault.retain(force=True)
    assert not list(desk.card.spool.glob(f"*/{name}.*"))


def test_a_kept_line_for_bytes_that_the_card_does_not_have_moves_nothing(desk: Desk) -> None:
    vault = desk.open()
    record(vault)
    vault.sealer.seal_open()
    sealed = vault.spool.records(SegmentState.SEALED)
    wrong = tuple(replace(r, sha256="0" * 64) for r in sealed)
    (desk.card.spool / "inbox" / "one.receipt").write_bytes(desk.card.receipt(vault, wrong))
    delivered, refusals = vault.accept_receipts()
    assert (delivered, len(refusals)) == (0, len(sealed))
    assert vault.spool.records(SegmentState.SEALED) == sealed
