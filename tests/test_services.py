"""What the dock brings besides receipts, from the station's command to the camera's log: time, assignment, tags,
configuration; and everything that a liar in between could bring instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from agent import config as configuration
from agent import configfile, durable, ordernumbers, services
from agent.apply import apply
from agent.clock import Utc
from agent.dock import services as dock
from agent.dock.station import RefusedError, TryAgainError
from agent.errors import StorageError
from agent.formats import age, note, order, signedtime
from agent.formats.order import ALL_CAMERAS, Assignment, Configuration, Kind, Order, Tag, Tags
from agent.model import NS
from agent.orders import Book
from agent.recorder import Recorder
from agent.station import admin, orders
from agent.station.layout import AgencyPaths
from agent.station.services import Services
from agent.station.web import Refused
from tests.camera_kit import CAMERA, FakeClock
from tests.recorder_desk import Camera
from tests.station.kit import own_agency

WORN = Assignment("no. 4711", "Traffic 2", "early", 0)
LIST = Tags((Tag("arrest", "توقيف", "arrestation", "arrest"), Tag("traffic", "مرور", "circulation", "traffic")))


class StationTwin:
    """The station's own answers, without a network; `away` where nobody answers."""

    def __init__(self, paths: AgencyPaths, clock: FakeClock) -> None:
        name, _ = note.parse_vkey(paths.receipt_vkey.read_text())
        self.services = Services(name, admin.load_ed25519(paths.receipt_key), paths.orders, clock)
        self.away, self.asked = False, 0

    def signed_time(self, nonce: str) -> bytes:
        self.asked += 1
        if self.away:
            raise TryAgainError("the station does not answer", away=True)
        return self.services.time(CAMERA, nonce.encode()).body

    def order(self, kind: Kind, asked: dock.Question) -> bytes:
        try:
            self.services.heard(CAMERA, " ".join(asked.pinned))
            return self.services.order(CAMERA, kind.value, asked.to).body
        except Refused as refused:
            raise RefusedError(refused.why, refused.status) from None


class Dock:
    """Camera, uploader and station on one desk; all of them live on the camera's time, the station's clock is `ahead`
    of the camera's.
    """

    def __init__(self, paths: AgencyPaths, root: Path, patch: pytest.MonkeyPatch, **wanted: Any) -> None:
        self.paths, self.root, self.patch = paths, root, patch
        self.clock = FakeClock(utc_source="unverified", utc_bound_ms=None)
        self.station_clock = StationClock(self.clock)
        self.station = StationTwin(paths, self.station_clock)
        self.camera = self.begin(**wanted)

    def begin(self, **wanted: Any) -> Camera:
        """The recorder starts."""
        self.camera = Camera(self.paths, self.root, self.patch, clock=self.clock, **wanted)
        file = self.root / "agent.toml"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(configuration.dump(self.camera.recorder._config))
        self.camera.recorder = Recorder(configuration.load(file), self.clock, self.camera.panel, file)
        self.camera.start()
        spool = self.camera.vault.spool.root
        self.uploader = dock.Services(spool, self.station, self.clock.boot_id, self.clock.monotonic_ns)
        return self.camera

    def again(self) -> Camera:
        """It ends as asked, and starts anew."""
        self.camera.recorder.close()
        return self.begin()

    def visit(self, ticks: int = 2) -> None:
        """In the dock: the recorder asks, the uploader brings, the recorder hears."""
        if not self.camera.recorder._life.docked:
            self.camera.recorder._dock(True)
        self.camera.ticks(1)
        self.clock.now_ns += dock.ORDERS_NS
        self.uploader.step()
        self.camera.ticks(ticks)

    def quick(self) -> None:
        """The same, so quickly that the answer about the time counts."""
        if not self.camera.recorder._life.docked:
            self.camera.recorder._dock(True)
        self.camera.ticks(1)
        self.uploader.step()
        self.camera.ticks(1)

    def give(self, body: order.Body, camera: str = CAMERA, valid_s: int = 0, ago_s: int = 0) -> orders.Given:
        now = self.clock.utc().ns // NS - ago_s
        return orders.give(self.paths.root, camera, body, valid_s, now)

    @property
    def inbox(self) -> Path:
        found: Path = self.camera.vault.spool.inbox_dir
        return found

    def bring(self, data: bytes, kind: str = "order") -> None:
        """Whatever a hostile uploader could leave."""
        if kind == "order":
            asked = dock.read_question(self.camera.vault.spool.root / "outbox", self.clock.boot_id)
            assert asked
            data = age.encrypt(data, [age.parse_recipient(asked.to)]).data
        (self.inbox / f"{hashlib.sha256(data).hexdigest()}.{kind}").write_bytes(data)

    def requests(self, kind: str) -> list[bytes]:
        """What was asked of root; of a configuration its text, after the line with the order's number."""
        directory = self.camera.vault.spool.root / "apply"
        asked = [path.read_bytes() for path in sorted(directory.glob(f"*.{kind}"))]
        return [data.partition(b"\n")[2] if kind == "configuration" else data for data in asked]

    def done(self, kind: str) -> None:
        """Root did it."""
        for path in (self.camera.vault.spool.root / "apply").glob(f"*.{kind}"):
            path.unlink()


class StationClock(FakeClock):
    """The camera's true time, `ahead_ns` of what its wall clock shows."""

    def __init__(self, camera: FakeClock) -> None:
        self.camera, self.ahead_ns = camera, 7 * NS
        self.bound_ms: int | None = 3
        super().__init__()

    def utc(self) -> Utc:
        return Utc(self.camera.utc().ns - self.camera.stepped_ns + self.ahead_ns, "synchronised", self.bound_ms)


@pytest.fixture
def desk(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dock:
    return Dock(own_agency(agency, tmp_path / "agency"), tmp_path / "camera", monkeypatch)


# -- time ----------------------------------------------------------------------------------------------------------


def test_the_station_tells_the_time_and_root_is_asked_to_set_it(desk: Dock) -> None:
    desk.quick()
    (told,) = desk.camera.said("clock.station")
    assert told["interval_ns"] < NS
    assert told["bound_ms"] == -(-told["interval_ns"] // 1_000_000) + 3
    assert abs(told["step_ns"] - 7 * NS) <= told["bound_ms"] * 1_000_000
    (asked,) = map(json.loads, desk.requests("clock"))
    assert (asked["boot"], asked["bound_ms"]) == (desk.clock.boot_id, told["bound_ms"])
    true_ns = desk.station_clock.utc().ns - desk.clock.boottime_ns()
    assert abs(asked["offset_ns"] - true_ns) <= told["bound_ms"] * 1_000_000
    desk.done("clock")
    desk.clock.stepped_ns, desk.clock.utc_source, desk.clock.utc_bound_ms = told["step_ns"], "synchronised", 50
    desk.camera.ticks(60)
    assert "clock" not in desk.camera.faults()
    (step,) = [b for b in desk.camera.said("clock") if b["why"] == "step"]
    assert (step["step_ns"], step["source"]) == (told["step_ns"], "synchronised")
    assert desk.requests("clock") == []


def test_nobody_steps_the_clock_while_something_is_recorded(desk: Dock) -> None:
    desk.camera.recorder._dock(True)
    desk.camera.recorder._record("test")
    desk.quick()
    assert len(desk.camera.said("clock.station")) == 1
    desk.camera.ticks(20)
    assert desk.requests("clock") == []
    desk.camera.recorder._stop("test")
    desk.camera.ticks(1)
    assert len(desk.requests("clock")) == 1
    # One that is asked and not done yet is asked no longer when a recording begins.
    desk.camera.recorder._record("test")
    desk.camera.ticks(1)
    assert desk.requests("clock") == []
    desk.camera.recorder._stop("test")
    desk.camera.ticks(1)
    assert len(desk.requests("clock")) == 1


def test_root_cannot_step_it_from_before_the_start_leaf_on(desk: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def free() -> bool:
        with (desk.camera.vault.spool.root / "apply" / "still").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    seen = []
    start = desk.camera.vault.start_recording
    monkeypatch.setattr(desk.camera.vault, "start_recording", lambda body: seen.append(free()) or start(body))
    assert free()
    desk.camera.recorder._record("test")
    assert seen == [False]
    desk.camera.ticks(2)
    assert not free()
    desk.camera.recorder._stop("test")
    desk.camera.ticks(1)
    assert free()


def test_a_clock_that_nobody_sets_is_a_fault(desk: Dock) -> None:
    desk.quick()
    desk.camera.ticks(100)
    assert "bodycam-apply.path" in desk.camera.faults()["clock"]


def test_a_clock_that_is_right_is_left_alone(desk: Dock) -> None:
    desk.clock.utc_source, desk.clock.utc_bound_ms, desk.station_clock.ahead_ns = "synchronised", 20, 0
    desk.quick()
    assert abs(desk.camera.said("clock.station")[0]["step_ns"]) < NS
    assert desk.requests("clock") == []


def test_a_station_for_whose_clock_nobody_vouches_makes_no_time_true(desk: Dock) -> None:
    desk.station_clock.bound_ms = None
    desk.quick()
    assert "bound_ms" not in desk.camera.said("clock.station")[0]
    (asked,) = map(json.loads, desk.requests("clock"))
    assert asked["bound_ms"] is None


def test_an_answer_that_took_long_says_nothing_and_the_next_question_is_another(desk: Dock) -> None:
    desk.visit()
    assert desk.camera.said("clock.station") == []
    outbox = desk.camera.vault.spool.root / "outbox" / "ask.json"
    nonce = json.loads(outbox.read_bytes())["nonce"]
    assert nonce != desk.uploader._answered
    desk.uploader.step()
    assert nonce == desk.uploader._answered
    desk.camera.ticks(1)
    assert len(desk.camera.said("clock.station")) == 1


def test_a_replayed_time_is_refused_and_so_is_that_of_another_key(desk: Dock) -> None:
    desk.camera.recorder._dock(True)
    desk.camera.ticks(1)
    asked = dock.read_question(desk.camera.vault.spool.root / "outbox", desk.clock.boot_id)
    assert asked
    answer = desk.station.signed_time(asked.nonce)
    desk.bring(answer, "time")
    desk.camera.ticks(1)
    desk.done("clock")
    for _ in range(2):
        desk.bring(answer, "time")
        desk.camera.ticks(1)
        assert "orders" in desk.camera.faults()
    assert len(desk.camera.said("clock.station")) == 1
    desk.clock.now_ns += 3600 * NS
    desk.camera.ticks(1)
    asked = dock.read_question(desk.camera.vault.spool.root / "outbox", desk.clock.boot_id)
    assert asked
    told = signedtime.parse(note.parse(desk.station.signed_time(asked.nonce)).text)
    for forged in (
        signedtime.sign(told, admin.load_ed25519(desk.paths.config_key)),
        signedtime.sign(replace(told, camera="cam-other"), admin.load_ed25519(desk.paths.receipt_key)),
        signedtime.sign(replace(told, nonce="00" * 32), admin.load_ed25519(desk.paths.receipt_key)),
    ):
        desk.bring(forged, "time")
        desk.camera.ticks(1)
    assert len(desk.camera.said("clock.station")) == 1
    assert desk.requests("clock") == []
    assert not list(desk.inbox.glob("*.time"))


def test_what_was_asked_in_the_dock_is_not_answered_out_of_it(desk: Dock) -> None:
    desk.camera.recorder._dock(True)
    desk.camera.ticks(1)
    asked = dock.read_question(desk.camera.vault.spool.root / "outbox", desk.clock.boot_id)
    assert asked
    desk.camera.recorder._dock(False)
    desk.camera.ticks(1)
    desk.bring(desk.station.signed_time(asked.nonce), "time")
    desk.camera.ticks(1)
    assert desk.camera.said("clock.station") == []


# -- who wears it --------------------------------------------------------------------------------------------------


def test_an_assignment_is_logged_once_and_shown_until_the_next(desk: Dock) -> None:
    until = desk.clock.utc().ns // NS + 300
    desk.give(replace(WORN, until_s=until), valid_s=300)
    desk.visit()
    (told,) = desk.camera.said("assignment")
    assert {k: v for k, v in told.items() if k not in ("type", "number")} == {
        "officer": "no. 4711", "unit": "Traffic 2", "actor": "station", "shift": "early", "until_s": until,
    }  # fmt: skip
    shown = desk.camera.recorder.status()["assignment"]
    assert (shown["officer"], shown["unit"], shown["over"]) == ("no. 4711", "Traffic 2", False)
    assert desk.camera.recorder._lens._labels()[1] == "Traffic 2"
    for _ in range(3):
        desk.visit()
    assert len(desk.camera.said("assignment")) == 1
    desk.clock.now_ns += 400 * NS
    assert desk.camera.recorder.status()["assignment"]["over"]
    desk.give(Assignment(None, None, None))
    desk.visit()
    assert len(desk.camera.said("assignment")) == 2
    assert desk.camera.recorder.status()["assignment"]["officer"] is None
    assert desk.camera.recorder._lens._labels()[1] == ""


def test_the_card_names_nobody(desk: Dock) -> None:
    desk.give(replace(WORN, officer="no. 4711, Fatima"))
    seen: dict[Path, bytes] = {}
    leave = durable.write_file
    desk.patch.setattr(
        durable, "write_file", lambda path, data, *more: seen.update({path: data}) or leave(path, data, *more)
    )
    desk.visit()
    assert len(desk.camera.said("assignment")) == 1
    spool = desk.camera.vault.spool.root
    seen.update({path: path.read_bytes() for path in spool.rglob("*") if path.is_file()})
    assert any(path.suffix == ".order" for path in seen)
    ours = {path: data for path, data in seen.items() if path.is_relative_to(spool)}
    assert [
        path for path, data in ours.items() if b"Fatima" in data or b"Traffic 2" in data or order.MAGIC.encode() in data
    ] == []


def test_the_unit_goes_from_a_card_that_still_names_it(tmp_path: Path) -> None:
    kept = {"number": 3, "sha256": "a" * 64, "issued_s": 1, "text_sha256": None}
    file = tmp_path / "taken.json"
    file.write_text(json.dumps({"v": 1, "assignment": {**kept, "unit": "Traffic 2"}}))
    assert asdict(Book(tmp_path).taken[order.Kind.ASSIGNMENT]) == kept
    assert "Traffic 2" not in file.read_text()


def test_after_a_start_the_number_is_known_and_the_name_again_at_the_dock(desk: Dock) -> None:
    given = desk.give(WORN)
    desk.visit()
    desk.again()
    shown = desk.camera.recorder.status()["assignment"]
    assert (shown["number"], shown["officer"]) == (given.order.number, "told again at the dock")
    assert desk.camera.recorder._lens._labels()[1] == desk.camera.recorder._config.camera.unit
    desk.visit()
    assert desk.camera.recorder.status()["assignment"]["officer"] == "no. 4711"
    assert desk.camera.recorder._lens._labels()[1] == "Traffic 2"
    assert len(desk.camera.said("assignment")) == 1


def test_an_older_order_is_refused_also_after_a_start(desk: Dock) -> None:
    old = desk.give(WORN).file.read_bytes()
    desk.give(replace(WORN, officer="no. 7"))
    desk.visit()
    for _ in range(2):
        desk.bring(old)
        desk.camera.ticks(1)
        assert "is older than number" in desk.camera.faults()["orders"]
        assert desk.camera.recorder.status()["assignment"]["officer"] == "no. 7"
        desk.again()
        desk.visit()
    assert len(desk.camera.said("assignment")) == 1


def forged(desk: Dock, camera: str = CAMERA, key: Path | None = None, **changed: Any) -> bytes:
    now = desk.clock.utc().ns // NS
    made = replace(Order(camera, now + 100, now, 0, WORN), **changed)
    name, _ = note.parse_vkey(desk.paths.config_vkey.read_text())
    return order.sign(made, name, admin.load_ed25519(key or desk.paths.config_key))


def test_what_no_agency_ordered_changes_nothing(desk: Dock) -> None:
    desk.give(WORN)
    desk.visit()
    now = desk.clock.utc().ns // NS
    before = desk.camera.recorder.status()["assignment"]
    number = before["number"]
    bad = {
        "for camera": forged(desk, "cam-other"),
        "no signature": forged(desk, key=desk.paths.receipt_key),
        "until": forged(desk, expires_s=now - 1),
        "another order": forged(desk, number=number, body=replace(WORN, officer="no. 8")),
        "older": forged(desk, number=number - 1),
        "note": b"\n\n",
    }
    for words, data in bad.items():
        desk.bring(data)
        desk.camera.ticks(1)
        assert words in desk.camera.faults()["orders"], words
        assert desk.camera.recorder.status()["assignment"] == before
    for data in (b"", b"age-encryption.org/v1\n", os.urandom(1000)):
        (desk.inbox / "x.order").write_bytes(data)
        desk.camera.ticks(1)
        assert "not encrypted to this camera" in desk.camera.faults()["orders"]
    (desk.inbox / "big.order").write_bytes(b"x" * ((64 << 10) + 1))
    (desk.inbox / "link.order").symlink_to(desk.paths.config_key)
    os.mkfifo(desk.inbox / "pipe.order")
    desk.camera.ticks(2)
    assert len(desk.camera.said("assignment")) == 1
    desk.bring(forged(desk))
    desk.camera.ticks(1)
    assert "orders" not in desk.camera.faults()


def test_what_lies_there_from_an_earlier_life_is_no_fault(desk: Dock) -> None:
    desk.give(WORN)
    desk.camera.recorder._dock(True)
    desk.camera.ticks(1)
    desk.uploader.step()
    assert {path.suffix for path in desk.inbox.iterdir()} >= {".time", ".order"}
    desk.again()
    desk.camera.ticks(2)
    assert "orders" not in desk.camera.faults()
    assert not list(desk.inbox.glob("*.order"))
    desk.visit()
    assert desk.camera.recorder.status()["assignment"]["officer"] == "no. 4711"


def test_a_fault_of_orders_goes_with_the_next_good_word(desk: Dock) -> None:
    desk.give(WORN)
    desk.visit()
    desk.bring(b"nonsense")
    desk.camera.ticks(1)
    assert "orders" in desk.camera.faults()
    desk.visit()
    assert "orders" not in desk.camera.faults()


def test_a_clock_put_back_does_not_make_an_expired_order_good(desk: Dock) -> None:
    desk.give(WORN)
    desk.visit()
    now = desk.clock.utc().ns // NS
    desk.clock.stepped_ns = -400 * 86_400 * NS
    desk.bring(forged(desk, number=now + 1000, issued_s=0, expires_s=now - 200))
    desk.camera.ticks(1)
    assert "could be taken until" in desk.camera.faults()["orders"]


def test_an_assignment_that_the_disk_refuses_is_taken_when_it_does_not(desk: Dock) -> None:
    desk.give(WORN)

    def refuse(*_: Any) -> None:
        raise StorageError("the disk is full")

    with desk.patch.context() as patch:
        patch.setattr("agent.orders.Book.take", refuse)
        desk.visit()
        assert "delivery" in desk.camera.faults()
        assert desk.camera.recorder.status()["assignment"] == {}
    desk.camera.ticks(20)
    assert desk.camera.recorder.status()["assignment"]["officer"] == "no. 4711"


@pytest.mark.parametrize(
    "damaged", [b"{}x", b"{}", b"[]", b'{"v":1,"assignment":"a unit"}', b'{"v":1,"assignment":{"unit":"a"}}']
)
def test_a_record_of_orders_that_is_damaged_takes_none(desk: Dock, damaged: bytes) -> None:
    desk.give(WORN)
    desk.visit()
    (desk.camera.vault.spool.root / "orders" / "taken.json").write_bytes(damaged)
    desk.again()
    assert "taken.json is damaged" in desk.camera.faults()["services"]
    desk.visit()
    assert len(desk.camera.said("assignment")) == 1


def test_a_record_of_orders_that_stays_damaged_uses_up_no_file_descriptors(desk: Dock) -> None:
    desk.give(WORN)
    desk.visit()
    file = desk.camera.vault.spool.root / "orders" / "taken.json"
    good = file.read_bytes()
    file.write_bytes(b"{}")
    desk.again()
    counted = len(os.listdir("/proc/self/fd"))
    tried = 0
    book = Book.__init__

    def count(self: Book, directory: Path) -> None:
        nonlocal tried
        tried += 1
        book(self, directory)

    with desk.patch.context() as patch:
        patch.setattr(Book, "__init__", count)
        desk.camera.ticks(200)
    assert tried > 3, "it is tried again and again"
    assert len(os.listdir("/proc/self/fd")) == counted
    file.write_bytes(good)
    desk.camera.ticks(20)
    assert "services" not in desk.camera.faults()


def test_a_camera_without_the_agency_s_key_takes_no_orders(desk: Dock) -> None:
    file = desk.root / "agent.toml"
    file.write_text(configfile.overlaid(file.read_text(), {"dock": {"config_key": ""}}))
    desk.again()
    desk.give(WORN)
    desk.visit()
    assert "dock.config_key" in desk.camera.faults()["orders"]
    assert desk.camera.said("assignment") == []


# -- tags ----------------------------------------------------------------------------------------------------------


def test_marks_take_their_tags_from_the_agency_s_list(desk: Dock) -> None:
    desk.give(LIST, ALL_CAMERAS)
    desk.visit()
    for _ in range(2):
        assert list(desk.camera.recorder.status()["tags"]) == ["arrest", "traffic"]
        desk.camera.recorder._dock(False)
        desk.camera.recorder._record("test")
        answer = desk.camera.recorder._takes.mark("", tag=desk.camera.recorder._services.tag({"tag": "arrest"}))
        assert answer["tag"] == "arrest"
        with pytest.raises(Exception, match="there is no tag 'theft'"):
            desk.camera.recorder._services.tag({"tag": "theft"})
        desk.camera.recorder._stop("test")
        desk.again()
    assert [m["tag"] for m in desk.camera.said("mark")] == ["arrest"] * 2
    assert [b["tags"] for b in desk.camera.said("tags")] == [["arrest", "traffic"]]


# -- configuration -------------------------------------------------------------------------------------------------


def another(desk: Dock, **video: Any) -> str:
    """The camera's configuration with another picture, as an agency would write it."""
    return configfile.overlaid((desk.root / "agent.toml").read_text(), {"video": video})


def test_a_configuration_is_checked_put_in_place_and_in_force_after_a_start(desk: Dock) -> None:
    given = desk.give(Configuration(another(desk, bitrate_kbps=700)))
    desk.visit()
    (text,) = desk.requests("configuration")
    digest = hashlib.sha256(text).hexdigest()
    (taken,) = desk.camera.said("configuration.taken")
    assert (taken["sha256"], taken["version"]) == (digest, given.order.number)
    assert not desk.camera.recorder._loop._stop.is_set()
    desk.done("configuration")
    durable.write_file(desk.root / "agent.toml", text)
    desk.camera.recorder._record("test")
    desk.camera.ticks(4)
    assert not desk.camera.recorder._loop._stop.is_set()
    desk.camera.recorder._stop("test")
    desk.camera.ticks(1)
    assert desk.camera.recorder._loop._stop.is_set()
    desk.again()
    said = desk.camera.said("configuration")[-1]
    assert (said["sha256"], said["version"]) == (digest, given.order.number)
    assert desk.camera.recorder._config.video.bitrate_kbps == 700
    desk.visit(8)
    assert not desk.camera.recorder._loop._stop.is_set()
    assert desk.requests("configuration") == []
    assert len(desk.camera.said("configuration.taken")) == 1


def test_a_file_that_somebody_put_in_the_place_of_the_agencys_is_shown_and_logged(
    caplog: pytest.LogCaptureFixture, desk: Dock
) -> None:
    came = desk.camera.recorder.status()["configuration"]
    assert came == {"order": None, "profile": None}, "no order yet: that is shown, and no fault"
    assert any("came by no order of the agency" in record.message for record in caplog.get_records("setup"))
    number = desk.give(Configuration(another(desk, bitrate_kbps=700))).order.number
    desk.visit()
    assert "unsigned" not in desk.camera.faults()
    (text,) = desk.requests("configuration")
    desk.root.joinpath("agent.toml").write_bytes(text)
    desk.again()
    desk.camera.ticks(2)
    assert "unsigned" not in desk.camera.faults()
    assert desk.camera.recorder.status()["configuration"]["order"] == number
    desk.root.joinpath("agent.toml").write_text(text.decode().replace("bitrate_kbps = 700", "bitrate_kbps = 701"))
    desk.again()
    desk.camera.ticks(2)
    assert f"not that of the agency's order {number}" in desk.camera.faults()["unsigned"]
    assert any(f"order {number}" in body["detail"] for body in desk.camera.said("fault") if body["what"] == "unsigned")
    # The agency's own again.
    desk.root.joinpath("agent.toml").write_bytes(text)
    desk.again()
    desk.camera.ticks(2)
    assert "unsigned" not in desk.camera.faults()


def test_what_only_the_camera_knows_stays_as_it_is(desk: Dock) -> None:
    ours = desk.camera.recorder._config
    theirs = {
        "sealing": {"identity_key": "file:/tmp/x", "identity_chain": "/tmp/x"},
        "spool": {"dir": "/tmp/x"},
        "dock": {"ca": "/tmp/x", "client_cert": "/tmp/x", "client_key": "/tmp/x", "limit_kbps": 900},
        "control": {"socket": "/tmp/x"},
    }
    desk.give(Configuration(configfile.overlaid((desk.root / "agent.toml").read_text(), theirs)))
    desk.visit()
    (text,) = desk.requests("configuration")
    made = configuration.parse(text.decode(), desk.root, "made")
    assert made == replace(ours, dock=replace(ours.dock, limit_kbps=900))


@pytest.mark.wide
@pytest.mark.parametrize(
    "over, words",
    [
        ({"video": {"bitrate_kbps": 1}}, "bitrate_kbps"),
        ({"video": {"colour": "red"}}, "colour"),
        ({"camera": {"id": "cam-other"}}, "of camera 'cam-other'"),
        ({"camera": {"timezone": "Africa/Atlantis"}}, "not a time zone"),
        ({"sealing": {"recipients": ["age1" + "q" * 58]}}, "recipient"),
        ({"dock": {"receipt_key": "a+00000000+" + "A" * 44}}, "not a verifier key"),
        ({"dock": {"config_key": "a+00000000+" + "A" * 44}}, "not a verifier key"),
        ({"recording": {"pre_event_s": 120, "ring_mib": 1}}, "cannot hold"),
    ],
)
def test_a_configuration_with_which_it_could_not_start_is_refused(desk: Dock, over: Any, words: str) -> None:
    desk.give(Configuration(configfile.overlaid((desk.root / "agent.toml").read_text(), over)))
    desk.visit()
    assert words in desk.camera.faults()["orders"]
    assert desk.requests("configuration") == []
    assert desk.camera.said("configuration.taken") == []


def test_an_older_configuration_never_comes_back(desk: Dock) -> None:
    old = desk.give(Configuration(another(desk, bitrate_kbps=600))).file.read_bytes()
    desk.give(Configuration(another(desk, bitrate_kbps=700)))
    desk.visit()
    desk.bring(old)
    desk.camera.ticks(2)
    assert "is older than number" in desk.camera.faults()["orders"]
    (text,) = desk.requests("configuration")
    assert b"bitrate_kbps = 700" in text


# -- another card ----------------------------------------------------------------------------------------------------


def root_keeps(desk: Dock) -> Path:
    """Root does what it was asked, all but the clock. Returns where the numbers of orders are kept."""
    directory = desk.camera.vault.spool.root / "apply"
    desk.done("clock")
    done = apply(directory, desk.root / "agent.toml", pwd.getpwuid(os.geteuid()).pw_name, SteppedNever())
    assert all(one.fine for one in done), done
    return desk.root / "orders.json"


class SteppedNever:
    """The machine's clock, which no test may set."""

    boot_id = ""

    def boottime_ns(self) -> int:
        raise AssertionError

    def set(self, utc_ns: int, bound_ms: int | None) -> None:
        raise AssertionError


def other_card(desk: Dock) -> None:
    """An empty one is put in, and the recorder starts."""
    root = desk.camera.vault.spool.root
    desk.camera.recorder.close()
    root.rename(root.with_name(f"card-{len(list(root.parent.iterdir()))}"))
    desk.begin()


def test_another_card_takes_no_older_order_and_takes_the_newest_anew(desk: Dock) -> None:
    first = another(desk, bitrate_kbps=600)
    old = [desk.give(Configuration(first)).file.read_bytes(), desk.give(WORN).file.read_bytes()]
    old.append(desk.give(LIST, ALL_CAMERAS).file.read_bytes())
    numbers = {
        "configuration": desk.give(Configuration(another(desk, bitrate_kbps=700))).order.number,
        "assignment": desk.give(replace(WORN, officer="no. 7")).order.number,
        "tags": desk.give(Tags(LIST.tags[:1]), ALL_CAMERAS).order.number,
    }
    desk.visit(4)
    file = root_keeps(desk)
    desk.camera.ticks(200)
    assert "configuration" not in desk.camera.faults()
    assert {kind: mark.number for kind, mark in ordernumbers.read(file)[CAMERA].items()} == numbers
    kept = file.read_bytes()

    other_card(desk)
    desk.camera.recorder._dock(True)
    desk.camera.ticks(1)
    for data in old:
        desk.bring(data)
        desk.camera.ticks(1)
        assert "which this machine has taken, on this card or another" in desk.camera.faults()["orders"]
    status = desk.camera.recorder.status()
    assert (status["assignment"], status["tags"], desk.requests("configuration")) == ({}, {}, [])
    # What the agency ordered last is taken on this card too, and said in its log.
    desk.visit(4)
    status = desk.camera.recorder.status()
    assert status["assignment"]["officer"] == "no. 7" and set(status["tags"]) == {"arrest"}
    assert [b["number"] for b in desk.camera.said("assignment")] == [numbers["assignment"]]
    assert [b["version"] for b in desk.camera.said("configuration.taken")] == [numbers["configuration"]]
    assert "orders" not in desk.camera.faults() and desk.requests("orders") == []
    assert file.read_bytes() == kept


class Chip:
    """A TPM's memory: in the camera, and not on its card."""

    def __init__(self) -> None:
        self.numbers = (0, 0, 0)

    def read(self) -> tuple[int, int, int]:
        return self.numbers

    def write(self, numbers: tuple[int, int, int]) -> None:
        self.numbers = numbers


def test_a_card_put_back_whole_with_system_and_spool_takes_no_older_order_where_a_tpm_remembers(
    desk: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = Chip()
    monkeypatch.setattr(services, "_numbers", lambda config: chip)
    desk.again()
    desk.give(Configuration(another(desk, bitrate_kbps=500)))
    desk.visit(4)
    root_keeps(desk)
    desk.camera.recorder.close()
    image = desk.root.with_name("image")
    shutil.copytree(desk.root, image)
    desk.begin()
    old = [desk.give(Configuration(another(desk, bitrate_kbps=600))).file.read_bytes()]
    old += [desk.give(WORN).file.read_bytes(), desk.give(LIST, ALL_CAMERAS).file.read_bytes()]
    newest = [desk.give(replace(WORN, officer="no. 7")), desk.give(Configuration(another(desk, bitrate_kbps=700)))]
    newest.append(desk.give(Tags(LIST.tags[:1]), ALL_CAMERAS))
    desk.visit(4)
    root_keeps(desk)
    desk.camera.ticks(200)
    assert "configuration" not in desk.camera.faults()
    assert chip.numbers == (newest[0].order.number, newest[1].order.number, newest[2].order.number)

    desk.camera.recorder.close()
    shutil.rmtree(desk.root)
    image.rename(desk.root)
    desk.begin()
    desk.camera.recorder._dock(True)
    desk.camera.ticks(1)
    assert "as if it was put back" in desk.camera.faults()["configuration"]
    for data in old:
        desk.bring(data)
        desk.camera.ticks(1)
        assert "its TPM says so, whatever card it has" in desk.camera.faults()["orders"]
    status = desk.camera.recorder.status()
    assert (status["assignment"], status["tags"], desk.requests("configuration")) == ({}, {}, [])
    desk.visit(4)
    status = desk.camera.recorder.status()
    assert status["assignment"]["officer"] == "no. 7" and set(status["tags"]) == {"arrest"}
    (text,) = desk.requests("configuration")
    assert b"bitrate_kbps = 700" in text
    assert not {"orders", "configuration"} & set(desk.camera.faults())


@pytest.mark.parametrize("damaged", [b"", b"{}", b"\0" * 300])
def test_numbers_that_are_damaged_take_no_order_and_are_shown(desk: Dock, damaged: bytes) -> None:
    desk.give(WORN)
    desk.visit(4)
    file = root_keeps(desk)
    good = file.read_bytes()
    file.write_bytes(damaged)
    desk.again()
    desk.camera.ticks(2)
    assert "orders.json is damaged" in desk.camera.faults()["configuration"], "before any dock"
    other_card(desk)
    desk.visit(4)
    assert "orders.json is damaged" in desk.camera.faults()["orders"]
    desk.quick()
    assert "orders.json is damaged" in desk.camera.faults()["configuration"]
    assert desk.camera.said("assignment") == [] and file.read_bytes() == damaged
    # The time is taken all the same.
    assert desk.camera.said("clock.station")
    file.write_bytes(good)
    desk.clock.now_ns += dock.ORDERS_NS
    desk.visit(4)
    assert "orders" not in desk.camera.faults()
    assert desk.camera.recorder.status()["assignment"]["officer"] == "no. 4711"


def test_numbers_that_nobody_keeps_are_a_fault_and_asked_for_again_after_a_start(desk: Dock) -> None:
    desk.give(WORN)
    desk.visit()
    assert len(desk.requests("orders")) == 1
    desk.camera.ticks(100)
    assert "are not kept in" in desk.camera.faults()["configuration"]
    # One that root took away and could not do is asked for again, and shown meanwhile.
    for path in (desk.camera.vault.spool.root / "apply").glob("*.orders"):
        path.unlink()
    desk.camera.ticks(100)
    assert len(desk.requests("orders")) == 1
    assert "are not kept in" in desk.camera.faults()["configuration"]
    desk.again()
    desk.camera.ticks(2)
    assert len(desk.requests("orders")) == 1
    root_keeps(desk)
    desk.camera.ticks(2)
    assert "configuration" not in desk.camera.faults()


def test_one_that_nobody_puts_in_place_is_a_fault_and_asked_for_again_after_a_start(desk: Dock) -> None:
    desk.give(Configuration(another(desk, bitrate_kbps=700)))
    desk.visit()
    desk.camera.ticks(100)
    assert "bodycam-apply.path" in desk.camera.faults()["configuration"]
    desk.again()
    assert desk.requests("configuration") == []
    desk.visit()
    assert len(desk.requests("configuration")) == 1
    assert len(desk.camera.said("configuration.taken")) == 1
