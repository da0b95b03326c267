"""A campaign in parts goes on where it stopped, and its file holds all of it."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import pytest

from tests import campaigns
from tests.campaigns import Campaign


@pytest.fixture(autouse=True)
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(campaigns, "FULL", True)
    monkeypatch.setattr(campaigns, "ROOT", tmp_path)
    monkeypatch.setattr(campaigns, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(campaigns, "commit", lambda: "abc")


def result(tmp_path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((tmp_path / "results" / "c.json").read_text())
    return found


def test_the_parts_add_up(tmp_path: Path) -> None:
    Campaign("c", 0, 3).finish(runs=5, named={"one": 2, "other": 3})
    Campaign("c", 2, 3).finish(runs=7, named={"one": 7})
    found = result(tmp_path)
    assert (found["runs"], found["named"], found["finished"]) == (12, {"one": 9, "other": 3}, "2 of 3 parts")


def test_parts_that_end_at_once_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks at the others' figures while nobody else is between looking and writing."""
    ends, looked = [Campaign("c", part, 2) for part in range(2)], threading.Barrier(2)
    parts = Campaign._parts

    def slowly(campaign: Campaign) -> dict[str, object]:
        found = parts(campaign)
        with contextlib.suppress(threading.BrokenBarrierError):
            looked.wait(0.2)
        return found

    monkeypatch.setattr(Campaign, "_parts", slowly)
    threads = [threading.Thread(target=end.finish, kwargs={"runs": 1}) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert result(tmp_path)["finished"] == "2 of 2 parts"


def test_of_the_worst_the_worst_stands(tmp_path: Path) -> None:
    for part, worst in enumerate((7, 9, 8)):
        Campaign("c", part, 3).finish(worst_loss_ms=worst)
    assert result(tmp_path)["worst_loss_ms"] == 9


def test_only_a_finished_part_is_skipped() -> None:
    Campaign("c", 0, 3).finish(runs=5)
    Campaign("c", 1, 3)
    with pytest.raises(pytest.skip.Exception):
        Campaign("c", 0, 3)


def test_parts_of_another_commit_or_another_division_do_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Campaign("c", 0, 3).finish(runs=5)
    Campaign("c", 0, 2).finish(runs=6)
    assert result(tmp_path)["runs"] == 6
    monkeypatch.setattr(campaigns, "commit", lambda: "def")
    Campaign("c", 1, 2).finish(runs=7)
    assert (result(tmp_path)["runs"], result(tmp_path)["finished"]) == (7, "1 of 2 parts")


def test_with_changes_in_the_tree_nothing_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "commit", lambda: "abc-dirty")
    Campaign("c").finish(runs=5)
    Campaign("c")


def test_a_whole_campaign_is_one_part(tmp_path: Path) -> None:
    Campaign("c").finish(runs=5)
    assert result(tmp_path)["runs"] == 5
    assert "parts" not in result(tmp_path)
    with pytest.raises(pytest.skip.Exception):
        Campaign("c")
