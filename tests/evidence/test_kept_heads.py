"""What vouched for a leaf before a purged recording, and went with it: the head that the purge keeps says so still, to
all who verify; and nothing else that is called one does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.findings import Sure, What
from agent.formats import merkle, note
from agent.formats.kepthead import KeptHead
from agent.formats.tlogproof import Extension
from tests.builders import StoredEntry, agency, frontier_of
from tests.evidence.kit import only, report_of
from tests.evidence.test_purged import noted, of, stored
from tests.evidence.test_silence import Moody, begun
from tests.independent.kit import names_in, verdicts

MISSING, SILENT = What.MISSING_SIGNATURE, What.IDENTITY_SILENT


def slept() -> Moody:
    """E0, A0, E1. The key is asleep as the recording starts, but for the checkpoint behind a part, then for good."""
    camera = begun()
    camera.awake = False
    camera.start()
    for number in range(4):
        camera.awake = camera.heads = number == 2
        camera.part()
    camera.awake = camera.heads = False
    camera.recording = None
    camera.close_segment()
    camera.event()
    camera.close_segment()
    return camera


def signed(camera: Moody) -> StoredEntry:
    """The entry of the purged recording whose checkpoint the identity key signed."""
    return only([e for e in camera.segments[1].entries if len(note.parse(e.note).signatures) == 2])


def kept(camera: Moody, old: int | None = None, size: int | None = None, data: bytes | None = None) -> bytes:
    """The head that a station keeps as A0 goes: what lies behind the first of these parts, and leads there."""
    old = camera.segments[1].entries[0].index if old is None else old
    size = signed(camera).index + 1 if size is None else size
    proof = merkle.consistency_proof(old, size, lambda a, b: frontier_of(camera.hashes[a:b]).root())
    return KeptHead(Extension(old, tuple(proof)), signed(camera).note if data is None else data).to_bytes()


def place_of(camera: Moody, where: Path, data: bytes | None) -> Path:
    place = noted(stored(camera, where, "1"), of(camera, 1))
    (place / "log" / "1" / "checkpoint").write_bytes(camera.checkpoint(camera.frontier.size))
    if data is not None:
        (place / "purges" / f"{camera.segments[1].name}.vouched").write_bytes(data)
    return place


def said(place: Path) -> list[tuple[What, int | None, Sure]]:
    found = [f for f in report_of(place).findings if f.fails or f.what is SILENT]
    return [(f.what, f.first, f.sure) for f in found]


def agreed(place: Path, base: Path) -> list[What]:
    """What fails, in which both verifiers agree."""
    root, _ = agency().write_trust(base)
    fails = {(f.what.value, f.segment) for f in report_of(place).findings if f.fails}
    assert names_in(verdicts(root, place)[place]) == fails
    return [f.what for f in report_of(place).findings if f.fails]


def test_what_it_vouches_for_is_said_as_before_the_purge(tmp_path: Path) -> None:
    camera = slept()
    start = camera.segments[0].entries[-1].index
    whole = tmp_path / "whole"
    camera.write(whole)
    assert said(whole) == [(SILENT, start, Sure.LIKELY)]
    assert agreed(place_of(camera, tmp_path / "bare", None), tmp_path) == [MISSING]
    place = place_of(camera, tmp_path / "kept", kept(camera))
    assert said(place) == [(SILENT, start, Sure.LIKELY)]
    assert agreed(place, tmp_path) == []


def test_it_vouches_for_nothing_behind_the_purge(tmp_path: Path) -> None:
    camera = slept()
    camera.shutdown()
    place = place_of(camera, tmp_path / "kept", kept(camera))
    assert agreed(place, tmp_path) == [MISSING]
    assert (MISSING, camera.frontier.size - 1, Sure.OPEN) in said(place)


FORGED = ("of another log", "without the identity", "another proof", "forged", "edited", "noise")


@pytest.mark.parametrize("how", FORGED)
def test_one_that_is_not_so_explains_nothing(how: str, tmp_path: Path) -> None:
    camera = slept()
    gone, other, one = camera.segments[1].entries, slept(), signed(camera)
    text, mark = note.parse(one.note).text.encode(), one.note.index(b"\n\n")
    forged = Moody(agency(), seed=5)
    forged.origin, forged.roots, forged.session_key = camera.origin, camera.roots, camera.session_key
    forged.heads = True
    data = {
        "of another log": kept(other),
        "without the identity": kept(camera, size=gone[0].index + 1, data=gone[0].note),
        "another proof": kept(camera, size=one.index),
        "forged": kept(camera, data=forged.checkpoint(one.index + 1)),
        "edited": kept(camera, data=text.replace(b"\n", b"\n1", 1) + one.note[mark + 1 :]),
        "noise": b"old 1\n",
    }[how]
    assert set(agreed(place_of(camera, tmp_path, data), tmp_path)) == {MISSING, What.BAD_HEAD}


def test_one_from_elsewhere_in_the_log_says_nothing(tmp_path: Path) -> None:
    """Replayed in another place: it vouches below the size that its proof leads from, and where that is not here, not
    at all.
    """
    camera = slept()
    first = camera.segments[1].entries[0].index
    for old in (first + 1, first - 1):
        place = place_of(camera, tmp_path / f"{old}", kept(camera, old=old))
        assert agreed(place, tmp_path) == [MISSING]
