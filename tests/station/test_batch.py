"""A batch of cameras enrolled with one command: each with its own answer, and one bad request in nobody's way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from agent import config
from agent.cli import agent_main, station_main
from agent.errors import Exit
from agent.provision import Wanted, install, prepare
from agent.station.layout import AgencyPaths
from tests.station.kit import own_agency

NONE = Path("/dev/tpmrm0")


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Three cameras' requests in one directory, as a technician carries them."""
    carried = tmp_path / "requests"
    carried.mkdir()
    for number in range(1, 4):
        done = prepare(tmp_path / f"camera-{number}", Wanted(f"batch-000{number}", "file", NONE))
        (carried / done.request.name).write_bytes(done.request.read_bytes())
    return carried


def enrol(root: Path, requests: Path, *more: str) -> int:
    return station_main(["enrol", "--dir", str(root), "--csr", str(requests), "--json", *more])


def test_each_camera_gets_an_answer_that_it_takes(
    paths: AgencyPaths, requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text("[recording]\npre_event_s = 7\n")
    assert enrol(paths.root, requests, "--profile", str(profile)) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert [one["camera"] for one in told["enrolled"]] == ["batch-0001", "batch-0002", "batch-0003"]
    for number, one in enumerate(told["enrolled"], 1):
        done = install(tmp_path / f"camera-{number}", Path(one["bundle"]).read_bytes())
        assert (done.camera, done.bundle_sha256) == (one["camera"], one["bundle_sha256"])
        assert done.fingerprint == one["identity_fingerprint"]
        assert config.load(tmp_path / f"camera-{number}" / "agent.toml").recording.pre_event_s == 7
    # Again, it is the same.
    assert enrol(paths.root, requests, "--profile", str(profile)) == Exit.OK
    assert [one["again"] for one in json.loads(capsys.readouterr().out)["enrolled"]] == [True] * 3


def test_a_request_that_is_refused_is_named_and_stops_no_other(
    paths: AgencyPaths, requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (requests / "batch-0002.csr").write_bytes(b"nothing")
    assert enrol(paths.root, requests) == Exit.KEYS
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert [one["camera"] for one in told["enrolled"]] == ["batch-0001", "batch-0003"]
    assert [Path(one["csr"]).name for one in told["refused"]] == ["batch-0002.csr"]
    assert "batch-0002.csr" in out.err


def test_a_directory_without_requests_and_one_camera_of_many(
    paths: AgencyPaths, requests: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert enrol(paths.root, tmp_path / "empty") == Exit.USAGE
    assert enrol(paths.root, requests, "--camera", "batch-0001") == Exit.USAGE


@pytest.mark.parametrize("url", ["http://127.0.0.1:8443", "garbage", ""])
def test_a_station_that_no_camera_would_take_enrols_nobody(
    paths: AgencyPaths, requests: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enrol(paths.root, requests, "--station-url", url) == Exit.USAGE
    assert "--station-url" in capsys.readouterr().err
    assert not paths.camera("batch-0001").identity_chain.exists()


def test_one_digest_vouches_for_the_answers_of_the_batch(
    paths: AgencyPaths, requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the list, in sha256sum's form. Neither an answer that it does not name, nor another list, is taken."""
    assert enrol(paths.root, requests) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    listed, digest = Path(told["list"]), told["list_sha256"]
    carried = [requests / f"{one['camera']}.bundle" for one in told["enrolled"]]
    for one, path in zip(told["enrolled"], carried, strict=True):
        path.write_bytes(Path(one["bundle"]).read_bytes())
    assert subprocess.run(["sha256sum", "--check", "--strict", "--quiet", listed.name], cwd=requests).returncode == 0

    def take(answer: Path, listed: Path, *more: str) -> int:
        words = ["provision", "--dir", str(tmp_path / "camera-1"), "--certificate", str(answer), "--list", str(listed)]
        return agent_main([*words, *more])

    swapped = tmp_path / "swapped.bundle"
    swapped.write_bytes(carried[0].read_bytes().replace(b"batch-0001", b"batch-000x"))
    forged = tmp_path / "forged.sha256"
    forged.write_text(f"{hashlib.sha256(swapped.read_bytes()).hexdigest()}  batch-0001.bundle\n")
    for answer, named in ((swapped, listed), (swapped, forged), (carried[0], forged)):
        assert take(answer, named, "--sha256", digest) == Exit.KEYS
        assert "nothing was changed" in capsys.readouterr().err
    assert take(carried[0], listed) == Exit.USAGE
    assert not (tmp_path / "camera-1" / "root.pem").exists()
    assert take(carried[0], listed, "--sha256", digest) == Exit.OK
    assert (tmp_path / "camera-1" / "root.pem").exists()


def test_people_are_told_the_digest_of_the_batch(
    paths: AgencyPaths, requests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert station_main(["enrol", "--dir", str(paths.root), "--csr", str(requests)]) == Exit.OK
    digest = hashlib.sha256((requests / "answers.sha256").read_bytes()).hexdigest()
    assert f"--list answers.sha256 --sha256 {digest}" in capsys.readouterr().out


def test_what_is_no_regular_file_is_refused_by_name_and_waited_for_by_nobody(
    paths: AgencyPaths, requests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = requests / "a-pipe.csr"
    os.mkfifo(pipe)
    (requests / "z-directory.csr").mkdir()
    # Whoever reads the pipe all the same comes to its end, and the test does.
    other_end = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_WRONLY)))
    other_end.start()
    status = enrol(paths.root, requests)
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    other_end.join(60)
    assert status == Exit.USAGE
    told = json.loads(capsys.readouterr().out)
    assert [one["error"].split("/")[-1] for one in told["refused"]] == [
        "a-pipe.csr is not a regular file",
        "z-directory.csr is not a regular file",
    ]
    assert len(told["enrolled"]) == 3
