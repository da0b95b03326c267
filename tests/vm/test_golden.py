"""The camera that each test gets a copy of is whole, or is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.conftest import Golden


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
