"""Answers that a rotation or an exchange made anew are carried to cameras: each with its digest, told another way."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from agent import config
from agent.cli import agent_main, station_main
from agent.errors import Exit
from agent.formats.order import Configuration
from agent.provision import Wanted, install, prepare
from agent.station import orders
from agent.station.enrolment import enrol_request
from agent.station.layout import AgencyPaths
from tests.station.kit import own_agency

NAMES = ("carried-0001", "carried-0002", "carried-0003")
KEYS = pytest.mark.parametrize("key", [[], ["--receipts"], ["--orders"]], ids=["evidence", "receipts", "orders"])


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


def enrolled(paths: AgencyPaths, tmp_path: Path, *names: str) -> None:
    """Cameras that have taken their first answer, and no order."""
    for name in names:
        request = prepare(tmp_path / name, Wanted(name, "file", Path("/dev/tpmrm0"))).request
        install(tmp_path / name, enrol_request(paths.root, request.read_bytes()).answer.read_bytes())


def rotate(paths: AgencyPaths, *more: str) -> int:
    return station_main(["rotate", "--dir", str(paths.root), *more])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def by_hand(paths: AgencyPaths, name: str) -> str:
    """The line for that camera."""
    answer = paths.camera(name).answer
    return f"  {name}: bodycam-agent provision --certificate {answer} --sha256 {digest(answer)}"


@KEYS
def test_one_answer_is_told_with_its_digest(
    paths: AgencyPaths, tmp_path: Path, key: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(paths, tmp_path, NAMES[0])
    assert rotate(paths, *key) == Exit.OK
    said = capsys.readouterr().out
    assert by_hand(paths, NAMES[0]) in said.splitlines()
    assert "--list" not in said
    assert rotate(paths, *key, "--json") == Exit.OK
    told = json.loads(capsys.readouterr().out)
    answer = paths.camera(NAMES[0]).answer
    assert told["answers"] == [{"camera": NAMES[0], "bundle": str(answer), "bundle_sha256": digest(answer)}]
    assert told["renewed"] == [NAMES[0]] and "list" not in told
    assert agent_main([*by_hand(paths, NAMES[0]).split()[2:], "--dir", str(tmp_path / NAMES[0])]) == Exit.OK
    assert f"SHA-256 {digest(answer)}" in capsys.readouterr().out


@KEYS
def test_one_digest_vouches_for_several(
    paths: AgencyPaths, tmp_path: Path, key: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The list is as `enrol` writes it for a batch: sha256sum checks it, and a camera takes what it names alone."""
    enrolled(paths, tmp_path, *NAMES)
    assert rotate(paths, *key) == Exit.OK
    said = capsys.readouterr().out.splitlines()
    listed = paths.root / "answers.sha256"
    whole = f"All answers stand in {listed}, for each camera: --list answers.sha256 --sha256 {digest(listed)}"
    first = said.index(by_hand(paths, NAMES[0]))
    assert said[first : first + 4] == [*(by_hand(paths, name) for name in NAMES), whole]

    assert rotate(paths, *key, "--json") == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert [one["camera"] for one in told["answers"]] == list(NAMES)
    assert (told["list"], told["list_sha256"]) == (str(listed), digest(listed))
    (stick := tmp_path / "stick").mkdir()
    for path in (listed, *(paths.camera(name).answer for name in NAMES)):
        shutil.copy(path, stick)
    assert subprocess.run(["sha256sum", "--check", "--strict", "--quiet", listed.name], cwd=stick).returncode == 0

    answer = stick / f"{NAMES[0]}.bundle"
    take = ["provision", "--dir", str(tmp_path / NAMES[0]), "--certificate", str(answer)]
    take += ["--list", str(stick / listed.name), "--sha256", told["list_sha256"]]
    assert agent_main(take) == Exit.OK
    answer.write_bytes(answer.read_bytes() + b"\n")
    assert agent_main(take) == Exit.KEYS


@KEYS
def test_who_takes_it_at_the_dock_has_no_answer_to_install(
    paths: AgencyPaths, tmp_path: Path, key: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(paths, tmp_path, *NAMES[:2])
    orders.give(paths.root, NAMES[1], Configuration(config.dump(config.load(tmp_path / NAMES[1] / "agent.toml"))))
    assert rotate(paths, *key) == Exit.OK
    said = capsys.readouterr().out
    assert by_hand(paths, NAMES[0]) in said and str(paths.camera(NAMES[1]).answer) not in said and "--list" not in said
    assert rotate(paths, *key, "--json") == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert [one["camera"] for one in told["answers"]] == [NAMES[0]]
    assert told["renewed"] == list(NAMES[:2]) and told["ordered"] == [NAMES[1]]


def test_where_the_list_cannot_be_written_the_new_keys_are_told_all_the_same(
    paths: AgencyPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each further rotation would make other ones."""
    enrolled(paths, tmp_path, *NAMES[:2])
    (paths.root / "answers.sha256").mkdir()
    assert rotate(paths) == Exit.STORAGE
    told = capsys.readouterr()
    assert "agency-2.agekey" in told.out and "answers.sha256" in told.err
    assert rotate(paths, "--json") == Exit.STORAGE
    assert json.loads(capsys.readouterr().out)["generation"] == 3
