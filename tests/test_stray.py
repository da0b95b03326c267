"""What lies on the card and is not the camera's, whatever it is and wherever it lies, ends no start, is never waited
for, accuses nobody, stays where it is, and is shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import durable
from agent.dock.outgoing import Outgoing
from agent.errors import StorageError
from agent.evidence.findings import What
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats.leaf import EventLeaf, Kind
from agent.model import SegmentState
from agent.spool import stray
from agent.spool.store import Spool
from agent.spool.stray import strays
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import Camera
from tests.test_epochs import Card, leaves_of, record

MAC = b"\0\5\x16\7\0\2\0\0Mac OS X        "


def mac(path: Path) -> None:
    path.write_bytes(MAC)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def full(path: Path) -> None:
    path.mkdir()
    (path / ".left.1.tmp").write_bytes(MAC)


Make = Callable[[Path], None]
OTHER = "a file of another name"
PIPE, LINK, DIRECTORY = "a pipe", "a link", "a directory"
TAR, SEAL = "e0000000009-00000000.tar", "e0000000009-00000000.seal"
STRAYS: list[tuple[str, Make, str]] = [
    ("open/._e0000000000-00000000.tar", mac, OTHER),
    ("open/hello.tar", empty, OTHER),
    (f"open/{TAR}", os.mkfifo, PIPE),
    ("open/e0000000009-00000001.tar", endless, LINK),
    ("open/e0000000009-00000002.tar", full, DIRECTORY),
    ("open/.left.1.tmp", full, DIRECTORY),
    ("sealed/._e0000000000-00000000.tar", mac, OTHER),
    ("sealed/._e0000000000-00000000.seal", mac, OTHER),
    ("sealed/x.seal", full, DIRECTORY),
    (f"sealed/{SEAL}", os.mkfifo, PIPE),
    (f"sealed/{TAR}", dangling, LINK),
    ("sealed/e0000000009-00000001.seal", endless, LINK),
    ("delivered/.DS_Store", mac, OTHER),
    (f"delivered/{TAR}", full, DIRECTORY),
    (f"delivered/{SEAL}", full, DIRECTORY),
    ("delivered/e0000000009-00000001.seal", os.mkfifo, PIPE),
    (f"receipts/{'0' * 64}.receipt", os.mkfifo, PIPE),
    (f"receipts/{'1' * 64}.receipt", dangling, LINK),
    ("receipts/._1.receipt", mac, OTHER),
    ("log/newest-receipt", os.mkfifo, PIPE),
    ("log/counter.json", endless, LINK),
    ("log/reserve", os.mkfifo, PIPE),
    ("log/7", mac, OTHER),
    ("log/lost+found", full, DIRECTORY),
    ("log/8", dangling, LINK),
]


def left(root: Path) -> dict[str, int]:
    return {place: os.lstat(root / place).st_ino for place, _, _ in STRAYS}


@pytest.fixture
def card(agency: AgencyPaths, tmp_path: Path) -> Card:
    """A card with a recording on it, which the power cut short, and all that."""
    made = Card(agency, tmp_path)
    record(made.open(), stop=False)
    for place, make, _ in STRAYS:
        path = made.spool / place
        path.unlink(missing_ok=True)
        make(path)
    return made


def test_recovery_passes_over_it_and_names_and_removes_none_of_it(card: Card, agency: AgencyPaths) -> None:
    # The recorder writes these anew by their names.
    kept_state = ("log/newest-receipt", "log/counter.json")
    before = {place: at for place, at in left(card.spool).items() if place not in kept_state}
    vault = card.open()
    assert (vault.epoch, vault.began) == (1, None)
    named = [x.facts["segment"] for x in leaves_of(vault) if isinstance(x, EventLeaf) and x.kind is Kind.RECOVERY]
    assert len(named) == 1 and named[0].startswith("r")
    record(vault)
    vault.retain(force=True)
    vault.close()
    assert [path.stem for path in vault.spool.segments(SegmentState.OPEN)] == []
    assert {place: at for place, at in left(card.spool).items() if place in before} == before
    report = verify(collect([card.spool]), load_root(agency.trust_root))
    # What it says of them is of these files, by their own names.
    fails = [f for f in report.findings if f.fails]
    assert {f.segment for f in fails} <= {None, "._e0000000000-00000000"}
    assert {f.what for f in fails if f.segment is None} <= {What.BAD_RECEIPT}


def test_the_next_log_begins_all_the_same(card: Card) -> None:
    (tile,) = card.spool.glob("log/1/chain.pem")
    tile.unlink()
    (seal,) = (path for path in card.spool.glob("sealed/e*.seal") if path.is_file() and not path.is_symlink())
    path = seal.with_suffix(".tar")
    seal.unlink()
    path.write_bytes(path.read_bytes()[:700])
    vault = card.open()
    assert vault.epoch == 2
    named = [x for leaf in leaves_of(vault) if isinstance(leaf, EventLeaf) for x in leaf.facts.get("segments", [])]
    assert {x["segment"] for x in named} <= {path.stem for path in vault.spool.segments(SegmentState.SEALED)}


def test_the_uploader_looks_at_segments_alone(card: Card) -> None:
    vault = card.open()
    vault.sealer.seal_open()
    (seen,) = Outgoing(card.spool).look()
    sealed = {r.segment for r in vault.spool.records(SegmentState.SEALED)}
    assert {r.segment for r in seen.segments} == sealed and seen.log is not None


def test_each_kind_of_it_is_told_with_its_place(card: Card) -> None:
    told = sorted({(kind, place.partition("/")[0]) for place, _, kind in STRAYS})
    assert strays(Spool(card.spool)) == [f"{kind} in {place}/" for kind, place in told]


def test_it_is_a_fault_as_long_as_it_lies_there(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    sealed = tmp_path / "spool" / "sealed"
    sealed.mkdir(parents=True)
    path = sealed / "._e0000000000-00000000.tar"
    path.write_bytes(MAC)
    camera.start()
    camera.ticks(2)
    assert camera.is_(State.READY)
    assert camera.faults() == {"stray": f"of no camera, and passed over: {OTHER} in sealed/ of {tmp_path / 'spool'}"}
    path.unlink()
    camera.ticks(60 * 4 + 1)
    assert camera.faults() == {}
    camera.recorder.close()


def test_what_is_written_aside_meanwhile_is_none(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = card.open()
    before = strays(vault.spool)
    (card.spool / "sealed" / ".e0000000001-00000000.seal.77.tmp").write_bytes(b"")

    def gone(mode: int) -> str:
        raise FileNotFoundError

    assert strays(vault.spool) == before
    monkeypatch.setattr(stray, "kind_of", gone)
    assert strays(vault.spool) == []


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "one"
    for make in (os.mkfifo, endless, full):
        make(path)
        with pytest.raises(StorageError), durable.storage_errors(path, "cannot read"):
            durable.read_file(path)
        assert not durable.is_file(path)
        path.rename(tmp_path / make.__name__)
    mac(path)
    assert durable.read_file(path) == MAC and durable.is_file(path)


def test_what_is_not_there_is_no_file(tmp_path: Path) -> None:
    mac(tmp_path / "one")
    assert not durable.is_file(tmp_path / "two") and not durable.is_file(tmp_path / "one" / "two")
