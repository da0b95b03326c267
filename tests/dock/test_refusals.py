"""What is refused for good reaches a person at once, and stands until its contrary is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.dock import uploading
from agent.dock.outgoing import Outgoing
from agent.dock.refusals import of_old_logs, refused, standing
from agent.dock.report import Inbox
from agent.dock.station import Attested, HaltedError, RefusedError, TryAgainError
from agent.dock.uploading import Achieved, Seen
from agent.errors import StationError
from agent.formats.seal import SealRecord
from tests.camera_kit import Desk
from tests.dock.test_epochs import NEW, OLD, cosigned, delivered, record, views
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


class Late(ScriptedStation):
    """Gives one receipt, and from then on refuses what it gave it for."""

    def __init__(self, for_good: bool) -> None:
        super().__init__(no_trouble)
        self._for_good = for_good

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        first = not any(c.startswith("attest") for c in self.calls)
        super().attest(epoch, records, kept)
        return Attested(b"a receipt", {} if first else {r.segment: ("its disk", self._for_good) for r in records})


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


@pytest.mark.parametrize("for_good", [True, False])
def test_what_is_refused_after_it_had_a_receipt_is_told_once_and_stands(
    desk: Desk, for_good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder did not take the receipt, so it was asked for again."""
    many(desk, 1)
    refusals, real = list[str](), Inbox.refuse

    def heard(inbox: Inbox) -> None:
        if not refusals or refusals[-1] != inbox.refused:
            refusals.append(inbox.refused)

    def refuse(inbox: Inbox, what: str) -> None:
        heard(inbox)
        real(inbox, what)
        heard(inbox)

    monkeypatch.setattr(Inbox, "refuse", refuse)
    told = visit(desk, Late(for_good), Waits(200), attempts=None)
    name = Outgoing(desk.root).look()[-1].segments[0].segment
    assert (told["state"], told["refused"]) == ("refused", f"{name}: its disk" + (" (5 times)" if not for_good else ""))
    assert refusals == ["", told["refused"]]


def test_at_rest_what_is_told_is_what_stands() -> None:
    """An old log's trouble too, where something of it is left and nothing on its way."""
    seen, done = old_and_new()
    old = uploading.refuse_log(done[1], OLD, "a fork")
    done = {1: old, 2: delivered(done[2], record(0, 2))}
    assert (refused(seen, done), of_old_logs(seen, done)) == ("", "log: a fork")
    assert standing("log: a fork", seen, done) == "log: a fork"
    done[1] = delivered(old, record(0))
    assert (of_old_logs(seen, done), standing("log: a fork", seen, done)) == ("", "")


@pytest.mark.parametrize("of", [uploading.refused, uploading.unsendable])
def test_what_is_refused_or_lost_has_no_receipt_any_more(of: Callable[[Achieved, str, str], Achieved]) -> None:
    name, done = record(0).segment, delivered(Achieved(), record(0))
    assert of(done, name, "no").receipted_ns == {}
    assert uploading.lost(done, name, "no", 0).receipted_ns == {}


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
