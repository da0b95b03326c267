"""A lost camera: up to where its log counts, what the station still does for it, and what it does no more."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from agent.cli import evidence_main, station_main
from agent.errors import Exit, KeyTrustError, StationError, UsageError
from agent.formats.leaf import Kind
from agent.model import SegmentState
from agent.provision import Wanted, prepare
from agent.station import revocation, rotation
from agent.station.enrolment import enrol_request
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests.camera_kit import CAMERA, ORIGIN, Desk, begin
from tests.station.kit import own_agency
from tests.uploader_child import uploader


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


def live(desk: Desk) -> None:
    """A recording, sealed, with the chain beside the tiles."""
    name = desk.record(4)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()


def visit(paths: AgencyPaths, desk: Desk) -> None:
    station = Station(paths.root)
    url = station.start()
    try:
        uploader(paths, desk.root, url).once(threading.Event())
    finally:
        station.stop()


def test_from_the_loss_on_its_bytes_are_stored_and_nothing_is_said_of_them(
    paths: AgencyPaths, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.tiles.write_chain(desk.log.session.chain_pem)
    begin(desk)
    live(desk)
    visit(paths, desk)
    counted = desk.log.next_index
    receipts = set(desk.spool.inbox_dir.glob("*.receipt"))

    argv = ["revoke", "--dir", str(paths.root), "--camera", CAMERA, "--reason", "lost on 3 May", "--json"]
    assert station_main(argv) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    # The checkpoint beside the tiles is what a visit brings; the seal leaf after it came later.
    (log,) = told["logs"]
    assert log["origin"] == ORIGIN and 0 < log["size"] <= counted

    live(desk)
    with pytest.raises(StationError, match=f"camera {CAMERA} was revoked"):
        visit(paths, desk)
    assert set(desk.spool.inbox_dir.glob("*.receipt")) == receipts
    held = {p.stem for p in (paths.station / "segments" / CAMERA).glob("*.tar")}
    assert held == {r.segment for r in desk.spool.records(SegmentState.SEALED)}

    trust = ["--trust", str(paths.trust_root)]
    segments = str(paths.station / "segments")
    assert evidence_main(["verify", segments, *trust]) == Exit.OK
    capsys.readouterr()
    assert evidence_main(["verify", segments, told["file"], *trust, "--json"]) == Exit.EVIDENCE
    found = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["fails"]]
    assert [f["what"] for f in found] == ["revoked"]
    assert found[0]["leaves"][0] == log["size"]


def test_the_first_revocation_stands(paths: AgencyPaths, capsys: pytest.CaptureFixture[str]) -> None:
    first = revocation.revoke(paths.root, CAMERA, "lost")
    data = first.file.read_bytes()
    again = revocation.revoke(paths.root, CAMERA, "found, and lost again")
    assert again.again and not first.again
    assert first.file.read_bytes() == data
    assert station_main(["revoke", "--dir", str(paths.root), "--camera", CAMERA, "--reason", "x"]) == Exit.OK
    assert "was revoked before" in capsys.readouterr().out


def test_it_gets_no_answer_any_more(paths: AgencyPaths, tmp_path: Path) -> None:
    request = prepare(tmp_path / "camera", Wanted("cam-0001", "file", Path("/dev/tpmrm0"))).request.read_bytes()
    answer = enrol_request(paths.root, request).answer
    before = answer.read_bytes()
    revocation.revoke(paths.root, "cam-0001", "lost")
    with pytest.raises(KeyTrustError, match="camera cam-0001 was revoked"):
        enrol_request(paths.root, request)
    done = rotation.rotate(paths.root)
    assert (done.renewed, done.others) == ((), (CAMERA,))
    assert answer.read_bytes() == before


def test_who_and_why_must_be_said(paths: AgencyPaths) -> None:
    with pytest.raises(UsageError, match="no camera cam-9999 is enrolled"):
        revocation.revoke(paths.root, "cam-9999", "lost")
    for reason in ("", " ", "two\nlines", "x" * 201):
        with pytest.raises(UsageError, match="--reason"):
            revocation.revoke(paths.root, CAMERA, reason)
    assert not paths.revocation(CAMERA).exists()


def test_a_strange_file_in_its_place_is_told(paths: AgencyPaths) -> None:
    paths.revocation(CAMERA).parent.mkdir()
    paths.revocation(CAMERA).write_bytes(b"not a note")
    with pytest.raises(KeyTrustError, match="is there already, and no revocation"):
        revocation.revoke(paths.root, CAMERA, "lost")
