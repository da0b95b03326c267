"""What is wrong with the log, on the card or at the station, keeps no segment on the camera."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent import durable
from agent.dock import uploading
from agent.dock.epochs import choose
from agent.dock.logproof import LackingError, LocalLog, load_log
from agent.dock.refusals import refused
from agent.dock.station import Attested, RefusedError, StationLog, TryAgainError
from agent.dock.uploading import LOG_AGAIN_NS, LOG_TRIES, LOOKS, Achieved, SendSegments
from agent.formats.seal import SealRecord
from agent.model import NS
from tests.camera_kit import Desk
from tests.dock.test_epochs import NEW, OLD, delivered, record, views
from tests.dock.test_epochs import cosigned as old_cosigned
from tests.dock.test_refusals import FULL
from tests.dock.test_uploading import LOG, NONE_DONE, cosigned, seen, sent, step
from tests.dock.test_visit import ScriptedStation, Waits, many, no_trouble, once, visit

FOR_LONG = TryAgainError("the station is overrun", retry_after_s=2 * LOG_AGAIN_NS // NS, overrun=True)


@pytest.fixture
def tile(desk: Desk) -> Path:
    """The one tile of a log with three sealed segments."""
    many(desk, 3)
    (found,) = [p for p in (desk.root / "log" / "1" / "tile").rglob("*") if p.is_file()]
    return found


def sends(station: ScriptedStation) -> int:
    return sum(c.startswith("send") for c in station.calls)


def gone(tile: Path, patch: pytest.MonkeyPatch) -> None:
    tile.unlink()


def short(tile: Path, patch: pytest.MonkeyPatch) -> None:
    tile.write_bytes(tile.read_bytes()[:-5])


def unread(tile: Path, patch: pytest.MonkeyPatch) -> None:
    real = durable.opened

    def opened(path: Path) -> object:
        if path == tile:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path)

    patch.setattr(durable, "opened", opened)


Harm = Callable[[Path, pytest.MonkeyPatch], None]
HARMS: dict[Harm, str] = {gone: "missing or too short", short: "missing or too short", unread: "Input/output error"}


@pytest.mark.parametrize("harm", HARMS)
def test_a_tile_that_the_card_lost_keeps_no_segment_and_is_told(
    desk: Desk, tile: Path, harm: Harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(tile, monkeypatch)
    station = ScriptedStation(no_trouble)
    told = visit(desk, station, Waits(), attempts=None)
    assert (sends(station), told["state"], told["segments_done"]) == (3, "refused", 0)
    assert str(told["refused"]).startswith("log: the card lacks a part of it: tile/0/000.p/")
    assert HARMS[harm] in str(told["refused"])


def test_a_tile_that_is_being_replaced_is_looked_for_again(desk: Desk, tile: Path) -> None:
    data = tile.read_bytes()
    tile.unlink()
    station, halt = ScriptedStation(no_trouble), Waits()
    wait = halt.wait

    def back(timeout: float | None = None) -> bool:
        if len(halt.waited) == LOOKS - 2:
            tile.write_bytes(data)
        return wait(timeout)

    halt.wait = back  # type: ignore[method-assign]
    told = visit(desk, station, halt)
    assert (told["state"], told["refused"], station.calls.count("attest 3")) == ("delivered", "", 1)


@pytest.mark.parametrize("harm", HARMS)
def test_of_a_log_that_nobody_writes_it_is_damage_at_once(
    desk: Desk, tile: Path, harm: Harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = load_log(desk.root / "log", 1, closed=False)
    assert isinstance(log, LocalLog)
    harm(tile, monkeypatch)
    for read in (lambda one: list(one.tiles(0)), lambda one: one.proof(1)):
        with pytest.raises(LackingError):
            read(log)
        with pytest.raises(RefusedError, match="the log of epoch 1 is damaged"):
            read(replace(log, closed=True))


@pytest.mark.wide
@pytest.mark.parametrize("what", ["log_state", "put_tile", "put_chain", "add_checkpoint"])
@pytest.mark.parametrize(
    "error", [TryAgainError("500"), FULL, FOR_LONG, RefusedError("403", 403), ValueError("a surrogate")]
)
def test_segments_go_whatever_the_station_has_against_the_log(desk: Desk, what: str, error: Exception) -> None:
    """And it is told; what is not refused for good is tried again when they are there."""
    many(desk, 3)
    station = ScriptedStation(once(10_000, what, error))
    told = visit(desk, station, Waits(12), attempts=None)
    assert (sends(station), told["segments_done"]) == (3, 0)
    assert str(error) in str(told["error"])
    assert not any(c.startswith("attest") for c in station.calls)
    last_sent = max(n for n, c in enumerate(station.calls) if c.startswith("send"))
    again = sum(c.startswith(what) for c in station.calls[last_sent:])
    assert again == 0 if isinstance(error, RefusedError) else again > 3
    assert told["state"] == ("waiting" if isinstance(error, TryAgainError) else "refused")
    assert visit(desk, ScriptedStation(no_trouble), Waits())["state"] == "delivered"


def test_a_log_that_the_station_takes_again_gets_the_segments_their_receipt(desk: Desk) -> None:
    many(desk, 3)
    station = ScriptedStation(once(2 * LOG_TRIES, "put_tile", TryAgainError("500")))
    told = visit(desk, station, Waits(), attempts=3 * LOG_TRIES)
    assert (told["state"], sends(station), station.calls[-2:]) == ("delivered", 3, ["add_checkpoint 0", "attest 3"])


def test_a_log_that_waits_comes_again_in_the_middle_of_a_backlog() -> None:
    what, done = seen(2), NONE_DONE
    for _ in range(LOG_TRIES):
        assert step(what, done, 0) == uploading.AskLog(LOG)
        done = uploading.log_failed(done, 0)
    assert step(what, done, LOG_AGAIN_NS - 1) == uploading.SendSegments(what.segments)
    assert step(what, done, LOG_AGAIN_NS) == uploading.AskLog(LOG)
    # One more failure, and the segments have their turn.
    done = uploading.log_failed(done, LOG_AGAIN_NS)
    assert step(what, done, LOG_AGAIN_NS) == uploading.SendSegments(what.segments)
    assert step(what, sent(done, 2), LOG_AGAIN_NS) == uploading.AskLog(LOG)


def test_no_later_log_is_cosigned_before_one_that_waits() -> None:
    old, new = views(record(0))
    waits = Achieved(log_again_ns=5)
    assert choose((old, new), {1: waits}, 0) == (1, SendSegments(old.segments))
    assert choose((replace(old, segments=()), new), {1: waits}, 0) == (2, SendSegments(new.segments))


def test_tiles_in_doubt_go_before_another_receipt_is_asked_for() -> None:
    """A station that has no room for them has not refused the receipt."""
    what, done = seen(2), sent(cosigned(), 2)
    done = uploading.log_told(uploading.refuse_receipt(done, LOG, "a tile lacks", tiles=True), StationLog(100, 0))
    for _ in range(LOG_TRIES):
        assert step(what, done, 0) == uploading.SendTiles(LOG, 0)
        done = uploading.log_failed(done, 0)
    assert step(what, done, 0) == uploading.SendTiles(LOG, 0)
    done = uploading.tiles_sent(done, LOG)
    assert step(what, done, 0) == uploading.Attest(LOG, what.segments)


def test_tiles_that_went_again_withhold_no_receipt_that_an_earlier_cosignature_reaches() -> None:
    """Whatever trouble there is with what the log has grown by since."""
    what, done = seen(2), sent(cosigned(), 2)
    done = uploading.log_told(uploading.refuse_receipt(done, LOG, "a tile lacks", tiles=True), StationLog(100, 0))
    done = uploading.cosigned(uploading.chain_sent(uploading.tiles_sent(done, LOG), LOG), LOG)
    grown = replace(LOG, size=LOG.size + 1, checkpoint=b"checkpoint at 101")
    for _ in range(LOG_TRIES):
        assert step(replace(what, log=grown), done, 0) == uploading.SendTiles(grown, LOG.size)
        done = uploading.log_failed(done, 0)
    assert step(replace(what, log=grown), done, 0) == uploading.Attest(grown, what.segments)


def test_segments_of_an_old_log_with_a_tile_that_neither_side_has_are_kept_under_the_new_one() -> None:
    (old, new), one = views(record(0)), record(0)
    done = {1: uploading.sent(old_cosigned(OLD), one.segment), 2: delivered(old_cosigned(NEW), record(0, 2))}
    asked = 1, uploading.Attest(OLD, (one,))
    assert choose((old, new), done, 0) == asked
    done[1] = uploading.refuse_receipt(done[1], OLD, "a tile lacks", tiles=True)
    done[1] = uploading.log_told(done[1], StationLog(100, 100))
    assert choose((old, new), done, 0) == (1, uploading.SendTiles(OLD, 0))
    done[1] = uploading.refuse_log(done[1], OLD, "the log of epoch 1 is damaged")
    assert choose((old, new), done, 0) == asked
    done[1] = uploading.refuse_receipt(done[1], OLD, "a tile lacks", tiles=True)
    assert choose((old, new), done, 0) == (2, uploading.Attest(NEW, (), (one,)))


class Restored(ScriptedStation):
    """Lost the sessions of all cameras after it cosigned a first checkpoint."""

    def __init__(self, desk: Desk, status: int) -> None:
        super().__init__(no_trouble)
        self._desk, self._status, self._knows = desk, status, False

    def put_chain(self, epoch: int, chain_pem: bytes) -> None:
        super().put_chain(epoch, chain_pem)
        self._knows = True

    def add_checkpoint(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> None:
        super().add_checkpoint(old, proof, checkpoint)
        if not self._knows:
            raise RefusedError("no session of this camera is known", self._status)

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        if self.calls.count("attest 1") < 1:
            self._knows = False
            many(self._desk, 1)
        return super().attest(epoch, records, kept)


@pytest.mark.parametrize("status", [403, 404])
def test_a_station_that_lost_the_session_is_asked_anew_and_sent_its_chain_again(desk: Desk, status: int) -> None:
    many(desk, 1)
    station = Restored(desk, status)
    told = visit(desk, station, Waits())
    assert (told["state"], told["refused"], told["segments_done"]) == ("delivered", "", 2)
    log = [c for c in station.calls if not c.startswith(("send", "attest"))]
    anew = ["log_state", "put_tile", "put_chain", "add_checkpoint 0"]
    assert log == [*anew, "put_tile", f"add_checkpoint {log[5].split()[1]}", *anew]


def test_a_station_that_knows_no_session_though_it_has_the_chain_has_refused_the_log(desk: Desk) -> None:
    many(desk, 1)
    station = ScriptedStation(once(10_000, "add_checkpoint", RefusedError("no session is known", 404)))
    assert visit(desk, station, Waits())["refused"] == "log: no session is known"
    assert station.calls.count("put_chain") == 1


def test_after_a_tile_that_the_card_altered_all_go_again_once_the_log_has_another_checkpoint() -> None:
    """The recorder, who was told, may have mended it."""
    what, done = seen(2), sent(cosigned(), 2)
    done = uploading.refuse_receipt(done, LOG, "no tree", tiles=True)
    done = uploading.tiles_sent(uploading.log_told(done, StationLog(100, 0)), LOG)
    done = uploading.cosigned(done, LOG)
    assert step(what, done, 0) == uploading.Attest(LOG, what.segments)
    done = uploading.refuse_receipt(done, LOG, "no tree", tiles=True)
    done = uploading.tiles_altered(done, LOG, "tile/0/000 is not what it was")
    assert refused((what,), {1: done}) == "receipt: the card altered the log: tile/0/000 is not what it was"
    later = replace(LOG, size=120, checkpoint=b"checkpoint at 120")
    grown = replace(what, log=later)
    done = uploading.cosigned(uploading.tiles_sent(done, later), later)
    assert step(grown, done, 0) == uploading.Attest(later, what.segments)
    done = uploading.refuse_receipt(done, later, "no tree", tiles=True)
    assert step(grown, done, 0) == uploading.AskLog(later)
    assert step(grown, uploading.log_told(done, StationLog(120, 0)), 0) == uploading.SendTiles(later, 0)
