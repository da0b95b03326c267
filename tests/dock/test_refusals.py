"""What is refused for good reaches a person at once, and stands until its contrary is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.dock import uploading
from agent.dock.outgoing import Outgoing
from agent.dock.refusals import refused, standing
from agent.dock.station import Attested, HaltedError, RefusedError, TryAgainError
from agent.dock.uploading import Achieved, Seen
from agent.errors import StationError
from agent.formats.seal import SealRecord
from tests.camera_kit import Desk
from tests.dock.test_epochs import NEW, cosigned, delivered, record, views
from tests.dock.test_visit import ScriptedStation, Waits, last, many, no_trouble, once, visit

FULL = TryAgainError("the station is full", retry_after_s=30, overrun=True)


class Choosy(ScriptedStation):
    """Refuses one segment for good when its receipt is asked for; `trouble` as for any."""

    def __init__(self, bad: str, trouble: Callable[[str, str], None] = no_trouble) -> None:
        super().__init__(trouble)
        self._bad = bad

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        super().attest(epoch, records, kept)
        return Attested(b"a receipt", {r.segment: ("another leaf", True) for r in records if r.segment == self._bad})


@pytest.fixture
def names(desk: Desk) -> list[str]:
    """Of three sealed segments, as they go."""
    many(desk, 3)
    return [r.segment for r in Outgoing(desk.root).look()[-1].segments]


@pytest.mark.parametrize("busy", [TryAgainError("500"), FULL])
def test_a_segment_refused_for_good_is_told_while_another_is_tried_again_and_again(
    desk: Desk, names: list[str], busy: StationError
) -> None:
    station = Choosy(names[0], once(10_000, "send", busy, names[2]))
    told = visit(desk, station, Waits(30), attempts=None)
    assert (told["state"], told["error"], told["refused"]) == ("waiting", busy.message, f"{names[0]}: another leaf")


def test_a_log_refused_for_good_is_told_while_the_station_is_full(desk: Desk, names: list[str]) -> None:
    def trouble(what: str, name: str) -> None:
        if what == "add_checkpoint":
            raise RefusedError("another tree", 409)
        if what == "send":
            raise FULL

    told = visit(desk, ScriptedStation(trouble), Waits(20), attempts=None)
    assert (told["state"], told["refused"]) == ("waiting", "log: another tree")


def test_what_a_visit_was_refused_is_told_where_undocking_ends_it_before_its_end(desk: Desk, names: list[str]) -> None:
    """And stands until a later visit has its receipt."""

    def undocked(what: str, name: str) -> None:
        if name == names[0]:
            raise RefusedError("not this one", 400)
        if what == "send":
            raise HaltedError("undocked")

    told = visit(desk, ScriptedStation(undocked), Waits(20), attempts=None, parallel=1)
    assert told["refused"] == f"{names[0]}: not this one"
    trouble = once(10_000, "send", TryAgainError("no answer", away=True))
    assert visit(desk, ScriptedStation(trouble), Waits(20))["refused"] == f"{names[0]}: not this one"
    # The others have their turn yet.
    waiting = once(10_000, "send", TryAgainError("500"), names[2])
    assert visit(desk, ScriptedStation(waiting), Waits(20), attempts=None)["refused"] == ""
    assert last(desk)["state"] == "waiting"


def old_and_new() -> tuple[tuple[Seen, Seen], dict[int, Achieved]]:
    seen = views(record(0))
    return seen, {1: cosigned(seen[0].log or NEW), 2: cosigned(NEW)}


def test_the_newest_logs_trouble_comes_first_and_what_is_kept_under_it_is_on_its_way() -> None:
    seen, done = old_and_new()
    name = record(0).segment
    assert refused(seen, done) == ""
    assert refused(seen, done | {1: uploading.refused(done[1], name, "another leaf")}) == ""
    told = done | {1: uploading.unsendable(done[1], name, "cannot read")}
    assert refused(seen, told) == f"{name}: cannot read"
    assert refused(seen, told | {2: uploading.refuse_log(done[2], NEW, "a fork")}) == "log: a fork"
    assert refused(seen, told | {1: delivered(told[1], record(0))}) == ""


def test_a_new_try_is_no_contrary() -> None:
    (old, new), done = old_and_new()
    grown = replace(new, log=replace(NEW, size=40, checkpoint=b"a newer checkpoint"))
    log = {2: uploading.refuse_log(done[2], NEW, "a fork")}
    assert standing("log: a fork", (old, grown), log) == "log: a fork"
    assert standing("log: a fork", (old, grown), done) == ""
    receipt = {2: uploading.refuse_receipt(done[2], NEW, "no", tiles=False)}
    assert standing("receipt: no", (old, grown), receipt) == "receipt: no"
    assert standing("receipt: no", (old, grown), {2: delivered(done[2], record(0, 2))}) == ""
    name = record(0).segment
    for before, now in ((f"{name}: no", f"{name}: no"), ("e0000000990-00000001: no", ""), ("the peer is none", "")):
        assert standing(before, (old, new), done) == now
    assert standing(f"{name}: no", (old, new), done | {1: delivered(done[1], record(0))}) == ""


def test_a_visit_that_only_looks_says_nothing_of_it(desk: Desk, tmp_path: Path) -> None:
    many(desk, 1)
    (desk.spool.inbox_dir / "progress.json").write_text('{"refused": "log: a fork"}')
    away = once(10_000, "log_state", TryAgainError("no answer", away=True))
    assert visit(desk, ScriptedStation(away), Waits(3))["refused"] == "log: a fork"
