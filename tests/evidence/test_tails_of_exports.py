"""An export whose last segments were taken away: what is left in it that names them tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.evidence.findings import What
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import failures, notes, report_of
from tests.evidence.range_kit import members, written
from tests.evidence.test_exports_of_cards import unpacked
from tests.evidence.test_purged import noted
from tests.evidence.test_purged_exports import exported as export_of
from tests.evidence.test_side_by_side import recorded
from tests.independent.kit import names_in, verdicts

Leaves = Callable[[Segment], tuple[int, int]]


def leaves(segment: Segment) -> tuple[int, int]:
    return segment.entries[0].index, len(segment.entries)


def no_leaves(segment: Segment) -> tuple[int, int]:
    """As a station of an earlier version says."""
    return 0, 0


def exported(camera: Camera, place: Path, told: Leaves, *, purged: tuple[Segment, ...] = ()) -> Path:
    """Its first recording, from a station that has purged these segments of it."""
    kept = [segment for segment in camera.segments if segment not in purged]
    for segment in kept:
        segment.write(place / "segments")
    (place / "purges").mkdir()
    if purged:
        noted(place, camera.purge(purged))
    (place / "a.receipt").write_bytes(camera.receipt(kept, leaves_of=told))
    (made,) = export_of(place, place / "out", camera.segments[1].name[:20]).exports
    return Path(made.proof)


def cut(proof: Path, place: Path, camera: Camera, kept: int, *gone: str) -> Path:
    """Without its segments behind the first `kept`, and what lies in these folders."""
    names = {segment.name for segment in camera.segments[kept:]}
    left = {n: d for n, d in members(proof).items() if Path(n).stem not in names and n.partition("/")[0] not in gone}
    place.mkdir(exist_ok=True)
    return written(place / proof.name, left)


def lacks(root: Path, proof: Path) -> list[tuple[str | None, int | None, int | None]]:
    """What both verifiers miss in it: segment, first and last leaf."""
    found = failures(proof)
    assert {f.what for f in found} <= {What.MISSING_SEGMENT}
    assert names_in(verdicts(root, proof)[proof]) == {(f.what.value, f.segment) for f in found}
    return [(f.segment, f.first, f.last) for f in found]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return agency().write_trust(tmp_path)[0]


@pytest.mark.parametrize("told", [leaves, no_leaves])
def test_a_receipt_in_it_names_what_is_gone(told: Leaves, root: Path, tmp_path: Path) -> None:
    """Segments 1 to 3 are of the recording, and 4 is the one behind it."""
    camera = recorded(3, (3, Camera.stop), (1, Camera.stop))
    proof = exported(camera, tmp_path / "station", told)
    for kept in (2, 3):
        bare = cut(proof, tmp_path / f"{kept}", camera, kept, "cosigned")
        first, end, last = camera.segments[kept].entries[0].index, camera.segments[3], camera.segments[kept]
        name = last.name if kept == 3 else None
        reach = end.entries[-1].index if told is leaves else first
        assert lacks(root, bare) == [(name, first, reach)]
        # What tells of it once is enough, and without either nobody does.
        head = cut(proof, tmp_path / f"{kept}head", camera, kept)
        assert len(lacks(root, head)) == 1
        nothing = cut(proof, tmp_path / f"{kept}nothing", camera, kept, "cosigned", "receipts")
        assert lacks(root, nothing) == [] and What.TAIL_UNPROVEN in notes(nothing)


@pytest.mark.parametrize("gone", [("cosigned",), ("cosigned", "receipts")])
def test_a_purge_note_in_it_names_what_came_behind(gone: tuple[str, ...], root: Path, tmp_path: Path) -> None:
    camera = recorded(3, (4, Camera.stop))
    proof = exported(camera, tmp_path / "station", leaves, purged=tuple(camera.segments[4:5]))
    assert failures(proof) == []
    between = camera.segments[3]
    bare = cut(proof, tmp_path / "cut", camera, 3, *gone)
    name = between.name if gone == ("cosigned",) else None
    assert lacks(root, bare) == [(name, between.entries[0].index, between.entries[-1].index)]


def test_of_one_that_begins_at_its_end_nothing_is_asked_for(root: Path, tmp_path: Path) -> None:
    """The power cut the first recording, and the second began in the segment that says so; receipts name its own."""
    camera = recorded(3, (1, Camera.crash), (2, Camera.stop))
    proof = exported(camera, tmp_path / "station", leaves)
    (state,) = [s for s in report_of(proof).logs[0].watch.recordings.values() if not proof.name.startswith(s.recording)]
    assert state.ended is None
    for gone in ((), ("cosigned",)):
        assert lacks(root, cut(proof, tmp_path / f"{len(gone)}", camera, len(camera.segments), *gone)) == []


def test_of_segments_that_are_named_one_by_one_no_more_is_asked_for(tmp_path: Path) -> None:
    """The second recording begins in the last of them."""
    camera = recorded(3, (1, Camera.crash), (2, Camera.stop))
    given = [segment.write(tmp_path) for segment in camera.segments[:3]]
    (tmp_path / "a.receipt").write_bytes(camera.receipt(camera.segments, leaves_of=leaves))
    assert failures(*given, tmp_path / "a.receipt") == []


def test_it_is_missed_in_one_that_was_unpacked_too(root: Path, tmp_path: Path) -> None:
    camera = recorded(3, (3, Camera.stop))
    proof = exported(camera, tmp_path / "station", leaves)
    bare = cut(proof, tmp_path / "cut", camera, 3, "cosigned")
    assert lacks(root, unpacked(bare, tmp_path / "unpacked")) == lacks(root, bare) != []


def test_what_was_made_later_does_not_accuse_an_export_of_one_that_ran(tmp_path: Path) -> None:
    """The second recording was exported while it ran, the first when all was there, with receipts of all."""
    camera = recorded(3, (1, Camera.stop), (3, Camera.stop))
    running = camera.segments[-2].name[:20]
    at = next(n for n, segment in enumerate(camera.segments) if segment.name == f"{running}-0001")
    for segment in camera.segments[: at + 1]:
        segment.write(tmp_path / "early")
    (tmp_path / "early" / "a.receipt").write_bytes(
        camera.receipt(camera.segments[: at + 1], camera.segments[at].entries[-1].index + 1, leaves_of=leaves)
    )
    (then,) = export_of(tmp_path / "early", tmp_path / "then", running).exports
    late = exported(camera, tmp_path / "late", leaves)
    receipt = tmp_path / "late" / "a.receipt"
    assert then.problems == [] and then.gaps == []
    for beside in ([], [late], [receipt], [late, receipt]):
        assert failures(Path(then.proof), *beside) == []


@pytest.mark.parametrize("gone", [("cosigned",), ("receipts",), ("cosigned", "receipts")])
def test_what_is_taken_from_the_middle_of_one_that_was_cut_is_missing(
    gone: tuple[str, ...], root: Path, tmp_path: Path
) -> None:
    """Segments 1 to 3 are the recording's, 4 says that it was cut, and 5 names that: it goes with the export."""
    camera = recorded(3, (3, Camera.crash))
    camera.new_session().shutdown()
    proof = exported(camera, tmp_path / "station", leaves)
    given = [name for name in members(proof) if name.startswith("segments/")]
    assert len(given) == 6 and lacks(root, cut(proof, tmp_path / "whole", camera, 6, *gone)) == []
    for first in range(1, 5):
        taken = {f"segments/{segment.name}.tar" for segment in camera.segments[first:5]}
        place = tmp_path / f"{first}"
        place.mkdir()
        kept = {n: d for n, d in members(proof).items() if n not in taken and n.partition("/")[0] not in gone}
        found = lacks(root, written(place / proof.name, kept))
        assert found[0][1] == camera.segments[first].entries[0].index
        assert found[-1][2] == camera.segments[4].entries[-1].index
