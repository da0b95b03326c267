"""Only what a trusted signature proves may speak against anything else: forged, stray and damaged segments accuse
nobody but themselves.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.findings import What
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS
from tests.builders import Camera, Segment, agency, make_agency, replaced, simple_camera
from tests.evidence.kit import failures, report_of

YEAR_NS = 365 * 86_400 * NS


def forger() -> Camera:
    """Another agency's camera that writes a log of the same name, in the same boot, long after."""
    camera = Camera(make_agency("another"), seed=5)
    camera.forge = lambda leaf: replaced(
        leaf, stamp=replace(leaf.common.stamp, mono_ns=YEAR_NS + leaf.common.index, boottime_ns=YEAR_NS)
    )
    return camera.new_session()


def nothing_more(camera: Camera, innocent: Segment) -> None:
    pass


def a_false_seal(camera: Camera, innocent: Segment) -> None:
    facts = innocent.record().facts() | {"sha256": hashlib.sha256(b"other bytes").hexdigest()}
    camera.event(Kind.SEAL, {"type": "seal"}, facts, innocent.header.recording)


def parts_of_its_recording(camera: Camera, innocent: Segment) -> None:
    """The recording is said to have begun, with more parts than it has yet, and to be over."""
    camera.start()
    camera.recording = innocent.header.recording
    camera.parts = 40
    camera.part()
    camera.stop()


def another_session(camera: Camera, innocent: Segment) -> None:
    camera.new_session()
    camera.shutdown()


def a_long_log(camera: Camera, innocent: Segment) -> None:
    for _ in range(30):
        camera.event()


FORGERIES = [nothing_more, a_false_seal, parts_of_its_recording, another_session, a_long_log]


@pytest.mark.wide
@pytest.mark.parametrize("instead", [True, False], ids=["instead of the first", "beside them"])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_segment_accuses_nobody(
    forgery: Callable[[Camera, Segment], None], instead: bool, tmp_path: Path
) -> None:
    camera, forged = simple_camera(), forger()
    forgery(forged, camera.segments[1])
    forged.close_segment()
    paths = camera.write(tmp_path / "segments")[1 if instead else 0 :]
    given = [*paths, *forged.write(tmp_path / "forged")]
    found = [f for f in failures(*given) if f.segment in {path.stem for path in paths}]
    assert found == [], [f.line() for f in found]
    assert What.UNTRUSTED_CHAIN in {f.what for f in failures(*given)}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_segment_hides_no_damage(forgery: Callable[[Camera, Segment], None], tmp_path: Path) -> None:
    camera, forged = simple_camera(), forger()
    forgery(forged, camera.segments[1])
    forged.close_segment()
    forged.write(tmp_path)
    damaged = camera.segments[2].entries[2]
    damaged.sealed = damaged.sealed[:-1] + bytes([damaged.sealed[-1] ^ 1])
    del camera.segments[3]
    camera.write(tmp_path)
    found = [f for f in failures(tmp_path) if f.segment == camera.segments[2].name]
    assert [(f.what, f.first) for f in found] == [(What.ALTERED_BYTES, 8)]


def test_a_forged_segment_hides_no_missing_end(tmp_path: Path) -> None:
    camera, forged = Camera(agency()).new_session(), forger()
    camera.start()
    camera.part()
    camera.new_session()
    camera.shutdown()
    camera.write(tmp_path)
    forged.close_segment()
    forged.write(tmp_path)
    assert {f.what for f in failures(tmp_path)} == {What.UNTRUSTED_CHAIN, What.NO_END}


def test_leaves_behind_a_lost_one_accuse_nobody(tmp_path: Path) -> None:
    """Their roots cannot be computed, so that anybody may have rewritten them."""
    camera = simple_camera()
    segment = camera.segments[1]
    for entry in segment.entries[1:]:
        late = leaves.parse(entry.leaf)
        stamp = replace(late.common.stamp, mono_ns=YEAR_NS, boottime_ns=YEAR_NS)
        entry.leaf = leaves.to_bytes(replaced(late, stamp=stamp))
    camera.write(tmp_path)
    found = failures(tmp_path)
    assert {f.segment for f in found} == {segment.name}, [f.line() for f in found]
    assert {f.what for f in found} == {What.ALTERED_BYTES}


def test_a_leaf_that_no_signature_follows_accuses_nobody(tmp_path: Path) -> None:
    camera = simple_camera()
    segment = camera.segments[1]
    last = segment.entries[-1]
    late = leaves.parse(last.leaf)
    stamp = replace(late.common.stamp, mono_ns=YEAR_NS, boottime_ns=YEAR_NS)
    last.leaf = leaves.to_bytes(replaced(late, stamp=stamp))
    last.note = forger().sign("nothing\n")
    camera.write(tmp_path)
    found = failures(tmp_path)
    assert {f.segment for f in found} == {segment.name}, [f.line() for f in found]


def test_what_is_not_proven_is_not_counted(tmp_path: Path) -> None:
    forged = forger()
    forged.start()
    forged.part()
    forged.stop()
    forged.write(tmp_path)
    (log,) = report_of(tmp_path).logs
    assert log.watch.leaf_count == 0
    assert log.watch.recordings == {}
    assert {f.what for f in failures(tmp_path)} == {What.UNTRUSTED_CHAIN}


def test_leaves_are_proven_by_the_next_good_signature(tmp_path: Path) -> None:
    camera = simple_camera()
    entry = camera.segments[1].entries[1]
    entry.note = forger().sign("nothing\n")
    camera.write(tmp_path)
    (log,) = report_of(tmp_path).logs
    assert log.watch.leaf_count == 13
    assert next(iter(log.watch.recordings.values())).parts == 6


@pytest.mark.parametrize("copy", ["a", "r0000000000-00000000-0000", "r9999999999-00000000-0000"])
@pytest.mark.parametrize("which", [1, 2])
def test_of_equal_files_the_copy_is_the_one_with_another_name(which: int, copy: str, tmp_path: Path) -> None:
    paths = simple_camera().write(tmp_path)
    shutil.copy(paths[which], tmp_path / f"{copy}.tar")
    assert [(f.what, f.segment) for f in failures(tmp_path)] == [(What.REPEATED_SEGMENT, copy)]
