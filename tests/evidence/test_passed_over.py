"""What a directory holds beside evidence: nothing there makes a verifier read less, and what it leaves it says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.evidence.findings import What
from agent.evidence.sources import Sources, collect
from agent.evidence.walk import MAX_DEPTH
from agent.spool import requests
from agent.spool.sender import LOCK
from agent.uploader import UPLOADS
from tests.builders import simple_camera
from tests.camera_kit import Desk, begin
from tests.evidence.kit import failures, report_of
from tests.evidence.matrix.case import flipped
from tests.evidence.test_export import run as export_whole
from tests.film import film_camera

BROUGHT = ("checkpoint", "time", "order")
"""What the uploader leaves in inbox/ beside receipts, each under the digest of its content."""


def passed(*paths: Path) -> list[str]:
    """What it says that it did not read."""
    return [f.text for f in report_of(*paths).findings if f.what is What.UNCHECKED and "passed over" in f.text]


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two directories: the segments of a are sound, one of those of b is not."""
    camera = simple_camera()
    camera.write(tmp_path / "t" / "a")
    path = camera.write(tmp_path / "t" / "b")[1]
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
    return tmp_path / "t"


def make_tile(place: Path, of: str) -> None:
    if of == "file":
        (place / "tile").touch()
    elif of == "directory":
        (place / "tile").mkdir()
    elif of == "link":
        (place / "tile").symlink_to(place.parent)


@pytest.mark.wide
@pytest.mark.parametrize("tile", ["none", "file", "directory", "link"])
@pytest.mark.parametrize("below", [".", "c/d", "tile/0"])
def test_no_name_in_a_directory_hides_the_segments_in_it(two: Path, tile: str, below: str) -> None:
    place = two / "b"
    simple_camera().write_log(two / "log")
    (place / "checkpoint").write_bytes((two / "log" / "checkpoint").read_bytes())
    if below != "tile/0" or tile in ("none", "directory"):
        moved = place / below
        moved.mkdir(parents=True, exist_ok=True)
        for path in place.glob("*.tar"):
            path.rename(moved / path.name)
    if not (place / "tile").exists():
        make_tile(place, tile)
    assert What.ALTERED_BYTES in {f.what for f in failures(two)}


def link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def upper(path: Path) -> None:
    path.rename(path.with_suffix(".TAR"))


@pytest.mark.parametrize(
    ("change", "says"), [(link, "1 more"), (pipe, "no regular file"), (upper, ".TAR (of a name that no evidence has)")]
)
def test_what_it_does_not_read_it_says(change: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    path = simple_camera().write(tmp_path)[-1]
    change(path)
    (text,) = passed(tmp_path)
    assert path.stem in text and says in text


def test_many_are_one_note_with_their_number_and_the_first(tmp_path: Path) -> None:
    simple_camera().write(tmp_path)
    (tmp_path / "notes").mkdir()
    for number in range(50):
        (tmp_path / "notes" / f"{number:02}.txt").touch()
    (tmp_path / "z").symlink_to(tmp_path)
    (text,) = passed(tmp_path)
    assert f"{tmp_path / 'notes' / '00.txt'}" in text and "50 more" in text


def test_it_is_said_where_nothing_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "e0000000000-91b3c4d7.TAR").touch()
    with pytest.raises(UsageError, match=r"passed over.*\.TAR"):
        collect([tmp_path])


def test_a_link_beside_a_film_is_not_followed(tmp_path: Path) -> None:
    film_camera().write(tmp_path / "seg")
    proof = Path(export_whole(tmp_path / "seg", tmp_path / "out").exports[0].proof)
    proof.rename(tmp_path / "elsewhere")
    proof.symlink_to(tmp_path / "elsewhere")
    found = collect([tmp_path / "seg", tmp_path / "out"])
    assert [film.unchecked for film in found.films] == ["has no proof beside it"]
    assert found.passed == 1


# -- what the product itself leaves is known -------------------------------------------------------------------------


KEPT = (
    "configuration.json",
    "outbox/dock.json",
    "outbox/ask.json",
    "orders/taken.json",
    "orders/tags.note",
    *(f"inbox/{name}" for name in ("progress.json", UPLOADS, LOCK, *(f"{'0f' * 32}.{kind}" for kind in BROUGHT))),
    f"apply/{requests.STILL}",
    *(f"apply/{'0f' * 32}.{kind}" for kind in (requests.CLOCK, requests.CONFIGURATION, requests.ORDERS)),
)


def nothing_passed(found: Sources) -> None:
    assert found.passed == 0, found.passed_over


def test_a_spool_as_the_recorder_leaves_it(desk: Desk) -> None:
    begin(desk.open()).record(9)
    for name in ("newest-receipt", "reserve", "counter.json"):
        (desk.root / "log" / name).touch()
    for place in KEPT:
        (desk.root / place).parent.mkdir(exist_ok=True)
        (desk.root / place).touch()
    found = collect([desk.root])
    assert found.logs and found.spools == {desk.root}
    nothing_passed(found)


@pytest.mark.parametrize(
    "place", ["notes.txt", "configuration.json.old", "inbox/photo.jpg", "outbox/key", "apply/moved"]
)
def test_what_nobody_of_ours_left_in_a_spool_is_passed_over(place: str, desk: Desk) -> None:
    begin(desk).sealer.close()
    path = desk.root / place
    path.parent.mkdir(exist_ok=True)
    path.touch()
    found = collect([desk.root])
    assert (found.passed, found.first_passed) == (1, f"{path} (of a name that no evidence has)")


def test_an_export_with_what_follows_from_it(tmp_path: Path) -> None:
    film_camera().write(tmp_path / "seg")
    export_whole(tmp_path / "seg", tmp_path / "out")
    nothing_passed(collect([tmp_path]))


def test_a_log_as_deep_as_the_deepest_directory(tmp_path: Path) -> None:
    """Its tiles lie deeper than evidence may."""
    camera = simple_camera()
    camera.write(tmp_path)
    deep = tmp_path.joinpath(*(["d"] * MAX_DEPTH))
    camera.write_log(deep)
    far = deep / "tile" / "0" / "x001" / "x234" / "067.p" / "12"
    far.parent.mkdir(parents=True)
    far.write_bytes(bytes(32))
    found = collect([tmp_path])
    assert found.logs == [deep]
    nothing_passed(found)


@pytest.mark.parametrize("name", ["tile/0/000.p/999", "tile/0/notes.txt", "tile/0/x000/000", "leaves/0"])
def test_what_is_no_tile_in_a_log_is_passed_over(name: str, tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path)
    camera.write_log(tmp_path / "log" / "1")
    path = tmp_path / "log" / "1" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (text,) = passed(tmp_path)
    assert name in text and "more" not in text
