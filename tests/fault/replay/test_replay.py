"""The power goes anywhere in lives that were written down, and the disk keeps of it what a disk may keep."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.media.joining import MOST_PIECES
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.fault.replay import series, whole
from tests.fault.replay.cuts import Cutter, Write
from tests.fault.replay.disk import DONE, Disk
from tests.fault.replay.judge import Judge
from tests.fault.replay.lives import COUNTER, Camera, busy
from tests.fault.replay.series import Deaf, Series, Tally
from tests.fault.replay.tape import Do

PARTS, LIVES, QUOTA = 10, 3, 26
"""In full: so many lives in each part, and from each so many states of a class at the most."""
SESSIONS, WHOLE_QUOTA = 12, 90
"""Of the whole recorder. Every second has a log long enough for a full tile, every other one that ends for the next;
every third the ring of a camera as it is installed.
"""
EVERY_SECOND = (Write.FULL_TILE, Write.EPOCH)
WANTED_STATES, WANTED_OF_A_CLASS = 10_000, 500


@pytest.fixture
def memory() -> Iterator[Path]:
    with series.memory() as directory:
        yield directory


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(campaigns.size(sample=1, full=PARTS)))
def test_any_state_that_a_power_cut_may_leave_is_recovered(agency: AgencyPaths, part: int) -> None:
    """It starts; what was promised is there, opens and verifies; the log is one; each second is accounted for; at most
    1 s of live media is lost, and of a ring that was being flushed no more than the verifier says.
    """
    campaign = campaigns.Campaign("power-cut-states", part, PARTS)
    tally = Tally()
    for lived in _lives(agency, part):
        tally.add(lived)
    assert not tally.failures, "\n".join(tally.failures[:20])
    for write in Write:
        assert len(tally.states[write.value]) >= campaigns.size(sample=2, full=WANTED_OF_A_CLASS // PARTS), write
    assert tally.distinct >= campaigns.size(sample=40, full=WANTED_STATES // PARTS)
    assert tally.worst_loss_ns > 0
    assert tally.worst_flush_loss_ns > 2 * NS
    campaign.finish(**_figures(tally))


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "states": tally.distinct,
        "failures": len(tally.failures),
        "worst_loss_ms": round(tally.worst_loss_ns / 1e6),
        "worst_flush_loss_ms": round(tally.worst_flush_loss_ns / 1e6),
        "by_class": {name: len(states) for name, states in sorted(tally.states.items())},
    }


def _lives(agency: AgencyPaths, part: int) -> Iterator[Tally]:
    """In full over both cores."""
    if not campaigns.FULL:
        yield series.run(agency.root, 3, 2)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn) as pool:
        yield from pool.map(partial(series.run, agency.root, quota=QUOTA), range(part * LIVES, (part + 1) * LIVES))


@pytest.mark.campaign
@pytest.mark.skipif(not campaigns.FULL, reason="it lives in real time: with the campaigns in full")
@pytest.mark.parametrize("part", range(SESSIONS))
def test_any_state_that_a_power_cut_may_leave_of_the_whole_recorder_is_recovered(
    agency: AgencyPaths, memory: Path, part: int
) -> None:
    """Its own threads, real parts, what its events say, and the loss by the clock on the wall."""
    campaign = campaigns.Campaign("power-cut-states-recorder", part, SESSIONS)
    session = whole.Session(agency, memory / "recorder", random.Random(part), ring=part % 3 == 1)
    session.live(long=part % 2 == 0, renewed=part % 2 == 1)
    states, ring_ns = memory / "states", session.config.recording.pre_event_s * NS
    judge = Judge(agency, session.config, {}, states, session.epoch, ring_ns, keyed=True)
    if session.epoch > 1:
        judge.learn(session.config.spool.dir)
    recorder = Series(agency, memory, part, WHOLE_QUOTA)
    recorder.cut(session.tape, judge)
    tally = recorder.tally
    assert not tally.failures, "\n".join(tally.failures[:20])
    for write in Write:
        least = -(-WANTED_OF_A_CLASS // SESSIONS)
        if write in EVERY_SECOND:
            least = 2 * least if write is EVERY_SECOND[part % 2] else 0
        assert len(tally.states.get(write.value, ())) >= least, write
    assert tally.distinct > WANTED_STATES // SESSIONS
    campaign.finish(**_figures(tally))


RING_PARTS, LIVE_PARTS = 24, 4
"""Of half a second: a ring, and what came live while it was flushed, and after that."""


@pytest.mark.campaign
def test_a_cut_while_a_ring_is_flushed_keeps_all_that_was_told_durable(agency: AgencyPaths, memory: Path) -> None:
    """In longer parts than live ones, each with one sync: any of its blocks may be there or not. What is lost meanwhile
    the verifier says; after it no more than a second is.
    """
    chance = random.Random(5)
    camera, made = Camera(agency, memory, chance), list[int]()
    tape = camera.live(lambda lived: made.append(lived.press(RING_PARTS, LIVE_PARTS)))
    assert made[0] < RING_PARTS // 2 + LIVE_PARTS
    judge = Judge(agency, camera.config, camera.parts, memory / "states", ring_ns=RING_PARTS * NS // 2)
    cuts = Series(agency, memory, 5, campaigns.size(sample=12, full=500))
    cuts.cut(tape, judge, frozenset({Write.PART}), COUNTER)
    assert not cuts.tally.failures, "\n".join(cuts.tally.failures[:20])
    assert cuts.tally.distinct >= campaigns.size(sample=8, full=400)
    assert cuts.tally.worst_flush_loss_ns > (RING_PARTS - MOST_PIECES) * NS // 2
    assert 0 < cuts.tally.worst_loss_ns <= NS


def test_the_tape_holds_every_change(agency: AgencyPaths, memory: Path) -> None:
    """Played to its end, it gives the files that are there."""
    camera = Camera(agency, memory, random.Random(1))
    tape = camera.live(busy)
    end = Cutter(tape.ops, Disk(), random.Random(1)).end
    image = end.image([DONE] * len(end.pending))
    files = {str(p.relative_to(camera.root)): p.read_bytes() for p in camera.root.rglob("*") if p.is_file()}
    assert {path: content.data + bytes(content.size - len(content.data)) for path, content in image.files.items()} == {
        path: data.rstrip(b"\0") + bytes(len(data) - len(data.rstrip(b"\0"))) for path, data in files.items()
    }
    assert image.directories == {str(p.relative_to(camera.root)) for p in camera.root.rglob("*") if p.is_dir()}


# -- that it can fail: the same lives by a product that forgets one thing ---------------------------------------------


def _no_fdatasync(do: Do, path: str) -> bool:
    return do is Do.SYNC_DATA


def _no_directory_sync(do: Do, path: str) -> bool:
    return do is Do.SYNC_DIR


def _no_sync_aside(do: Do, path: str) -> bool:
    return do is Do.SYNC and path.endswith(".tmp")


FORGOTTEN: dict[str, tuple[Deaf, Write, str]] = {
    "fdatasync of an entry": (_no_fdatasync, Write.PART, "the verifier says"),
    "fsync of a directory": (_no_directory_sync, Write.RENAME, "missing"),
    "fsync of a file written aside": (_no_sync_aside, Write.RECORD, "appears before its bytes are durable"),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_product_that_forgets_to_sync_is_found_out(agency: AgencyPaths, memory: Path, what: str) -> None:
    deaf, write, words = FORGOTTEN[what]
    forgetful = Series(agency, memory, 2, 8)
    forgetful.run(busy, frozenset({write}), deaf)
    assert any(words in failure for failure in forgetful.tally.failures), forgetful.tally.failures[:3]


def _no_sync_of_a_segment(do: Do, path: str) -> bool:
    return do is Do.SYNC and path.startswith("open/")


def test_a_start_that_forgets_to_sync_the_segment_it_closes_is_found_out(agency: AgencyPaths, memory: Path) -> None:
    forgetful = Series(agency, memory, 2, 4)
    forgetful.run(busy, frozenset({Write.PART, Write.RECOVERY}), deaf_start=_no_sync_of_a_segment)
    assert any("appears before its bytes are durable" in failure for failure in forgetful.tally.failures)
