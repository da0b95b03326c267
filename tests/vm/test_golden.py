"""The camera that each test gets a copy of is whole, or is made again; and what was measured is printed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import campaigns
from tests.vm import conftest
from tests.vm.conftest import Golden, campaign, pytest_terminal_summary


def test_one_that_failed_half_way_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(_golden: Golden, kind: str, work: Path) -> None:
        work.mkdir()
        made.append(kind)
        (work / "data.raw").touch()
        if len(made) == 1:
            raise TimeoutError("it did not get ready")
        (work / "root.qcow2").touch()

    monkeypatch.setattr(Golden, "_make", make)
    with pytest.raises(TimeoutError):
        Golden(tmp_path).of("qemu")
    golden = Golden(tmp_path).of("qemu")
    assert golden == Golden(tmp_path).of("qemu") == tmp_path / "qemu"
    assert sorted(path.name for path in golden.iterdir()) == ["data.raw", "root.qcow2"]
    assert made == ["qemu", "qemu"]


def test_what_passed_tests_measured_is_printed() -> None:
    written: list[str] = []
    passed = SimpleNamespace(nodeid="tests/vm/test_x.py::test_it[uml]", user_properties=[("ready", [1.5])])
    stats = {"passed": [passed], "failed": [SimpleNamespace(nodeid="x::y", user_properties=[("ready", 2)])]}
    pytest_terminal_summary(SimpleNamespace(stats=stats, write_line=written.append))
    assert written == ["test_it[uml]: ready [1.5]"]


def test_each_suite_has_results_and_a_command_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "RESULTS", tmp_path)
    monkeypatch.setattr(campaigns, "FULL", True)
    for suite in ("bookworm", "trixie"):
        monkeypatch.setattr(conftest, "SUITE", suite)
        campaign("vm-x-uml", "uml", "-k x").finish(figure=1)
    told = {path.name: json.loads(path.read_text("utf-8"))["command"] for path in tmp_path.iterdir()}
    assert told == {
        "vm-x-uml.json": "BODYCAM_CAMPAIGN=full make vm-test VM=uml ARGS='-k x'",
        "vm-x-uml-trixie.json": "BODYCAM_CAMPAIGN=full make vm-test VM=uml SUITE=trixie ARGS='-k x'",
    }
