"""Both verifiers say the same of two signed histories: the same names, of the same segments."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, What
from tests import campaigns
from tests.builders import Camera, agency
from tests.evidence.fork_kit import WITH_THE_KEY, WITHOUT_A_KEY, begun, both_in, copy_and_fork, grow, parted
from tests.evidence.kit import failures
from tests.independent.kit import names_in, verdicts


def lived(dice: random.Random) -> list[Camera]:
    """Two or three histories of one past."""
    camera = grow(begun(dice.randrange(1 << 30)), *(dice.randint(2, 4) for _ in range(dice.randint(0, 2))))
    twins = [parted(camera, dice.randrange(1 << 30)) for _ in range(dice.choice([2, 2, 3]))]
    return [grow(twin, *(dice.randint(2, 6) for _ in range(dice.randint(1, 4)))) for twin in twins]


def given(place: Path, histories: list[Camera], dice: random.Random) -> list[Path]:
    """The same files twice, each history under another directory; segments may be lost, and a receipt may be there."""
    lost = [dice.random() < 0.15 for camera in histories for _ in camera.segments]
    cosigned = dice.choice([None, None, *histories])
    head = cosigned.receipt([], dice.randint(2, cosigned.frontier.size)) if cosigned else None
    places = []
    for name, order in (("one", histories), ("other", histories[::-1])):
        places.append(both_in(place / name, *order))
        gone = iter(lost)
        for camera in histories:
            directory = places[-1] / "abcd"[order.index(camera)]
            for segment in camera.segments:
                if next(gone):
                    (directory / f"{segment.name}.tar").unlink()
        if head is not None:
            (places[-1] / "a.receipt").write_bytes(head)
    return places


def held(place: Path, histories: list[Camera]) -> set[int]:
    """The leaves that some file has."""
    names = {path.stem for path in place.rglob("*.tar")}
    return {e.index for c in histories for s in c.segments if s.name in names for e in s.entries}


def named(found: list[Finding]) -> set[tuple[str, str | None]]:
    return {(f.what.value, f.segment) for f in found}


@pytest.mark.campaign
def test_both_name_two_histories_alike_and_miss_nothing_that_lies_in_either(tmp_path: Path) -> None:
    """Whatever directory a history is given in."""
    campaign = campaigns.Campaign("independent-forks")
    root, dice, count = agency().write_trust(tmp_path)[0], random.Random(31), campaigns.size(sample=12, full=600)
    ours, by_name = dict[Path, set[tuple[str, str | None]]](), Counter[str]()
    for number in range(count):
        histories = lived(dice)
        places = given(tmp_path / f"{number}", histories, dice)
        found = [failures(place) for place in places]
        assert {f.line() for f in found[0]} == {f.line() for f in found[1]}, number
        for finding in (f for f in found[0] if f.what is What.MISSING_SEGMENT):
            assert finding.first is not None and finding.last is not None
            assert not held(places[0], histories) & {*range(finding.first, finding.last + 1)}, (number, finding.line())
        ours |= {place: named(one) for place, one in zip(places, found, strict=True)}
        by_name.update({what for what, _ in named(found[0])})
    for start in range(0, len(ours), 300):
        for place, said in verdicts(root, *[*ours][start : start + 200]).items():
            assert names_in(said) == ours[place], (place, said)
    assert by_name["fork"]
    campaign.finish(lives=count, disagreed=0, named=dict(by_name))


def test_both_say_the_same_of_what_somebody_lays_beside_the_true_log(tmp_path: Path) -> None:
    root, ours = agency().write_trust(tmp_path)[0], dict[Path, set[tuple[str, str | None]]]()
    for lay in (*WITH_THE_KEY, *WITHOUT_A_KEY, copy_and_fork):
        for cosigned in (False, True):
            place = tmp_path / f"{lay.__name__}-{cosigned}"
            true = lay(place)[0]
            if cosigned:
                (place / "a.receipt").write_bytes(true.receipt(true.segments, true.frontier.size))
            ours[place] = named(failures(place))
    for place, said in verdicts(root, *ours).items():
        if place.name.startswith(tuple(lay.__name__ for lay in WITH_THE_KEY)):
            assert names_in(said) == ours[place], (place.name, said)
        # Of bytes that nobody signed the page lets it say the first that is wrong.
        assert names_in(said) <= ours[place], (place.name, said)
        assert {segment for _, segment in names_in(said)} == {segment for _, segment in ours[place]}


def test_neither_is_kept_from_what_stands_behind_a_tail_that_nobody_signed(tmp_path: Path) -> None:
    """A segment that lacks there is missed by its name, which the one behind it gives."""
    root, places = agency().write_trust(tmp_path)[0], dict[Path, set[str | None]]()
    for lay in WITHOUT_A_KEY:
        place = tmp_path / lay.__name__
        (true,) = lay(place)
        named, lost = true.segments[1].name, true.segments[2].name
        (path,) = place.rglob(f"{lost}.tar")
        path.unlink()
        places[place] = {named, lost}
        assert {f.segment for f in failures(place)} == {named, lost}, lay.__name__
    for place, said in verdicts(root, *places).items():
        assert {segment for _, segment in names_in(said)} == places[place], (place.name, said)
