"""The station's own keys exchanged: successor, overlap, retirement; with a camera, and with a cut anywhere."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import config as configuration
from agent import configfile, durable
from agent.cli import station_main
from agent.errors import Exit, KeyTrustError, StorageError, UsageError
from agent.formats import bundle, certs, note, order, receipt
from agent.formats.order import ALL_CAMERAS, Assignment, Configuration, Kind, Order
from agent.formats.revocation import parse as parse_revocation
from agent.model import SegmentState
from agent.station import admin, exchange, orders, pins, revocation, rotation
from agent.station.app import open_app
from agent.station.exchange import Which, begin, retire
from agent.station.layout import AgencyPaths, retired, successor
from agent.station.serve import Station
from agent.station.state import State
from tests import campaigns
from tests.camera_kit import CAMERA
from tests.config_kit import MINIMAL
from tests.station.kit import Bench, own_agency
from tests.test_services import LIST, WORN, Dock

EVERY = campaigns.size(sample=4, full=1)
"""Of the changes of the disk, one in so many is cut."""
BOTH = pytest.mark.parametrize("which", list(Which))


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


@pytest.fixture
def desk(paths: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dock:
    """A camera that has taken an ordered configuration, an assignment and a list of tags."""
    made = Dock(paths, tmp_path / "camera", monkeypatch)
    orders.give(paths.root, CAMERA, Configuration((tmp_path / "camera" / "agent.toml").read_text()))
    orders.give(paths.root, CAMERA, WORN)
    orders.give(paths.root, ALL_CAMERAS, LIST)
    take(made)
    return made


def take(desk: Dock) -> configuration.DockConfig:
    """The camera takes what is ordered, root puts it in place, the recorder starts anew and is docked again."""
    visit(desk)
    for text in desk.requests("configuration"):
        (desk.root / "agent.toml").write_bytes(text)
    desk.done("configuration")
    desk.again()
    visit(desk)
    assert "orders" not in desk.camera.faults()
    found: configuration.DockConfig = desk.camera.recorder._config.dock
    return found


def visit(desk: Dock) -> None:
    """So long that orders are asked for, however the uploader spreads its questions."""
    for _ in range(2):
        desk.visit()


def vkey(path: Path) -> str:
    return path.read_text("ascii").strip()


def parsed(*paths: Path) -> note.Keys:
    return note.parse_vkeys(*map(vkey, paths))


# -- a whole turn --------------------------------------------------------------------------------------------------


def test_the_key_of_orders_is_exchanged_at_the_dock(desk: Dock) -> None:
    paths, root = desk.paths, desk.paths.root
    old, old_key = vkey(paths.config_vkey), admin.load_ed25519(paths.config_key)
    first = orders.order_file(paths.orders, CAMERA, Kind.CONFIGURATION).read_bytes()
    done = begin(root, Which.ORDERS)
    assert (done.ordered, done.lacking) == ((CAMERA,), (CAMERA,))
    assert exchange.lacks(paths, CAMERA) == ("the next key of orders",)
    with pytest.raises(UsageError, match=f"not yet: {CAMERA} does not pin the next key of orders"):
        retire(root, Which.ORDERS)
    pinned = take(desk)
    assert (pinned.config_key, pinned.config_key_next) == (old, done.vkey)
    assert exchange.lacks(paths, CAMERA) == ()
    # The old one still signs, and is still believed.
    worn = orders.give(root, CAMERA, Assignment("no. 4712", None, None), valid_s=2)
    visit(desk)
    assert desk.camera.recorder.status()["assignment"]["officer"] == "no. 4712"
    while time.time() <= worn.order.expires_s:
        time.sleep(0.05)
    last = retire(root, Which.ORDERS)
    assert orders.newest(paths.orders, CAMERA, Kind.ASSIGNMENT) == worn.order
    assert (last.vkey, last.ordered, last.lacking) == (done.vkey, (CAMERA,), ())
    assert vkey(last.retired[-1]) == old and last.retired[0].stat().st_mode & 0o077 == 0
    pinned = take(desk)
    assert (pinned.config_key, pinned.config_key_next) == (done.vkey, "")
    # What the old one had signed, and could not be signed again, is still known by its digest.
    status = desk.camera.recorder.status()
    assert status["assignment"]["officer"] == "no. 4712" and set(status["tags"]) == {"arrest", "traffic"}
    for replayed in (first, forged(desk, old, old_key)):
        desk.bring(replayed)
        desk.camera.ticks(1)
        assert "orders" in desk.camera.faults()
        assert desk.requests("configuration") == []
    numbers = [body["version"] for body in desk.camera.said("configuration.taken")]
    assert len(numbers) == 3 and numbers == sorted(set(numbers))
    assert desk.camera.recorder.status()["assignment"]["officer"] == "no. 4712"


def forged(desk: Dock, old: str, key: Any) -> bytes:
    """A next configuration by who has the retired key."""
    text = (desk.root / "agent.toml").read_text()
    newest = orders.newest(desk.paths.orders, CAMERA, Kind.CONFIGURATION)
    assert newest
    made = Order(CAMERA, newest.number + 1000, newest.issued_s, 0, Configuration(text))
    return order.sign(made, note.parse_vkey(old)[0], key)


def test_the_key_of_receipts_is_exchanged_at_the_dock(desk: Dock) -> None:
    paths, root = desk.paths, desk.paths.root
    old = vkey(paths.receipt_vkey)
    paths.station.mkdir(exist_ok=True)
    state = State(paths.state)
    station = Bench(paths, open_app(paths, state), state)
    station.send_log(as_desk(desk))
    names = station.send_segments(as_desk(desk))
    before = told(station, desk, names)
    done = begin(root, Which.RECEIPTS)
    pinned = take(desk)
    assert (pinned.receipt_key, pinned.receipt_key_next) == (old, done.vkey)
    # A station that starts anew in between still signs with the old one.
    assert told(Bench(paths, open_app(paths, state), state), desk, names) == before
    last = retire(root, Which.RECEIPTS)
    assert last.vkey == done.vkey == vkey(paths.receipt_vkey)
    pinned = take(desk)
    assert (pinned.receipt_key, pinned.receipt_key_next) == (done.vkey, "")
    # Signed by the retired key: no delivery, whatever it proves to who has the agency's root.
    vault = desk.camera.vault
    bring(desk, before)
    delivered, refusals = vault.accept_receipts()
    assert delivered == 0 and "expected key" in refusals[0]
    assert not vault.spool.segments(SegmentState.DELIVERED)
    checked_by_root(paths, before, old)
    # Of the same head and the same bytes the successor signs anew.
    after = told(Bench(paths, open_app(paths, state), state), desk, names)
    bring(desk, after)
    assert vault.accept_receipts() == (len(names), [])
    checked_by_root(paths, after, done.vkey)
    state.close()


def as_desk(desk: Dock) -> Any:
    vault = desk.camera.vault
    return SimpleNamespace(spool=vault.spool, log=SimpleNamespace(session=vault._session))


def told(station: Bench, desk: Dock, names: list[str]) -> bytes:
    records = [r for r in desk.camera.vault.spool.records(SegmentState.SEALED) if r.segment in names]
    asked = {"epoch": 1, "segments": names, "challenges": {r.segment: r.challenge for r in records}}
    answer = json.loads(station.ask("POST", "/attest", json.dumps(asked).encode()).body)
    assert answer["refused"] == {}
    return str(answer["receipt"]).encode()


def bring(desk: Dock, data: bytes) -> None:
    (desk.inbox / f"{hashlib.sha256(data).hexdigest()}.receipt").write_bytes(data)


def checked_by_root(paths: AgencyPaths, data: bytes, by: str) -> None:
    """As any verifier does: by the certificates inside."""
    signed = note.parse(data)
    found = receipt.parse(signed.text)
    chain = [certs.parse_der(one) for one in found.certificates]
    name, key = certs.check_receipt_key(chain, admin.load_certificates(paths.trust_root)[0])
    assert note.vkey(name, note.ED25519, key) == by
    note.verify_ed25519(signed, name, key)
    note.verify_cosignature(note.parse(found.checkpoint), name, key)


# -- a cut anywhere ------------------------------------------------------------------------------------------------


class Cut(BaseException):
    """The power goes."""


def cut_at(patch: pytest.MonkeyPatch, at: int, act: Callable[[], object]) -> bool:
    """Whether `act` came to its end before it changed the disk for the time number `at`."""
    count = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count > at:
                raise Cut
            return change(*args)

        return run

    with patch.context() as patched:
        for name in ("write_file", "create_file", "move", "remove"):
            patched.setattr(durable, name, counted(getattr(durable, name)))
        try:
            act()
        except Cut:
            return False
    return True


@pytest.mark.campaign
@BOTH
def test_what_was_cut_anywhere_is_finished_by_the_same_command(
    which: Which, paths: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, bare = paths.root, tmp_path / "bare"
    orders.give(root, CAMERA, Configuration(MINIMAL.replace("cam-0001", CAMERA)))
    orders.give(root, CAMERA, WORN)
    orders.give(root, ALL_CAMERAS, LIST)
    held = bundle.Bundle(CAMERA, "", "", "", {"dock": admin.pinned(paths)})
    paths.camera(CAMERA).answer.write_bytes(held.to_bytes())
    files = exchange._files(paths, which)
    old = vkey(files[-1])
    shutil.copytree(root, bare)
    for at in range(0, 100, EVERY):
        restore(bare, root)
        whole = cut_at(monkeypatch, at, lambda: begin(root, which))
        done = begin(root, which)
        assert done.vkey == vkey(successor(files[-1])) != old and vkey(files[-1]) == old
        assert done.vkey in note_of(paths, Kind.CONFIGURATION).body.toml
        assert done.vkey in paths.camera(CAMERA).answer.read_text()
        if whole:
            break
    assert 4 < at < 90
    pins.note(paths.orders, CAMERA, [note.hash_of(done.vkey)], 1)
    shutil.rmtree(bare)
    shutil.copytree(root, bare)
    for at in range(0, 100, EVERY):
        restore(bare, root)
        whole = cut_at(monkeypatch, at, lambda: retire(root, which))
        if not whole and not files[0].exists() | successor(files[-1]).exists():
            raise AssertionError("a key is lost")
        if successor(files[-1]).exists() and not successor(files[0]).exists():
            with pytest.raises(KeyTrustError, match="was cut"):
                begin(root, which)
            if successor(files[1]).exists():
                with pytest.raises(KeyTrustError, match="not the key of"):
                    (serves if which is Which.RECEIPTS else gives)(paths)
        last = retire(root, which)
        assert last.vkey == done.vkey == vkey(files[-1])
        assert not any(successor(path).exists() for path in files)
        assert vkey(retired(files[-1], 1)) == old and retired(files[0], 1).exists()
        toml = configfile.tables(note_of(paths, Kind.CONFIGURATION).body.toml)["dock"]
        assert {key: toml[key] for key in admin.pinned(paths)} == admin.pinned(paths)
        for kind in (Kind.CONFIGURATION, Kind.ASSIGNMENT, Kind.TAGS):
            data = orders.order_file(paths.orders, CAMERA, kind).read_bytes()
            order.check(data, *note.parse_vkey(vkey(paths.config_vkey)), CAMERA)
        serves(paths)
        if whole:
            break
    assert 4 < at < 90
    with pytest.raises(UsageError, match=f"not yet|there is no next key of {which.value}"):
        begin(root, which)
        retire(root, which)


@BOTH
def test_a_cut_retirement_is_finished_whatever_was_enrolled_since(
    which: Which, paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = begin(paths.root, which)
    files = exchange._files(paths, which)
    pins.note(paths.orders, CAMERA, [note.hash_of(done.vkey)], 1)
    assert not cut_at(monkeypatch, 2, lambda: retire(paths.root, which))
    assert not successor(files[0]).exists() and successor(files[-1]).exists()
    admin.enrol(paths.root, "cam-0999")
    last = retire(paths.root, which)
    assert (last.vkey, last.lacking) == (done.vkey, ("cam-0999",))
    serves(paths)


def test_nothing_is_revoked_between_a_cut_retirement_and_its_end(
    paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be signed by another key than its certificate says: nobody would believe it, for good."""
    begin(paths.root, Which.RECEIPTS)
    assert not cut_at(monkeypatch, 2, lambda: retire(paths.root, Which.RECEIPTS, anyway=True))
    with pytest.raises(KeyTrustError, match="is not the key of") as refused:
        revocation.revoke(paths.root, CAMERA, "lost")
    assert "rotate --receipts --retire" in str(refused.value.hint)
    assert not paths.revocation(CAMERA).exists()
    retire(paths.root, Which.RECEIPTS, anyway=True)
    signed = note.parse(revocation.revoke(paths.root, CAMERA, "lost").file.read_bytes())
    chain = [certs.parse_der(one) for one in parse_revocation(signed.text).certificates]
    note.verify_ed25519(signed, *certs.check_receipt_key(chain, admin.load_certificates(paths.trust_root)[0]))


def restore(bare: Path, root: Path) -> None:
    shutil.rmtree(root)
    shutil.copytree(bare, root)


def note_of(paths: AgencyPaths, kind: Kind) -> Any:
    found = orders.newest(paths.orders, CAMERA, kind)
    assert found
    return found


def serves(paths: AgencyPaths) -> None:
    paths.station.mkdir(exist_ok=True)
    state = State(paths.state)
    try:
        open_app(paths, state)
    finally:
        state.close()


def gives(paths: AgencyPaths) -> None:
    orders.give(paths.root, CAMERA, WORN)


# -- two at once ---------------------------------------------------------------------------------------------------


OTHER = Assignment("no. 9", None, None, 0)


def is_alone(paths: AgencyPaths) -> bool:
    """Whether somebody holds the lock of orders."""
    with durable.make_dir(paths.orders).joinpath("lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Between:
    """Somebody else does `act` as soon as `reads` of `where` has read: at once where nobody is alone, else when it is
    his turn.
    """

    def __init__(
        self, paths: AgencyPaths, patch: pytest.MonkeyPatch, where: Any, reads: str, act: Callable[[], object]
    ) -> None:
        self.paths, self.act = paths, act
        self._threads: list[threading.Thread] = []
        real = getattr(where, reads)

        def read(*args: Any) -> Any:
            found = real(*args)
            if not self._threads:
                self._come()
            return found

        patch.setattr(where, reads, read)

    def _come(self) -> None:
        alone = is_alone(self.paths)
        self._threads.append(threading.Thread(target=self.act))
        self._threads[-1].start()
        if not alone:
            self._threads[-1].join(30)

    def over(self) -> None:
        (thread,) = self._threads
        thread.join(30)
        assert not thread.is_alive()


def test_who_waited_while_the_key_of_orders_was_retired_signs_with_its_successor(
    paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(paths.root, Which.ORDERS)
    waits, over = threading.Event(), threading.Event()
    real = fcntl.flock

    def wait(fd: Any, how: int) -> None:
        if threading.current_thread() is assigns:
            waits.set()
            assert over.wait(30)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", wait)
    assigns = threading.Thread(target=lambda: orders.give(paths.root, CAMERA, WORN))
    assigns.start()
    assert waits.wait(30)
    done = retire(paths.root, Which.ORDERS, anyway=True)
    over.set()
    assigns.join(30)
    data = orders.order_file(paths.orders, CAMERA, Kind.ASSIGNMENT).read_bytes()
    assert order.check(data, *note.parse_vkey(done.vkey), CAMERA).body == WORN


def test_an_assignment_that_comes_in_between_is_not_overtaken_by_the_one_before(
    paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.give(paths.root, CAMERA, WORN)
    begin(paths.root, Which.ORDERS)
    other = Between(paths, monkeypatch, exchange, "_signed_by", lambda: orders.give(paths.root, CAMERA, OTHER))
    retire(paths.root, Which.ORDERS, anyway=True)
    other.over()
    assert note_of(paths, Kind.ASSIGNMENT).body == OTHER


@pytest.mark.parametrize("act", [lambda root: begin(root, Which.RECEIPTS), rotation.rotate], ids=["exchange", "rotate"])
def test_a_configuration_that_comes_in_between_is_not_overtaken_by_the_one_before(
    act: Callable[[Path], object], paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = MINIMAL.replace("cam-0001", CAMERA)
    orders.give(paths.root, CAMERA, Configuration(text))
    another = Configuration(configfile.overlaid(text, {"video": {"bitrate_kbps": 700}}))
    other = Between(paths, monkeypatch, orders, "newest", lambda: orders.give(paths.root, CAMERA, another))
    act(paths.root)
    other.over()
    assert configfile.tables(note_of(paths, Kind.CONFIGURATION).body.toml)["video"]["bitrate_kbps"] == 700


@pytest.mark.parametrize(
    "where, reads, first, second",
    [
        (admin, "pinned", lambda root: begin(root, Which.RECEIPTS), lambda root: begin(root, Which.ORDERS)),
        (bundle, "parse", lambda root: begin(root, Which.RECEIPTS), rotation.rotate),
        (bundle, "parse", rotation.rotate, lambda root: begin(root, Which.RECEIPTS)),
    ],
    ids=["receipts-orders", "receipts-evidence", "evidence-receipts"],
)
def test_two_exchanges_at_once_tell_each_camera_of_both(
    where: Any,
    reads: str,
    first: Callable[[Path], object],
    second: Callable[[Path], object],
    paths: AgencyPaths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipients = {"recipients": paths.recipients.read_text("ascii").split()}
    text = configfile.overlaid(MINIMAL.replace("cam-0001", CAMERA), {"sealing": recipients})
    orders.give(paths.root, CAMERA, Configuration(text))
    config: bundle.Tables = {"dock": dict(admin.pinned(paths)), "sealing": recipients}
    paths.camera(CAMERA).answer.write_bytes(bundle.Bundle(CAMERA, "", "", "", config).to_bytes())
    other = Between(paths, monkeypatch, where, reads, lambda: second(paths.root))
    first(paths.root)
    other.over()
    for told in (
        configfile.tables(note_of(paths, Kind.CONFIGURATION).body.toml),
        bundle.parse(paths.camera(CAMERA).answer.read_bytes()).config,
    ):
        assert {key: told["dock"][key] for key in admin.pinned(paths)} == admin.pinned(paths)
        assert told["sealing"]["recipients"] == paths.recipients.read_text("ascii").split()


def test_keys_are_read_and_replaced_by_one_alone(paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, bool] = {}
    replace_keys, read = exchange._replace, orders.read_configuration

    def replaces(files: tuple[Path, ...]) -> tuple[Path, ...]:
        seen["retire"] = is_alone(paths)
        return replace_keys(files)

    def reads(*args: Any) -> Configuration:
        seen["configure"] = is_alone(paths)
        return read(*args)

    def writes(path: Path, *more: Any) -> None:
        if path == paths.recipients:
            seen["rotate"] = is_alone(paths)
        write(path, *more)

    write = durable.write_file
    monkeypatch.setattr(exchange, "_replace", replaces)
    monkeypatch.setattr(orders, "read_configuration", reads)
    monkeypatch.setattr(durable, "write_file", writes)
    begin(paths.root, Which.ORDERS)
    retire(paths.root, Which.ORDERS, anyway=True)
    file = paths.root / "wanted.toml"
    file.write_text(MINIMAL.replace("cam-0001", CAMERA))
    assert station_main(["configure", CAMERA, str(file), "--dir", str(paths.root)]) == Exit.OK
    rotation.rotate(paths.root)
    assert seen == {"retire": True, "configure": True, "rotate": True}


# -- commands ------------------------------------------------------------------------------------------------------


def test_nothing_is_retired_that_has_no_successor(paths: AgencyPaths) -> None:
    for which in Which:
        with pytest.raises(UsageError, match=f"there is no next key of {which.value}"):
            retire(paths.root, which)


def test_a_station_that_serves_is_not_given_another_key(paths: AgencyPaths) -> None:
    begin(paths.root, Which.RECEIPTS)
    station = Station(paths.root)
    try:
        with pytest.raises(UsageError, match="the station serves"):
            retire(paths.root, Which.RECEIPTS, anyway=True)
    finally:
        station.stop()
    assert successor(paths.receipt_vkey).exists()
    assert retire(paths.root, Which.RECEIPTS, anyway=True).lacking == (CAMERA,)


def test_only_a_station_that_serves_is_said_to_serve(paths: AgencyPaths) -> None:
    """Whatever else would have to wait, while the lock is held, has a name of its own."""
    paths.station.mkdir(exist_ok=True)
    with pytest.raises(BlockingIOError), exchange._not_serving(paths, Which.RECEIPTS):
        raise BlockingIOError


def test_a_key_of_orders_that_is_kept_elsewhere_is_exchanged_where_it_is(paths: AgencyPaths) -> None:
    elsewhere = paths.root.parent / "safe.key"
    paths.config_key.rename(elsewhere)
    held = bundle.Bundle(CAMERA, "", "", "", {"dock": admin.pinned(paths)}).to_bytes()
    paths.camera(CAMERA).answer.write_bytes(held)
    with pytest.raises(KeyTrustError, match="the key of orders is exchanged where it is"):
        begin(paths.root, Which.ORDERS)
    assert not any(successor(path).exists() for path in exchange._files(paths, Which.ORDERS))
    assert paths.camera(CAMERA).answer.read_bytes() == held
    elsewhere.rename(paths.config_key)
    begin(paths.root, Which.ORDERS)
    retire(paths.root, Which.ORDERS, anyway=True)


def test_the_second_exchange_keeps_what_the_first_retired(paths: AgencyPaths) -> None:
    was = [vkey(paths.receipt_vkey)]
    for _ in range(2):
        was.append(begin(paths.root, Which.RECEIPTS).vkey)
        retire(paths.root, Which.RECEIPTS, anyway=True)
    assert [vkey(retired(paths.receipt_vkey, number)) for number in (1, 2)] + [vkey(paths.receipt_vkey)] == was


def test_an_assignment_that_came_too_late_is_served_no_more(paths: AgencyPaths) -> None:
    begin(paths.root, Which.ORDERS)
    orders.give(paths.root, CAMERA, WORN, valid_s=5, now_s=1000)
    retire(paths.root, Which.ORDERS, anyway=True)
    assert orders.newest(paths.orders, CAMERA, Kind.ASSIGNMENT) is None
    assert len(orders.given(paths.orders, CAMERA, Kind.ASSIGNMENT)) == 1


def test_an_assignment_that_was_given_stays_though_the_time_of_that_is_damaged(paths: AgencyPaths) -> None:
    made = orders.give(paths.root, CAMERA, WORN, valid_s=5, now_s=1000)
    orders.served(paths.orders, CAMERA, made.order, 1001)
    (marker,) = paths.orders.glob("*/given/*.served")
    marker.write_bytes(b"\0" * 5)
    begin(paths.root, Which.ORDERS)
    retire(paths.root, Which.ORDERS, anyway=True)
    assert orders.newest(paths.orders, CAMERA, Kind.ASSIGNMENT) == made.order


def test_it_says_what_to_do_next_and_status_names_who_lacks_it(
    paths: AgencyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--dir", str(paths.root)]
    serves(paths)
    assert station_main(["rotate", *where, "--receipts"]) == Exit.OK
    said = capsys.readouterr().out
    assert "rotate --receipts --retire" in said and vkey(successor(paths.receipt_vkey)) in said
    assert station_main(["status", *where]) == Exit.OK
    assert f"HAS NOT the next key of {Which.RECEIPTS.value}" in capsys.readouterr().out
    assert station_main(["rotate", *where, "--receipts", "--retire"]) == Exit.USAGE
    assert "--anyway" in capsys.readouterr().err
    held = (paths.receipt_vkey, successor(paths.receipt_vkey), paths.config_vkey)
    pins.note(paths.orders, CAMERA, [note.hash_of(vkey(path)) for path in held], 1)
    assert station_main(["status", *where, "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["cameras"][0]["lacks_keys"] == []
    assert station_main(["rotate", *where, "--receipts", "--retire", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["retired"][0].endswith("receipt-1.key")
    for wrong in (["--retire"], ["--orders", "--anyway"], ["--orders", "--post-quantum"]):
        assert station_main(["rotate", *where, *wrong]) == Exit.USAGE


def test_what_a_camera_says_of_its_keys_is_held_to_its_form(paths: AgencyPaths) -> None:
    paths.station.mkdir(exist_ok=True)
    state = State(paths.state)
    station = Bench(paths, open_app(paths, state), state)
    for bad in ("", "0F" * 4, "ab" * 5, " ".join(["01234567"] * 9)):
        assert station.ask("GET", "/orders/tags", headers={order.PINNED: bad}).status == 400
    assert pins.told(paths.orders, CAMERA) is None
    assert station.ask("GET", "/orders/tags", headers={order.PINNED: "01234567 89abcdef"}).status == 404
    assert pins.told(paths.orders, CAMERA) == frozenset({"01234567", "89abcdef"})
    assert exchange.lacks(paths, CAMERA) == ("the key of receipts", "the key of orders")
    state.close()


def test_a_full_disk_keeps_no_order_back_for_what_a_camera_says_of_its_keys(
    paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    orders.give(paths.root, ALL_CAMERAS, LIST)
    paths.station.mkdir(exist_ok=True)
    state = State(paths.state)
    station = Bench(paths, open_app(paths, state), state)
    write = durable.write_file

    def full(path: Path, *more: Any) -> None:
        if path.name == "pinned.json":
            raise StorageError("cannot write pinned.json: No space left on device")
        write(path, *more)

    said = {order.PINNED: "01234567"}
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_file", full)
        assert station.ask("GET", "/orders/tags", headers=said).status == 200
    assert "No space left on device" in caplog.text and CAMERA in caplog.text
    assert pins.told(paths.orders, CAMERA) is None
    # It is said again with each visit.
    assert station.ask("GET", "/orders/tags", headers=said).status == 200
    assert pins.told(paths.orders, CAMERA) == frozenset({"01234567"})
    state.close()
