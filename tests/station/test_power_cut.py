"""The power goes, or the process is killed, anywhere while a camera delivers: what the station said stays true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.camera_kit import CAMERA, Desk
from tests.fault.replay import series
from tests.fault.replay.tape import Do, Op
from tests.station.kit import own_agency
from tests.station.powercut import Deaf, Life

Make = Callable[..., Life]
Kind = tuple[Do, str, str]
PARTS = campaigns.size(sample=1, full=8)


@pytest.fixture
def make(agency: AgencyPaths, full: Desk) -> Iterator[Make]:
    with series.memory() as memory:
        count = iter(range(1_000_000))
        yield lambda **options: Life(own_agency(agency, Path(memory, str(next(count)))), full, **options)


def kind(op: Op) -> Kind:
    """What a call is, and on what sort of file."""
    room, _, name = (op.to or op.path).partition("/")
    return op.do, room, name.rpartition(".")[2]


def kills(make: Make) -> dict[Kind, list[int]]:
    """After which calls of a visit the station may be killed, by their kind."""
    whole = make()
    whole.visit()
    found: dict[Kind, list[int]] = {}
    for number, op in enumerate(whole.tape.ops, 1):
        found.setdefault(kind(op), []).append(number)
    return found


def lived(make: Make, kill_at: int, *, impatient: bool = False) -> Life:
    life = make()
    life.visit(kill_at)
    life.visit(impatient=impatient)
    life.check()
    return life


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_killed_when_no_answer_is_taken_back_by_a_power_cut(make: Make, part: int) -> None:
    """Killed after any call, started again, and cut at any moment from then on. In full after each call there is, by a
    patient camera and by one that asks for its receipt first.
    """
    campaign = campaigns.Campaign("station-power-cuts", part, PARTS)
    by_kind = kills(make)
    chosen = sorted(number for numbers in by_kind.values() for number in numbers[: campaigns.size(1, len(numbers))])
    broken, lives = list[str](), 0
    for number in chosen[part::PARTS]:
        for impatient in (False, True) if campaigns.FULL else (number % 2 == 1,):
            life = lived(make, number, impatient=impatient)
            lives += 1
            assert life.promises.receipts
            broken += [f"killed after {life.tape.ops[number - 1].do.value}: {what}" for what in life.broken]
    assert not broken, "\n".join(sorted(set(broken)))
    campaign.finish(lives=lives, kinds_of_call=len(by_kind), failures=len(broken))


def test_an_upload_that_starts_over_has_a_name_again_before_its_offset_is_told(make: Make) -> None:
    """Other bytes came than were announced: what had come is gone, and the part is a new one."""
    life = make()
    life.start_over()
    assert life.promises.uploads
    assert not life.broken


# -- that it can fail: the same by a station that forgets one thing ----------------------------------------------------


def _of_a_part(do: Do, path: str) -> bool:
    return do is Do.SYNC and path.endswith(".part")


def _of_a_record(do: Do, path: str) -> bool:
    return do is Do.SYNC and path.startswith("uploads/.")


def _of_a_reading(do: Do, path: str) -> bool:
    return do is Do.SYNC_DATA


def _of_a_name(do: Do, path: str) -> bool:
    return do is Do.SYNC_DIR and path.startswith("segments/")


def _of_a_receipt(do: Do, path: str) -> bool:
    return do is Do.SYNC and path.startswith("receipts/")


def _of_names_in(room: str) -> Deaf:
    return lambda do, path: do is Do.SYNC_DIR and (path + "/").startswith(room)


def _of_bytes_in(room: str) -> Deaf:
    return lambda do, path: do is Do.SYNC and room in path


FORGOTTEN: dict[str, tuple[Deaf, Kind | None, str]] = {
    "an upload's bytes": (_of_a_part, None, "were told, and are not durable"),
    "an upload's record": (_of_a_record, None, "were told, and are not durable"),
    "bytes before they are read back": (_of_a_reading, (Do.WRITE, "uploads", "part"), "a receipt says"),
    "a segment's name": (_of_a_name, None, "a receipt says"),
    "a receipt": (_of_a_receipt, None, "is not durable"),
    "a receipt's name": (_of_names_in("receipts/"), None, "is not durable"),
    "the names in the station's directory": (_of_names_in("./"), None, "not durable"),
    "the names of uploads": (_of_names_in("uploads/"), None, "were told, and are not durable"),
    "the names of second contents": (_of_names_in("conflicts/"), None, "a receipt says"),
    "a tile": (_of_bytes_in("/tile/"), None, "counts as proven, and is not durable"),
    "a tile's name": (_of_names_in(f"log/{CAMERA}/1/tile/0/"), None, "counts as proven, and is not durable"),
    "the names of a camera's logs": (_of_names_in(f"log/{CAMERA}/"), None, "counts as proven, and is not durable"),
    "a chain": (_of_bytes_in("/chain/"), None, "was taken, and is not durable"),
    "a chain's name": (_of_names_in(f"log/{CAMERA}/1/chain/"), None, "was taken, and is not durable"),
}


@pytest.mark.wide
@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_station_that_forgets_to_sync_is_found_out(make: Make, what: str) -> None:
    deaf, killed, words = FORGOTTEN[what]
    numbers = kills(make)[killed] if killed else [None]
    found: list[str] = []
    for number in numbers:
        life = make(deaf=deaf)
        if number:
            life.visit(number)
        life.visit()
        found += life.broken
        if any(words in one for one in found):
            return
    raise AssertionError(found[:3])


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_witness_that_does_not_sync_its_commits_is_found_out(make: Make, synchronous: str) -> None:
    life = make(synchronous=synchronous)
    life.visit()
    assert any("were cosigned, and the state has 0" in one for one in life.broken)
