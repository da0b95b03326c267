"""A station that lies, from end to end: the whole uploader and the recorder's evidence side against it. Whatever it
says, nothing is deleted, the state says what is wrong, and neither memory nor time is without bound.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.dock import transport, wire
from agent.errors import AgentError
from agent.formats import note, receipt
from agent.formats.leaf import EventLeaf, Kind
from agent.formats.seal import SealRecord
from agent.model import SegmentState
from agent.spool import possession
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests import answering
from tests.camera_kit import CAMERA, FakeClock, read
from tests.dock.patience import Patience
from tests.dock.rogue import Reply, rogue
from tests.recorder_kit import make_config
from tests.uploader_child import uploader

MOST_BYTES = 2 << 20
ENDLESS = b" " * (2 * MOST_BYTES)
HEAD = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 65_000) for n in range(64))
"""Made before memory is looked at: of the liar's own copies there is one for each time it is asked."""
SOON_S = 20.0


class Liar:
    """Answers as a station that stores everything and signs for it; a lie replaces parts of that."""

    def __init__(self, agency: AgencyPaths, vault: Vault) -> None:
        self._vault = vault
        self.name, _ = note.parse_vkey(agency.receipt_vkey.read_text())
        key = load_pem_private_key(agency.receipt_key.read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey)
        self.key = key
        self.records = {r.segment: r for r in vault.spool.records(SegmentState.SEALED)}
        self.offsets: dict[str, int] = {}

    def answer(self, method: str, path: str, headers: Any, length: int) -> Reply:
        words = path.strip("/").split("/")
        match method, words:
            case "GET", ["log", _]:
                return Reply(200, {}, b'{"cosigned": 0, "proven": 0, "newest": 0}')
            case "GET", ["log", _, "checkpoint"]:
                return Reply(404, {})
            case "PUT", _:
                return Reply(204, {})
            case "POST", ["add-checkpoint"]:
                return Reply(200, {})
            case "OPTIONS", _:
                return Reply(204, {})
            case "POST", ["files"]:
                return Reply(201, {"Location": f"/files/{len(self.offsets)}-{headers['Upload-Length']}"})
            case "HEAD", ["files", upload]:
                return Reply(200, {"Upload-Offset": str(self.offsets.get(upload, 0))})
            case "PATCH", ["files", upload]:
                self.offsets[upload] = int(headers["Upload-Offset"]) + length
                return Reply(204, {"Upload-Offset": str(self.offsets[upload])})
            case "POST", ["attest"]:
                return self.attested(self.receipt())
        return Reply(404, {})

    def attested(self, signed: bytes, **refused: Any) -> Reply:
        return Reply(200, {}, json.dumps({"receipt": signed.decode(), "refused": refused}).encode())

    def other(self, record: SealRecord) -> str:
        return next(name for name in self.records if name != record.segment)

    def bytes_of(self, segment: str) -> bytes:
        return self._vault.spool.segment(SegmentState.SEALED, segment).read_bytes()

    def receipt(
        self,
        change: Callable[[SealRecord], SealRecord] = lambda r: r,
        key: Ed25519PrivateKey | None = None,
        answers: Callable[[SealRecord], str] | None = None,
        entries: Callable[[SealRecord], int] = lambda r: r.entries,
        **more: Any,
    ) -> bytes:
        """Signed over this camera's own log; what each line answers, and rightly where nothing else is said."""
        answers = answers or (lambda r: answering.answer(self.bytes_of(r.segment), r.challenge))
        signer = key or self.key
        signed = note.parse((self._vault.spool.log_dir(self._vault.epoch) / "checkpoint").read_bytes())
        cosigned = signed.with_signatures([note.cosign(signed.text, self.name, signer, 1_780_000_000)])
        stored = tuple(
            receipt.Stored(r.sha256, r.size, r.segment, "segments", 0, answers(r), r.first, entries(r))
            for r in map(change, self.records.values())
        )
        told = receipt.Receipt(self.name, self._vault.origin, CAMERA, 1_780_000_000, cosigned.to_bytes(), stored, ())
        text = replace(told, **more).text()
        return note.Note(text, (note.sign_ed25519(text, self.name, signer),)).to_bytes()


@dataclass(frozen=True)
class Lie:
    """`tell` may answer in the liar's place; `shown` is what the uploader or the recorder then says."""

    tell: Callable[[Liar, str, str, Any], Reply | None]
    shown: str


def on(method: str, start: str, reply: Callable[[Liar], Reply], shown: str) -> Lie:
    return Lie(lambda liar, m, p, _: reply(liar) if m == method and p.startswith(start) else None, shown)


def receipted(make: Callable[[Liar], bytes], shown: str) -> Lie:
    return on("POST", "/attest", lambda liar: liar.attested(make(liar)), shown)


LIES = {
    "another digest": receipted(
        lambda liar: liar.receipt(lambda r: replace(r, sha256="0" * 64)), "stores other bytes than ours"
    ),
    "a truncated store": receipted(
        lambda liar: liar.receipt(lambda r: replace(r, size=r.size - 1)), "stores other bytes than ours"
    ),
    "more leaves than it has": receipted(
        lambda liar: liar.receipt(entries=lambda r: r.entries + 1), "gives other leaves than ours"
    ),
    "204, and then it is lost": on("HEAD", "/files/", lambda liar: Reply(404, {}), "forgot the upload"),
    "204, and half of it is there": on(
        "PATCH", "/files/", lambda liar: Reply(204, {"Upload-Offset": "1"}), "has only part of"
    ),
    "for another camera": receipted(lambda liar: liar.receipt(camera="cam-else"), "receipt is for"),
    "for a later epoch": receipted(lambda liar: liar.receipt(origin="bodycam.local/cam-test/9"), "receipt"),
    "for another log": receipted(lambda liar: liar.receipt(origin="bodycam.local/cam-else/1"), "receipt"),
    "signed by another key": receipted(
        lambda liar: liar.receipt(key=Ed25519PrivateKey.from_private_bytes(bytes(32))), "receipt"
    ),
    "no receipt at all": receipted(lambda liar: b"trust me\n", "receipt"),
    "64 KiB and one byte": receipted(lambda liar: b"x" * ((64 << 10) + 1), "larger than the recorder reads"),
    "an answer without end": on("GET", "/log/1", lambda liar: Reply(200, {}, ENDLESS), "too long"),
    "a head of 4 MiB": on("GET", "/log/1", lambda liar: Reply(200, {}, head=HEAD), "too long"),
    "it redirects": on("POST", "/files", lambda liar: Reply(307, {"Location": "https://127.0.0.1:9/"}), "307"),
    "uploads elsewhere": on(
        "POST",
        "/files",
        lambda liar: Reply(201, {"Location": "https://198.51.100.1/files/1"}),
        "sends uploads elsewhere",
    ),
    "an offset beyond the end": on(
        "HEAD", "/files/", lambda liar: Reply(200, {"Upload-Offset": "9" * 15}), "makes no sense"
    ),
    "an address that is none": on(
        "POST", "/files", lambda liar: Reply(201, {"Location": "https://["}), "sends uploads elsewhere"
    ),
    "an address of 60,000 characters": on(
        "POST", "/files", lambda liar: Reply(201, {"Location": "/files/" + "x" * 60_000}), "is too long"
    ),
    "a redirect to no address": on("POST", "/files", lambda liar: Reply(307, {"Location": "https://["}), "307"),
    "a receipt that is no text": on(
        "POST", "/attest", lambda liar: Reply(200, {}, b'{"receipt": "\\ud800", "refused": {}}'), "holds no receipt"
    ),
    "an answer that is no JSON": on("POST", "/attest", lambda liar: Reply(200, {}, b"[" * 100_000), "not JSON"),
    "refused under names with tricks": on(
        "POST",
        "/attest",
        lambda liar: liar.attested(b"no\n", **{"../../sealed/x": {"reason": "a\n\x1b[2J", "permanent": True}}),
        "receipt",
    ),
}


LARGE = {"64 KiB and one byte", "an answer without end", "a head of 4 MiB", "an answer that is no JSON"}
"""Only of these is memory looked at, which takes its time."""


@dataclass
class Desk:
    """A camera with sealed segments, whose recorder takes whatever comes into inbox/, and deletes what it may."""

    agency: AgencyPaths
    root: Path
    vault: Vault

    def before(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.vault.spool.segments(SegmentState.SEALED)}

    def recorder(self) -> str:
        """One turn; what it refuses, in words."""
        delivered, refusals = self.vault.accept_receipts()
        assert self.vault.retain(force=True) == delivered
        return " ".join(refusals)

    def progress(self) -> dict[str, Any]:
        path = self.vault.spool.inbox_dir / "progress.json"
        told: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return told


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path) -> Iterator[Desk]:
    vault = Vault(make_config(agency, tmp_path), FakeClock())
    vault.sealer.seal_open()
    yield Desk(agency, tmp_path, vault)
    vault.close()


def visit(camera: Desk, tell: Callable[[Liar, str, str, Any], Reply | None]) -> str:
    """One visit to the liar; what the uploader and then the recorder say."""
    liar, words = Liar(camera.agency, camera.vault), ""

    def script(method: str, path: str, headers: Any, length: int) -> Reply:
        return tell(liar, method, path, headers) or liar.answer(method, path, headers, length)

    with rogue(camera.agency.tls_chain, camera.agency.tls_key, script) as url:
        try:
            uploader(camera.agency, camera.vault.spool.root, url).once(threading.Event())
        except AgentError as err:
            words = err.message
    return f"{words} {camera.progress().get('error')} {camera.recorder()}"


def test_one_that_tells_the_truth_is_believed(camera: Desk) -> None:
    """Else nothing below would prove anything."""
    before = camera.before()
    visit(camera, lambda *_: None)
    assert before and not camera.before()
    assert camera.progress()["state"] == "delivered"


@pytest.mark.wide
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_deletes_nothing_and_is_told(camera: Desk, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.dock.visit.Visit._jitter_s", lambda self, attempt: 0.01)
    before, begun = camera.before(), time.monotonic()
    if lie in LARGE:
        tracemalloc.start()
    said = visit(camera, LIES[lie].tell)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {name: data for name, data in camera.before().items() if name in before} == before
    assert LIES[lie].shown in said
    assert peak < MOST_BYTES
    assert time.monotonic() - begun < SOON_S
    here = {p.relative_to(camera.root).parts[1] for p in camera.root.rglob("*") if "spool" in p.parts[-2]}
    assert here <= {"open", "sealed", "delivered", "log", "receipts", "inbox", "outbox"}


NO_BYTES: dict[str, tuple[Callable[[Liar, SealRecord], str], str]] = {
    "nothing, as a station of an earlier version": (lambda liar, r: "", possession.SILENT),
    "from the announced digest": (
        lambda liar, r: answering.answer(bytes.fromhex(r.sha256), r.challenge),
        possession.WRONG,
    ),
    "from all but the last byte": (
        lambda liar, r: answering.answer(liar.bytes_of(r.segment)[:-1], r.challenge),
        possession.WRONG,
    ),
    "from another segment": (
        lambda liar, r: answering.answer(liar.bytes_of(liar.other(r)), r.challenge),
        possession.WRONG,
    ),
    "to another challenge": (
        lambda liar, r: answering.answer(liar.bytes_of(r.segment), "0" * 32),
        possession.WRONG,
    ),
}
"""What a receipt may answer whose station does not have the bytes now, and what the recorder says of it."""


@pytest.mark.parametrize("how", NO_BYTES)
def test_a_station_that_signs_without_the_bytes_deletes_nothing_and_is_told(camera: Desk, how: str) -> None:
    """It says that it has all of it, is sent nothing, and signs under the true key, with each digest right."""
    answers, shown = NO_BYTES[how]
    carried = 0
    camera.vault.say({"type": "heartbeat"}, None)
    camera.vault.sealer.seal_open()

    def tell(liar: Liar, method: str, path: str, headers: Any) -> Reply | None:
        nonlocal carried
        carried += int(headers["Content-Length"] or 0) if path.startswith("/files") else 0
        if method == "HEAD":
            return Reply(200, {"Upload-Offset": path.rsplit("-", 1)[1]})
        if path == "/attest":
            return liar.attested(liar.receipt(answers=lambda r: answers(liar, r)))
        return None

    before = camera.before()
    assert len(before) > 1
    said = visit(camera, tell)
    assert carried == 0
    assert said.count(shown) == len(before)
    assert camera.before() == before
    assert camera.vault.spool.segments(SegmentState.DELIVERED) == []
    assert list(camera.vault.spool.receipts()) == []
    # Asked again, it is the same; and one that has the bytes still delivers all of it.
    assert shown in visit(camera, tell)
    assert camera.before() == before
    visit(camera, lambda *_: None)
    assert not camera.before().keys() & before.keys()


def test_one_line_without_the_bytes_keeps_no_other_from_delivery(camera: Desk) -> None:
    camera.vault.say({"type": "heartbeat"}, None)
    camera.vault.sealer.seal_open()
    liar, before = Liar(camera.agency, camera.vault), camera.before()
    lost = max(liar.records)

    def answers(record: SealRecord) -> str:
        return answering.answer(b"" if record.segment == lost else liar.bytes_of(record.segment), record.challenge)

    (camera.vault.spool.inbox_dir / "one.receipt").write_bytes(liar.receipt(answers=answers))
    words = (
        f"{possession.WRONG} {lost}, which stays: if it goes on, the station does not have its bytes: look at its disk"
    )
    assert camera.recorder() == words
    assert camera.before().keys() & before.keys() == {f"{lost}.tar"}
    # What is delivered since does not end it; its own receipt does.
    camera.vault.say({"type": "heartbeat"}, None)
    camera.vault.sealer.seal_open()
    liar = Liar(camera.agency, camera.vault)
    for names, left in (([n for n in liar.records if n != lost], words), ([lost], "")):
        told = Liar(camera.agency, camera.vault)
        told.records = {name: liar.records[name] for name in names}
        right = told.receipt()
        (camera.vault.spool.inbox_dir / "more.receipt").write_bytes(right)
        assert camera.recorder() == "" and camera.vault.unshown == left
    # And it is the right one that the deletion names.
    camera.vault.sealer.seal_open()
    said = [leaf for path in camera.vault.spool.segments(SegmentState.SEALED) for _, leaf in read(path)[2]]
    gone = [one for x in said if isinstance(x, EventLeaf) and x.kind is Kind.DELETION for one in x.facts["segments"]]
    assert [one["receipt"] for one in gone if one["segment"] == lost] == [hashlib.sha256(right).hexdigest()]


@pytest.mark.parametrize("claimed", ["stored", "kept"])
@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 1}], ids=["digest", "size"])
def test_one_line_with_other_bytes_keeps_no_other_from_delivery(
    camera: Desk, claimed: str, change: dict[str, Any]
) -> None:
    """A segment that the card reads differently each time, for one."""
    for _ in range(3):
        camera.vault.say({"type": "heartbeat"}, None)
        camera.vault.sealer.seal_open()
    vault, before = camera.vault, camera.before()
    first, *others = vault.spool.records(SegmentState.SEALED)
    assert len(others) > 2
    wrong = replace(answering.stored(vault.spool, first), **change)
    right = [answering.stored(vault.spool, r) for r in others]
    lists = (
        {"stored": (wrong, *right), "kept": ()} if claimed == "stored" else {"stored": tuple(right), "kept": (wrong,)}
    )
    (vault.spool.inbox_dir / "one.receipt").write_bytes(Liar(camera.agency, vault).receipt(**lists))
    said = camera.recorder()
    assert said == f"{possession.OTHER} {first.segment}, which stays: look at the card, and at the station's disk"
    assert camera.before().keys() & before.keys() == {f"{first.segment}.tar"}
    assert vault.unshown == said
    # Its own right line ends it.
    (vault.spool.inbox_dir / "two.receipt").write_bytes(Liar(camera.agency, vault).receipt())
    assert camera.recorder() == "" and vault.unshown == ""
    assert not camera.before().keys() & before.keys()


def test_of_two_lines_about_one_segment_the_wrong_one_counts(camera: Desk) -> None:
    vault, before = camera.vault, camera.before()
    (record,) = vault.spool.records(SegmentState.SEALED)
    right = answering.stored(vault.spool, record)
    signed = Liar(camera.agency, vault).receipt(stored=(right,), kept=(replace(right, sha256="0" * 64),))
    (vault.spool.inbox_dir / "one.receipt").write_bytes(signed)
    assert possession.OTHER in camera.recorder()
    assert camera.before() == before


def test_one_that_had_the_bytes_and_lost_them_cannot_answer_a_new_challenge(camera: Desk) -> None:
    """The camera lost its seal record with the power, and asks anew; the station kept nothing but the old answer."""
    vault, old = camera.vault, Liar(camera.agency, camera.vault).receipt()
    for path in vault.spool.sealed_dir.glob("*.seal"):
        path.unlink()
    vault.close()
    camera.vault = vault = Vault(make_config(camera.agency, camera.root), FakeClock())
    try:
        before = camera.before()
        (vault.spool.inbox_dir / "old.receipt").write_bytes(old)
        assert possession.WRONG in camera.recorder()
        assert camera.before() == before
        (vault.spool.inbox_dir / "new.receipt").write_bytes(Liar(camera.agency, vault).receipt())
        assert camera.recorder() == ""
        assert not camera.before().keys() & before.keys()
    finally:
        vault.close()


def test_what_an_earlier_version_sealed_goes_on_its_line_alone(camera: Desk) -> None:
    spool = camera.vault.spool
    for record in spool.records(SegmentState.SEALED):
        path = spool.segment(SegmentState.SEALED, record.segment).with_suffix(".seal")
        path.write_bytes(replace(record, challenge="", answer="").to_bytes())
    assert camera.before()
    visit(camera, lambda *_: None)
    assert camera.before() == {}


def test_a_station_that_has_the_bytes_as_it_signs_is_believed_and_that_is_a_limit(camera: Desk) -> None:
    """The right answer shows that the bytes were there then, and not on which disk, nor for how long."""
    liar = Liar(camera.agency, camera.vault)
    (camera.vault.spool.inbox_dir / "early.receipt").write_bytes(liar.receipt())
    assert camera.before()
    assert camera.recorder() == ""
    assert camera.before() == {}


def test_a_replayed_receipt_says_nothing_of_what_was_sealed_since(camera: Desk) -> None:
    liar = Liar(camera.agency, camera.vault)
    old = liar.receipt()
    visit(camera, lambda *_: None)
    camera.vault.say({"type": "heartbeat"}, None)
    camera.vault.sealer.seal_open()
    before = camera.before()
    assert before
    for _ in range(2):
        (camera.vault.spool.inbox_dir / "again.receipt").write_bytes(old)
        camera.recorder()
        assert camera.before() == before


@pytest.mark.parametrize("claimed", ["stored", "kept"])
def test_a_receipt_of_an_older_epoch_delivers_nothing_of_a_later_one(camera: Desk, claimed: str) -> None:
    """It names a segment of the second epoch with the right digest, under the head of the first: true bytes, and the
    wrong log.
    """
    vault, first = camera.vault, Liar(camera.agency, camera.vault)
    ahead = note.Checkpoint(vault.origin, 1_000, bytes(32)).text()
    signed = note.Note(ahead, (note.sign_ed25519(ahead, vault.origin, Ed25519PrivateKey.generate()),))
    told = signed.with_signatures([note.cosign(ahead, first.name, first.key, 1_780_000_000)])
    old_origin = vault.origin
    old_head = note.parse((vault.spool.log_dir(1) / "checkpoint").read_bytes())
    old_cosigned = old_head.with_signatures([note.cosign(old_head.text, first.name, first.key, 1_780_000_000)])
    (vault.spool.inbox_dir / "ahead.checkpoint").write_bytes(told.to_bytes())
    vault.accept_receipts()
    vault.renew()
    vault.sealer.seal_open()
    later = [r for r in vault.spool.records(SegmentState.SEALED) if r.epoch == 2]
    assert vault.epoch == 2 and later
    named = tuple(answering.stored(vault.spool, r) for r in later)
    lists = {"stored": (), "kept": (), claimed: named}
    liar, before = Liar(camera.agency, vault), camera.before()
    data = liar.receipt(origin=old_origin, checkpoint=old_cosigned.to_bytes(), **lists)
    (vault.spool.inbox_dir / "old.receipt").write_bytes(data)
    assert camera.recorder() == ""
    assert camera.before() == before
    # What is wrong with it is the epoch alone: under the log that is written now it counts.
    (vault.spool.inbox_dir / "new.receipt").write_bytes(liar.receipt(stored=named))
    assert vault.accept_receipts() == (len(later), [])


@pytest.mark.parametrize(
    ("path", "timeout_s"),
    [("/log/1", wire.TIMEOUT_S), ("/files", wire.TIMEOUT_S), ("/attest", transport.ATTEST_TIMEOUT_S)],
)
def test_a_station_that_drips_is_left(
    camera: Desk, monkeypatch: pytest.MonkeyPatch, path: str, timeout_s: tuple[float, float]
) -> None:
    """Each byte comes before a socket's own patience ends, and the answer never does."""
    monkeypatch.setattr("tests.uploader_child.ATTEMPTS", 2)
    monkeypatch.setattr("agent.dock.visit.Visit._jitter_s", lambda self, attempt: 0.01)
    begun, before = time.monotonic(), camera.before()
    patience, gap_s = Patience(monkeypatch), timeout_s[1] - 1
    dripped: list[float] = []

    def slow(liar: Liar, method: str, asked: str, headers: Any) -> Reply | None:
        if not asked.startswith(path) or method in ("OPTIONS", "HEAD"):
            return None
        dripped.append(patience.now_s)
        return Reply(200, {"Location": "/files/1-1"}, b" " * 200, between=lambda: patience.passes(gap_s))

    said = visit(camera, slow)
    assert camera.before() == before
    assert camera.progress()["state"] == "unreachable"
    assert "too slow in answering" in said
    assert len(dripped) == 2
    # Longer than a socket would have waited for a byte, and no longer than a request may take as a whole: it is left
    # with the first byte after that.
    whole_s = 2 * sum(timeout_s)
    took_s = [after - was for was, after in pairwise([*dripped, patience.now_s])]
    assert all(whole_s < took <= whole_s + gap_s for took in took_s), took_s
    assert time.monotonic() - begun < 60
