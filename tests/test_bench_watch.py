"""The exit status that the faults of a bench run mean: those of README, and never 0 where something is lost."""

from __future__ import annotations

from typing import Any

import pytest

from agent.bench_result import exit_status
from agent.bench_watch import MEANS, Watch, status_of
from agent.errors import Exit
from tests.test_bench_report import STATUS
from tests.test_officer_words import faults

LAST: dict[str, Any] = {**STATUS, "parts": 12, "parts_lost": 0}


@pytest.mark.parametrize(
    ("faults", "last", "status"),
    [
        ({}, {}, Exit.OK),
        ({"camera": "gone"}, {}, Exit.DEVICE),
        ({"microphone": "silent"}, {"faults": {"microphone": "silent"}}, Exit.DEVICE),
        ({"microphone": "silent"}, {}, Exit.OK),
        ({"overload": "too slow"}, {"faults": {"overload": "too slow"}}, Exit.OK),
        ({"durable": "stands still", "pictures": "none", "loop": "busy", "battery": "low"}, {}, Exit.OK),
        ({"panel": "gone"}, {}, Exit.DEVICE),
        ({"storage": "full"}, {}, Exit.STORAGE),
        ({"media": "2 parts could not be stored"}, {}, Exit.STORAGE),
        ({"reserve": "no room"}, {}, Exit.STORAGE),
        ({}, {"parts_lost": 1}, Exit.STORAGE),
        ({"identity": "no TPM"}, {}, Exit.KEYS),
        ({"recorder": "ValueError: x"}, {}, Exit.SOFTWARE),
        ({"lens": "covered"}, {"faults": {"lens": "covered"}}, Exit.DEVICE),
        ({"lens": "covered", "picture": "frozen", "sound": "silence", "clipping": "loud"}, {}, Exit.OK),
        ({"overlay": "no font"}, {}, Exit.DEVICE),
        ({"uploader": "nobody sends"}, {}, Exit.NETWORK),
        ({"settings": "a key out of range"}, {}, Exit.USAGE),
        ({"storage": "full", "camera": "gone"}, {}, Exit.DEVICE),
    ],
)
def test_faults_mean_their_documented_status(faults: dict[str, str], last: dict[str, Any], status: Exit) -> None:
    assert status_of(faults, LAST | last) is status


def test_each_fault_that_the_code_can_raise_has_a_status_and_no_other() -> None:
    """A new one says what it means here; none is one of the disk for want of an entry."""
    assert set(MEANS) == faults()
    assert status_of({"no such fault": "x"}, LAST) is Exit.SOFTWARE


def test_a_fault_that_is_over_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([{**LAST, "faults": {"camera": "gone"}}, {**LAST, "faults": {}}])
    monkeypatch.setattr("agent.bench_watch.ask", lambda *_: next(told))
    shown: list[Any] = []
    watch = Watch(None, shown.append)
    watch.look()
    assert watch.look() == watch.last == LAST
    assert (watch.faults, len(shown)) == ({"camera": "gone"}, 2)


def seen(**more: Any) -> dict[str, Any]:
    return {"interrupted": False, "status": LAST, "faults": {}, **more}


@pytest.mark.parametrize(
    ("what", "verified", "exported", "status"),
    [
        (seen(), 0, 0, Exit.OK),
        (seen(faults={"media": "2 parts could not be stored"}), 0, 0, Exit.STORAGE),
        (seen(faults={"storage": "full"}, error={"status": 5}), 1, 0, Exit.STORAGE),
        (seen(error={"status": 5}), 1, 0, Exit.NETWORK),
        (seen(), 1, 2, Exit.EVIDENCE),
        (seen(), 70, 0, Exit.SOFTWARE),
        (seen(), 0, 6, Exit.KEYS),
        (seen(status={**LAST, "parts": 0}), 0, 0, Exit.DEVICE),
        (seen(status={**LAST, "parts": 0}, interrupted=True), 0, 0, Exit.INTERRUPTED),
        (seen(status={**LAST, "parts": 0}, faults={"storage": "full"}), 0, 0, Exit.STORAGE),
    ],
)
def test_the_first_thing_that_went_wrong_decides(
    what: dict[str, Any], verified: int, exported: int, status: Exit
) -> None:
    assert exit_status(what, verified, exported) is status
