"""Several logs of one camera: what is missing between them is named, and a forged one is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.commands import main
from agent.evidence.findings import Finding, What
from agent.formats import leaf as leaves
from agent.formats import note
from agent.formats.epoch import Why
from agent.formats.leaf import Kind
from tests.builders import Camera, agency, make_agency, replaced, simple_camera
from tests.evidence.kit import failures, notes, only, report_of, write_head


def second_of(first: Camera, **changes: object) -> Camera:
    """The epoch after it, with a recording of its own."""
    camera = first.next_epoch(**changes)
    camera.start()
    camera.part()
    camera.stop()
    return camera.shutdown()


def written(tmp_path: Path, *cameras: Camera) -> Path:
    for camera in cameras:
        camera.write(tmp_path / "segments")
    return tmp_path / "segments"


def whats(found: list[Finding]) -> list[What]:
    return [f.what for f in found]


def test_two_epochs_verify_together_and_the_second_is_told(tmp_path: Path) -> None:
    first = simple_camera()
    place = written(tmp_path, first, second_of(first))
    assert failures(place) == []
    told = [f for f in report_of(place).findings if f.what is What.EPOCH]
    assert f"at {first.frontier.size} leaves" in only(told).text
    assert [log.origin[-1] for log in report_of(place).logs] == ["1", "2"]


def test_what_the_old_log_lacks_is_named_with_its_leaves(tmp_path: Path) -> None:
    """The first leaf of the second is a head of the first, and needs no --head."""
    first = simple_camera()
    second = second_of(first)
    gone = first.segments.pop()
    found = only(failures(written(tmp_path, first, second)))
    assert (found.what, found.first, found.last) == (
        What.MISSING_SEGMENT,
        gone.header.first,
        first.frontier.size - 1,
    )
    assert "the first leaf of epoch 2" in found.text


def test_an_old_log_that_is_not_there_at_all(tmp_path: Path) -> None:
    first = simple_camera()
    second = second_of(first)
    place = written(tmp_path, second)
    found = only(failures(place))
    assert (found.what, found.first, found.last) == (What.MISSING_SEGMENT, 0, first.frontier.size - 1)
    one = sorted(place.glob("*.tar"))[0]
    assert failures(one) == []
    assert What.OUTSIDE in notes(one)


def test_a_log_that_ended_before_what_is_given_of_it(tmp_path: Path) -> None:
    """The old log went on after the second began: an older card was put back."""
    first = simple_camera()
    second = second_of(first, follows=first.head(4))
    found = only(failures(written(tmp_path, first, second)))
    assert (found.what, found.first, found.last) == (What.FORK, 4, first.frontier.size - 1)


def test_an_epoch_that_names_another_history(tmp_path: Path) -> None:
    first = simple_camera()
    named = replace(first.head(), root=bytes(32))
    assert What.FORK in whats(failures(written(tmp_path, first, second_of(first, follows=named))))


@pytest.mark.parametrize("by", ["receipt", "tiles"])
def test_an_epoch_that_contradicts_what_was_cosigned(tmp_path: Path, by: str) -> None:
    """Even where not one segment of the old log is given."""
    first = simple_camera()
    size = first.frontier.size if by == "receipt" else 3
    named = note.Checkpoint(first.origin, size, bytes(32))
    place = written(tmp_path, second_of(first, follows=named))
    if by == "receipt":
        write_head(place / "first.receipt", first.receipt([]))
    else:
        first.write_log(place / "log" / "1")
    assert What.BAD_EPOCH in whats(failures(place))


@pytest.mark.parametrize(
    "forge",
    [
        lambda facts: facts.pop("epoch"),
        lambda facts: facts.update(epoch=None),
        lambda facts: facts["epoch"].update(reason="because"),
        lambda facts: facts["epoch"]["follows"].update(origin="bodycam.local/cam-0002/1"),
        lambda facts: facts["epoch"]["follows"].update(origin="bodycam.local/cam-0001/2"),
        lambda facts: facts["epoch"]["follows"].update(size="7"),
        lambda facts: facts["epoch"].pop("follows"),
    ],
    ids=["no link", "null", "no reason", "another camera", "itself", "no size", "nothing followed"],
)
def test_a_later_epoch_without_a_link_is_bad(tmp_path: Path, forge: Callable[[dict[str, object]], object]) -> None:
    first = simple_camera()
    second = second_of(first)
    del second.segments[:]

    def spoil(leaf: leaves.Leaf) -> leaves.Leaf:
        if leaf.common.index or not isinstance(leaf, leaves.EventLeaf):
            return leaf
        facts = json.loads(json.dumps(dict(leaf.facts)))
        forge(facts)
        return replaced(leaf, facts=facts)

    again = Camera(first.agency, first.name, 9, first.identity_key)
    again.origin, again.link, again.boot, again.forge = second.origin, second.link, 1, spoil
    again.new_session().shutdown()
    found = only(failures(written(tmp_path, first, again)))
    assert (found.what, found.first) == (What.BAD_EPOCH, 0)


def test_the_first_epoch_follows_nothing(tmp_path: Path) -> None:
    camera = Camera(agency())
    camera.link = simple_camera().next_epoch().link
    camera.new_session().shutdown()
    assert whats(failures(written(tmp_path, camera))) == [What.BAD_EPOCH]


def test_an_epoch_by_no_trusted_identity_key_is_not_believed(tmp_path: Path) -> None:
    """And what it says of the log before it accuses nobody."""
    first = simple_camera()
    stranger = Camera(make_agency("another"), first.name)
    stranger.origin, stranger.boot = first.origin, 0
    forged = stranger.new_session().next_epoch(follows=replace(first.head(), size=99)).shutdown()
    forged.write(tmp_path / "segments")
    found = failures(written(tmp_path, first))
    assert set(whats(found)) == {What.UNTRUSTED_CHAIN}
    assert {f.segment for f in found} == {s.name for s in forged.segments}


def test_two_epochs_of_one_number_are_two_histories(tmp_path: Path) -> None:
    first = simple_camera()
    one, other = second_of(first), second_of(first, why=Why.BEHIND)
    found = failures(written(tmp_path, first, one, other))
    assert set(whats(found)) == {What.FORK}


def test_a_head_for_each_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = simple_camera()
    second = second_of(first)
    place = written(tmp_path, first, second)
    heads = [write_head(tmp_path / f"{n}.receipt", c.receipt([])) for n, c in enumerate((first, second))]
    root, _ = agency().write_trust(tmp_path)
    asked = [word for head in heads for word in ("--head", str(head))]
    assert main(["verify", str(place), "--trust", str(root), *asked]) == 0
    assert "tail-unproven" not in capsys.readouterr().out
    assert main(["verify", str(place), "--trust", str(root), *asked[:2]]) == 0
    assert "tail-unproven" in capsys.readouterr().out


# -- what was left over --------------------------------------------------------------------------------------------


def with_left_over(tmp_path: Path, whole: bool = False) -> tuple[Path, Path]:
    """The first log's last segment but one is not what it was; the second epoch names it as it found it."""
    first = simple_camera()
    place = written(tmp_path, first)
    path = place / f"{first.segments[-2].name}.tar"
    if not whole:
        harmed = bytearray(path.read_bytes())
        harmed[len(harmed) // 2] ^= 1
        path.write_bytes(harmed)
    camera = first.next_epoch()
    data = path.read_bytes()
    item = {"segment": path.stem, "epoch": 1, "size": len(data), "sha256": _sha256(data), "whole": whole}
    camera.event(Kind.KEPT, facts={"segments": [item]})
    camera.shutdown().write(place)
    return place, path


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def test_damage_that_was_there_when_the_epoch_began_is_told_apart_from_later_damage(tmp_path: Path) -> None:
    place, path = with_left_over(tmp_path)
    assert {f.segment for f in failures(place)} == {path.stem}
    told = [f for f in report_of(place).findings if f.what is What.EPOCH and f.segment == path.stem]
    assert "the damage is no later" in only(told).text
    harmed = bytearray(path.read_bytes())
    harmed[-1500] ^= 1
    path.write_bytes(harmed)
    assert not [f for f in report_of(place).findings if f.what is What.EPOCH and f.segment == path.stem]


def test_a_left_over_that_is_gone_is_named(tmp_path: Path) -> None:
    place, path = with_left_over(tmp_path)
    path.unlink()
    assert path.stem in {f.segment for f in failures(place)}
    assert set(whats(failures(place))) == {What.MISSING_SEGMENT}


def test_a_whole_left_over_is_evidence_of_its_own_log(tmp_path: Path) -> None:
    place, _ = with_left_over(tmp_path, whole=True)
    assert failures(place) == []


@pytest.mark.parametrize("named", [None, [1], [{}], [{"segment": "x", "epoch": 1}]])
def test_kept_leaves_without_their_facts(tmp_path: Path, named: object) -> None:
    first = simple_camera()
    camera = first.next_epoch()
    camera.event(Kind.KEPT, facts={"segments": named})
    found = only(failures(written(tmp_path, first, camera.shutdown())))
    assert found.what is What.BAD_LEAF
