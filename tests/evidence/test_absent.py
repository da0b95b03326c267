"""A log of which no segment is left is missing from a card or a station that has had it, and from nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.findings import Sure, What
from agent.evidence.sources import collect
from tests.builders import Camera, agency, simple_camera
from tests.evidence import receipts
from tests.evidence.disk_kit import Disk
from tests.evidence.kit import empty_spool, failures, only, report_of
from tests.evidence.test_epochs import second_of
from tests.independent.kit import names_in, verdicts


@pytest.fixture(scope="module")
def epochs() -> list[Camera]:
    """Three logs of one camera, each of which the next one follows."""
    first = simple_camera()
    second = second_of(first)
    return [first, second, second_of(second)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return agency().write_trust(tmp_path)[0]


def told_alike(root: Path, place: Path) -> list[tuple[str, int | None, int | None, Sure]]:
    """What is missing; the other verifier says the same of the directory."""
    found = failures(place)
    assert names_in(verdicts(root, place)[place]) == {(f.what.value, f.segment) for f in found}
    assert {f.what for f in found} <= {What.MISSING_SEGMENT}
    return [(f.of[-1], f.first, f.last, f.sure) for f in found]


def whole(camera: Camera) -> tuple[str, int, int, Sure]:
    return camera.origin, 0, camera.frontier.size - 1, Sure.PROVEN


def station_of(place: Path, *cameras: Camera, receipted: bool = True) -> Path:
    """Its own directory, with the segments of the first alone."""
    cameras[0].write(place / "segments" / cameras[0].name)
    for number, camera in enumerate(cameras):
        camera.write_log(place / "log" / camera.name / f"{number}")
        home = place / "receipts" / camera.name
        home.mkdir(parents=True, exist_ok=True)
        if receipted:
            (home / f"{number}.receipt").write_bytes(camera.receipt(camera.segments))
    return place


def unasked(*paths: Path) -> list[str]:
    """The logs of which it is said that none of them is asked for."""
    text = "of these logs no segment is given, and none is asked for"
    return [origin for f in report_of(*paths).findings if f.text.startswith(text) for origin in f.of]


# -- a station -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("another", [False, True])
def test_a_log_whose_segments_a_station_receipted_is_missing_from_it(
    another: bool, epochs: list[Camera], root: Path, tmp_path: Path
) -> None:
    """The newest of a camera, or all of another one."""
    gone = Camera(agency(), "cam-0002", seed=6).new_session().shutdown() if another else epochs[1]
    place = station_of(tmp_path / "station", epochs[0], gone)
    assert told_alike(root, place) == [whole(gone)]
    found = only(failures(place))
    assert gone.segments[0].name in found.text and (found.when is None) is another
    gone.write(place / "segments" / gone.name)
    assert told_alike(root, place) == []


def test_its_tiles_alone_ask_for_nothing(epochs: list[Camera], root: Path, tmp_path: Path) -> None:
    """A camera has its head cosigned before it sends a segment, and may be taken from the dock in between."""
    place = station_of(tmp_path / "station", *epochs[:2], receipted=False)
    assert told_alike(root, place) == [] and unasked(place) == [epochs[1].origin]


def test_what_it_purged_of_such_a_log_is_told(epochs: list[Camera], root: Path, tmp_path: Path) -> None:
    """Its events are never purged."""
    first, second, _ = epochs
    place = station_of(tmp_path / "station", first, second)
    (place / "receipts" / second.name / "1.receipt").write_bytes(second.receipt(second.segments[:1]))
    recorded = second.segments[1]
    (place / "a.purge").write_bytes(second.purge([recorded]))
    own = recorded.entries[0].index, recorded.entries[-1].index
    lacks = [(second.origin, 0, own[0] - 1, Sure.PROVEN), (second.origin, own[1] + 1, whole(second)[2], Sure.PROVEN)]
    assert told_alike(root, place) == lacks
    purged = only([f for f in report_of(place).findings if f.what is What.PURGED])
    assert (purged.of, purged.first, purged.last) == ((second.origin,), *own)


def test_a_file_of_it_that_cannot_be_read_is_not_missing(
    epochs: list[Camera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = epochs
    place, disk = station_of(tmp_path / "station", first, second), Disk(monkeypatch)
    (place / "receipts" / second.name / "1.receipt").write_bytes(second.receipt(second.segments, leaves_of=receipts.of))
    paths = [segment.write(place / "segments" / second.name) for segment in second.segments]
    for path in paths:
        disk.lock(path)
    assert {f.what for f in failures(place)} == {What.UNREADABLE}
    paths[-1].unlink()
    lacks = only([f for f in failures(place) if f.what is What.MISSING_SEGMENT])
    assert (lacks.first, lacks.sure) == (second.segments[-1].entries[0].index, Sure.PROVEN)
    # Without their leaves nothing gives them a place.
    (place / "receipts" / second.name / "1.receipt").write_bytes(second.receipt(second.segments))
    paths[-1].write_bytes(second.segments[-1].to_bytes())
    disk.lock(paths[-1])
    assert {f.sure for f in failures(place) if f.what is What.MISSING_SEGMENT} == {Sure.OPEN}


def test_a_segment_that_names_no_log_may_be_of_it(epochs: list[Camera], root: Path, tmp_path: Path) -> None:
    first, second, _ = epochs
    place = station_of(tmp_path / "station", first, second)
    path = second.segments[0].write(place / "segments" / second.name)
    path.write_bytes(bytes(path.stat().st_size))
    found = [(f.of[-1:], f.sure) for f in failures(place) if f.what is What.MISSING_SEGMENT]
    assert found == [((second.origin,), Sure.OPEN)]
    assert path.stem in only([f for f in failures(place) if f.what is What.MISSING_SEGMENT]).text


# -- a card --------------------------------------------------------------------------------------------------------


def card_of(root: Path, epochs: Sequence[Camera], here: int, told: Callable[[Camera], bytes] | None) -> Path:
    """It has the segments of one of its epochs alone."""
    empty_spool(root, "receipts", "log")
    for number, camera in enumerate(epochs):
        camera.write_log(root / "log" / f"{number + 1}")
        if told is not None:
            (root / "receipts" / f"{number}.receipt").write_bytes(told(camera))
    epochs[here].write(root / "sealed")
    return root


def without_leaves(camera: Camera) -> bytes:
    return camera.receipt(camera.segments)


def with_leaves(camera: Camera) -> bytes:
    return camera.receipt(camera.segments, leaves_of=receipts.of)


def of_the_first(camera: Camera) -> bytes:
    return camera.receipt(camera.segments[:1], leaves_of=receipts.of)


@pytest.mark.parametrize("told", [with_leaves, without_leaves])
@pytest.mark.parametrize("here", [0, 2])
def test_a_card_need_not_have_what_was_delivered_of_any_epoch(
    here: int, told: Callable[[Camera], bytes], epochs: list[Camera], root: Path, tmp_path: Path
) -> None:
    place = card_of(tmp_path / "card", epochs, here, told)
    assert told_alike(root, place) == [] and unasked(place) == []
    held = {origin for f in report_of(place).findings if f.what is What.HELD_ELSEWHERE for origin in f.of}
    assert held >= {camera.origin for number, camera in enumerate(epochs) if number != here}
    shutil.rmtree(place / "log")
    assert told_alike(root, place) == []


def test_what_a_card_has_no_receipt_for_is_missing(epochs: list[Camera], root: Path, tmp_path: Path) -> None:
    """Of the newest, and of the oldest, which the one behind it would tell of and is gone too."""
    assert told_alike(root, card_of(tmp_path / "oldest", epochs, 0, None)) == [whole(camera) for camera in epochs[1:]]
    newest = told_alike(root, card_of(tmp_path / "newest", epochs, 2, None))
    assert sorted(newest) == [whole(camera) for camera in epochs[:2]]


def test_and_what_receipts_name_not(epochs: list[Camera], root: Path, tmp_path: Path) -> None:
    place = card_of(tmp_path / "card", epochs[:2], 0, of_the_first)
    begin = epochs[1].segments[1].entries[0].index
    assert told_alike(root, place) == [(epochs[1].origin, begin, whole(epochs[1])[2], Sure.PROVEN)]


def test_nor_does_a_station_excuse_what_it_lost(epochs: list[Camera], root: Path, tmp_path: Path) -> None:
    """Card and station are given, and neither has anything of the second log."""
    both = tmp_path / "both"
    card_of(both / "card", epochs[:2], 0, with_leaves)
    assert told_alike(root, both) == []
    station_of(both / "station", epochs[0])
    assert told_alike(root, both) == [whole(epochs[1])]


def test_a_receipt_on_it_that_cannot_be_read_leaves_it_open(
    epochs: list[Camera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, disk = card_of(tmp_path / "card", epochs[:2], 0, with_leaves), Disk(monkeypatch)
    disk.lock(place / "receipts" / "1.receipt")
    assert {(f.what, f.sure) for f in failures(place)} == {
        (What.UNREADABLE, Sure.PROVEN),
        (What.MISSING_SEGMENT, Sure.OPEN),
    }


# -- neither -------------------------------------------------------------------------------------------------------


def test_who_gives_receipts_and_tiles_beside_evidence_is_asked_for_no_other_log(
    epochs: list[Camera], root: Path, tmp_path: Path
) -> None:
    """Segments one by one, a directory of them, an export; the receipts of a station, and its tiles, of more logs."""
    first, second, _ = epochs
    other = Camera(agency(), "cam-0002", seed=6).new_session().shutdown()
    said = tmp_path / "said"
    for number, camera in enumerate((first, second, other)):
        camera.write_log(said / f"{number}")
        (said / f"{number}.receipt").write_bytes(camera.receipt(camera.segments))
    paths = first.write(tmp_path / "segments")
    export(collect([tmp_path / "segments"]), agency().root, [agency().identity], ExportOptions(tmp_path / "out"))
    (proof,) = (tmp_path / "out").glob("*.proof.tar")
    loose = [said / "1.receipt", said / "2.receipt"]
    for given in ([tmp_path / "segments"], paths[1:2], paths, [proof], [tmp_path / "out"]):
        for beside in ([said], loose):
            assert failures(*given, *beside) == []
            assert unasked(*given, *beside) == [second.origin, other.origin]
    shutil.move(said, tmp_path / "segments" / "said")
    assert told_alike(root, tmp_path / "segments") == []
