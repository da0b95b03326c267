"""Every failing finding about a range says when, and which part: held against the life it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.findings import UNSAID, Finding
from agent.evidence.marks import Timeline
from agent.formats import leaf as leaves
from tests.builders import Camera
from tests.evidence.kit import failures, only
from tests.evidence.matrix.truth import Truth
from tests.evidence.range_kit import cosigned_range, indexes, members, written
from tests.evidence.test_ranges import TABLE, Members, drop_part, edit_leaf, entry, parts_of
from tests.film import film_camera


@pytest.fixture(scope="module")
def camera() -> Camera:
    return film_camera()


@pytest.fixture(scope="module")
def proof(camera: Camera, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cosigned_range(camera, tmp_path_factory.mktemp("sound"))


@pytest.fixture
def content(proof: Path) -> Members:
    return members(proof)


HEADLESS = {
    "chain of another agency",
    "checkpoint by another camera",
    "cosigner's certificate gone",
    "cosignature gone",
    "checkpoint in another spelling",
}
"""Nothing is proven, so nothing has a time."""


def wrong_time(truth: Truth, finding: Finding) -> str | None:
    """Like that of the truth; parts that are missing are held against where they were written."""
    written_at = {leaf.part: i for i, leaf in truth.leaves.items() if isinstance(leaf, leaves.MediaLeaf)}
    if finding.first is None and finding.part_first is not None and finding.bounds is not None:
        last = finding.part_last if finding.part_last is not None else finding.part_first
        begin, end = truth.time(written_at[finding.part_first]), truth.time(written_at[last])
        after, before = finding.bounds
        held = (after is None or after < begin) and (before is None or end < before)
        return None if held and finding.when and "from" not in finding.when else finding.line()
    return truth.wrong_time(finding)


@pytest.mark.wide
@pytest.mark.parametrize(("name", "change"), [r[:2] for r in TABLE], ids=[r[0] for r in TABLE])
def test_a_finding_says_when_and_which_part(name, change, camera: Camera, content: Members, tmp_path: Path) -> None:
    truth = Truth.of(camera)
    change(content)
    for finding in failures(written(tmp_path / "r.proof.tar", content)):
        timeless = name in HEADLESS or (finding.what in UNSAID and finding.first is None)
        assert (finding.when is None) == timeless == (finding.when_unknown is not None), finding.line()
        assert wrong_time(truth, finding) is None, finding.line()
        if finding.first is not None and finding.part_first is not None:
            assert truth.wrong_part(finding) is None, finding.line()


EXACT = [
    ("part dropped", "between 08:00:08.0 and 08:00:09.0", [3, 3]),
    ("first part dropped", "between 08:00:06.0 and 08:00:08.5", [2, 2]),
    ("last part dropped", "after 08:00:09.0", [4, 4]),
    ("all parts dropped", "after 08:00:06.0", [2, 4]),
    ("leaf edited", "between 08:00:08.0 and 08:00:09.0", [3, 3]),
    ("report of fewer parts", "08:00:09.5", [4, 4]),
    ("report of more parts", "after 08:00:09.5", [5, 6]),
    ("report of earlier parts", "between 08:00:06.0 and 08:00:08.0", [1, 1]),
]


@pytest.mark.parametrize(("name", "moment", "parts"), EXACT, ids=[e[0] for e in EXACT])
def test_one_cause_is_one_finding_to_the_letter(
    name: str, moment: str, parts: list[int], content: Members, tmp_path: Path
) -> None:
    next(change for row, change, *_ in TABLE if row == name)(content)
    finding = only(failures(written(tmp_path / "r.proof.tar", content)))
    said = (finding.when or "").replace("2026-03-01T", "").replace("00000+00:00", "")
    assert (said, finding.to_json()["parts"]) == (moment, parts)


def start_of(content: Members) -> str:
    return entry(indexes(content)[1], "json")


ONE_CAUSE = {
    "a path in the place of another": lambda c: c.update(
        {entry(parts_of(c)[3], "tlog-proof"): c[entry(parts_of(c)[2], "tlog-proof")]}
    ),
    "a leaf in the place of another": lambda c: c.update(
        {entry(parts_of(c)[3], "json"): c[entry(parts_of(c)[2], "json")]}
    ),
    "a leaf of noise": lambda c: c.update({entry(parts_of(c)[3], "json"): b"noise"}),
    "a leaf gone": lambda c: c.pop(entry(parts_of(c)[3], "json")),
    "the first part's path gone": lambda c: c.pop(entry(parts_of(c)[2], "tlog-proof")),
    "the last part's path gone": lambda c: c.pop(entry(parts_of(c)[4], "tlog-proof")),
    "the start leaf of noise": lambda c: c.update({start_of(c): b"noise"}),
    "an event between two parts edited": lambda c: c.update(
        {entry(parts_of(c)[3] + 1, "json"): c[entry(parts_of(c)[3] + 1, "json")].replace(b"}", b" }")}
    ),
    "no checkpoint": lambda c: c.pop("checkpoint"),
}


@pytest.mark.parametrize("name", ONE_CAUSE)
def test_what_is_here_and_not_proven_is_not_missing_too(name: str, content: Members, tmp_path: Path) -> None:
    ONE_CAUSE[name](content)
    only(failures(written(tmp_path / "r.proof.tar", content)))


def test_what_is_altered_beside_what_is_missing_hides_it_not(content: Members, tmp_path: Path) -> None:
    edit_leaf(content)
    drop_part(content, 2)
    found = failures(written(tmp_path / "r.proof.tar", content))
    assert [(f.part_first, "shortened at its beginning" in f.text) for f in found if "holds" not in f.text] == [
        (None, False),
        (2, True),
    ]


def test_an_event_that_is_altered_stands_for_no_part(content: Members, tmp_path: Path) -> None:
    ONE_CAUSE["an event between two parts edited"](content)
    drop_part(content, 3)
    found = failures(written(tmp_path / "r.proof.tar", content))
    assert sorted((f.what.value, f.part_first) for f in found) == [("altered-bytes", None), ("missing-parts", 3)]


def test_bytes_of_the_whole_range_have_the_time_of_its_parts(content: Members, tmp_path: Path) -> None:
    """And not from the session leaf on, which may be of the day before."""
    sealed = content["init.age"]
    content["init.age"] = sealed[:-1] + bytes([sealed[-1] ^ 1])
    finding = only(failures(written(tmp_path / "r.proof.tar", content)))
    assert (finding.when or "").replace("2026-03-01T", "").replace("00000+00:00", "") == "from 08:00:08.0 to 08:00:09.5"


def test_bounds_that_nothing_proves_are_open() -> None:
    assert Timeline(()).between(Finding(next(iter(UNSAID)), ""), None, 7).when is None
