"""An identity key in hardware that does not answer for a while: what it did not sign is vouched for by what it signs
later, and named; nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, Sure, What
from agent.formats import merkle, pack
from tests.builders import Camera, Segment, agency
from tests.evidence.fork_kit import grow, parted
from tests.evidence.kit import report_of
from tests.evidence.range_kit import members, written
from tests.evidence.test_cosigned import exported
from tests.evidence.test_verify_sh import run
from tests.film import add, film
from tests.independent.kit import names_in, verdicts

SILENT, MISSING = What.IDENTITY_SILENT, What.MISSING_SIGNATURE


class Moody(Camera):
    """Its identity key signs while it is `awake`."""

    awake = True
    heads = False
    """Whether it signs what a station cosigns."""

    def docked(self, size: int) -> bytes:
        return self.checkpoint(size)

    def sign(self, text: str, by_identity: bool = False) -> bytes:
        return super().sign(text, (by_identity or self.heads) and self.awake)


def begun() -> Moody:
    camera = Moody(agency(), seed=5)
    camera.new_session()
    return camera


def healed() -> Moody:
    """Asleep as a recording ends, until a leaf of the next segment; and again until somebody switched it off and on."""
    camera = begun()
    camera.start()
    camera.part()
    camera.awake = False
    camera.stop()
    camera.awake = camera.heads = True
    camera.event()
    camera.awake = False
    camera.shutdown()
    camera.awake = True
    camera.new_session().close_segment()
    return camera


def for_good() -> Moody:
    camera = begun()
    camera.close_segment()
    camera.awake = False
    camera.shutdown()
    return camera


def of(camera: Moody, place: Path) -> list[Finding]:
    camera.write(place)
    return [f for f in report_of(place).findings if f.what in (SILENT, MISSING)]


@pytest.mark.wide
@pytest.mark.parametrize(
    ("life", "said"),
    [
        (healed, [(SILENT, 4, Sure.LIKELY), (SILENT, 7, Sure.OPEN)]),
        (for_good, [(MISSING, 2, Sure.OPEN)]),
    ],
)
def test_all_three_verifiers_agree(
    life: Callable[[], Moody], said: list[tuple[What, int, Sure]], tmp_path: Path
) -> None:
    root, _ = agency().write_trust(tmp_path)
    camera, place = life(), tmp_path / "card"
    found = of(camera, place)
    assert [(f.what, f.first, f.sure) for f in found] == said
    report = report_of(place)
    fails = {(f.what.value, f.segment) for f in report.findings if f.fails}
    assert {what for what, _ in fails} == {MISSING.value} & {what.value for what, _, _ in said}
    assert names_in(verdicts(root, place)[place]) == fails
    done = run(*sorted(place.glob("*.tar")), "--trust", root)
    assert done.returncode == bool(fails), done.stdout
    lines = done.stdout.splitlines()
    for what, index, _ in said:
        word = "note  leaf" if what is SILENT else "FAIL  leaf"
        assert len([line for line in lines if line.startswith(f"{word} {index} of ")]) == 1, done.stdout


@pytest.mark.parametrize("by_identity", [True, False])
def test_a_receipts_checkpoint_vouches_as_the_same_one_asked_for_does(by_identity: bool, tmp_path: Path) -> None:
    """What the station signed on it is no word of the identity key."""
    root, _ = agency().write_trust(tmp_path)
    camera, place, head = for_good(), tmp_path / "card", tmp_path / "head"
    camera.awake, camera.heads = True, by_identity
    head.write_bytes(camera.docked(camera.frontier.size))
    camera.write(place)
    asked = [f for f in report_of(place, head=head).findings if f.what in (SILENT, MISSING)]
    (place / "a.receipt").write_bytes(camera.receipt(camera.segments))
    assert of(camera, place) == asked
    assert [f.what for f in asked] == [SILENT if by_identity else MISSING]
    assert ("missing-signature" in verdicts(root, place)[place]) is not by_identity


@pytest.mark.parametrize("alone", [True, False])
def test_of_a_segment_alone_that_the_sessions_key_alone_speaks_for(alone: bool, tmp_path: Path) -> None:
    """Parts are not asked for the identity's word; that nothing here has it is said."""
    camera = begun()
    camera.start()
    camera.part()
    camera.rotate()
    camera.part()
    camera.stop()
    files = camera.write(tmp_path / "seg")
    given = files[1:2] if alone else files
    report, (root, _) = report_of(*given), agency().write_trust(tmp_path)
    said = [(f.what, f.segment, f.first, f.last, f.sure) for f in report.findings if f.what is SILENT]
    assert report.verified
    assert said == ([(SILENT, files[1].stem, 2, 3, Sure.OPEN)] if alone else [])
    done = run(*given, "--trust", root)
    assert (done.returncode, "note  it stands alone" in done.stdout) == (0, alone), done.stdout


@pytest.mark.parametrize(
    ("given", "stopped", "beyond"),
    [
        ((1, 3), False, (2, 5)),
        ((0, 3), False, (2, 5)),
        ((0, 3), True, None),
        ((1, 2), False, (2, 3)),
        (None, False, None),
    ],
)
def test_of_several_segments_what_is_beyond_the_identitys_last_word(
    given: tuple[int, int] | None, stopped: bool, beyond: tuple[int, int] | None, tmp_path: Path
) -> None:
    """In one note; the whole log says how far its tail is proven."""
    camera = begun()
    camera.start()
    camera.part()
    camera.rotate()
    camera.part()
    camera.stop() if stopped else camera.close_segment()
    files = camera.write(tmp_path / "seg")
    report = report_of(*(files[slice(*given)] if given is not None else [tmp_path / "seg"]))
    said = [(f.first, f.last, f.sure) for f in report.findings if f.what is SILENT]
    assert said == ([(*beyond, Sure.OPEN)] if beyond else [])


def _forged() -> tuple[Camera, Camera]:
    """A camera's log after its first segment, and a copy with a recording that the session's key alone signed."""
    past = begun()
    past.close_segment()
    true, false = parted(past, 2), parted(past, 3)
    assert isinstance(false, Moody)
    false.awake = False
    false.start()
    false.part()
    false.stop()
    return true, false


def test_what_another_history_signs_vouches_for_nothing(tmp_path: Path) -> None:
    """Who has the session's key alone writes a recording on a copy of the card; the recorder goes on with its own log,
    and signs nothing that continues it.
    """
    root, _ = agency().write_trust(tmp_path)
    true, false = _forged()
    place = tmp_path / "given"
    grow(true, false.frontier.size - 1, 3).shutdown()
    place.mkdir()
    for segment in (*false.segments, *true.segments[2:]):
        segment.write(place)
    fails = {(f.what, f.segment) for f in report_of(place).findings if f.fails}
    lacking = {(MISSING, segment.name) for segment in false.segments[1:]}
    assert len(lacking) == 2
    assert lacking < fails
    assert not [f for f in report_of(place).findings if f.what is SILENT]
    assert names_in(verdicts(root, place)[place]) == {(what.value, segment) for what, segment in fails}


@pytest.mark.parametrize("by_identity", [True, False])
def test_a_cosigned_head_vouches_for_a_recording_that_is_exported_alone(by_identity: bool, tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    camera, (init, parts) = begun(), film()
    camera.start(init)
    for part in parts[:2]:
        add(camera, part)
    camera.awake = False
    camera.stop()
    camera.event()
    camera.close_segment()
    camera.awake = True
    camera.shutdown()
    camera.heads = by_identity
    proof = exported(camera, tmp_path, camera.frontier.size)
    # Where it does not, a later checkpoint that does goes with it; this is of the head alone.
    kept = [name for name in members(proof) if name.endswith(".vouched")]
    assert bool(kept) is not by_identity and report_of(proof).verified
    proof = written(proof, {name: data for name, data in members(proof).items() if name not in kept})
    said = [(f.what, f.sure) for f in report_of(proof).findings if f.what in (SILENT, MISSING)]
    assert said == ([(SILENT, Sure.LIKELY)] if by_identity else [(MISSING, Sure.OPEN)])
    assert report_of(proof).verified == by_identity
    assert {what for what, _ in names_in(verdicts(root, proof)[proof])} == {
        MISSING.value for _ in range(not by_identity)
    }
    if by_identity:
        assert run(proof, "--trust", root).returncode == 0


def forged_before_a_gap(by_identity: bool = False) -> tuple[Camera, Moody]:
    """The camera's own log, and a recording in the name of its first session up to where a segment of that begins; the
    identity key signed nothing of it, or all that it must.
    """
    past = begun()
    past.close_segment()
    true, false = parted(past, 2), parted(past, 3)
    assert isinstance(true, Moody) and isinstance(false, Moody)
    false.awake = by_identity
    init, parts = film()
    false.start(init)
    for part in parts[:2]:
        add(false, part)
    false.stop()
    false.event()
    false.close_segment()
    grow(true, false.frontier.size, 3)
    true.heads = True
    true.start(init)
    for part in parts[:2]:
        add(true, part)
    true.stop()
    true.shutdown()
    return true, false


@pytest.mark.wide
@pytest.mark.parametrize("given", ["a spool", "an export"])
def test_nothing_behind_a_gap_vouches_for_what_is_before_it(given: str, tmp_path: Path) -> None:
    """Neither a receipt that says where the gap is held, nor a true export's cosigned head: their tree is another."""
    root, _ = agency().write_trust(tmp_path)
    true, false = forged_before_a_gap()
    if given == "a spool":
        place = tmp_path / "spool"
        for segment in (*false.segments, *true.segments[3:]):
            segment.write(place / "sealed")
        (place / "receipts").mkdir()
        (place / "receipts" / "one.receipt").write_bytes(true.receipt(true.segments[1:3], true.frontier.size))
        true.write_log(place / "log" / "1")
        files = sorted(place.rglob("*.tar"))
    else:
        held = members(exported(true, tmp_path / "true", true.frontier.size))
        forged = {f"segments/{segment.name}.tar": segment.to_bytes() for segment in false.segments}
        place = written(tmp_path / "both.proof.tar", forged | held)
        files = [place]
    lacking = {(MISSING.value, segment.name) for segment in false.segments[1:3]}
    assert {(f.what.value, f.segment) for f in report_of(place).findings if f.fails} >= lacking
    assert not [f for f in report_of(place).findings if f.what is SILENT]
    assert names_in(verdicts(root, place)[place]) >= lacking
    assert run(*files, "--trust", root).returncode == 1


def _beside(true: Camera, at: merkle.Frontier, place: Path, given: str) -> None:
    """Whence a verifier may know the true log's tree before `at`: tiles, or a head in open/, which nobody signed."""
    if given == "tiles":
        true.write_log(place / "log" / "1")
        return
    head = pack.SegmentHeader(true.origin, true.name, None, 0, at)
    Segment(f"e{at.size:010d}-00000001", head, true.chain, None, sealed=False).write(place / "open")


def _refused(place: Path, root: Path, lacking: set[tuple[str, str | None]]) -> None:
    report = report_of(place)
    fails = {(f.what.value, f.segment) for f in report.findings if f.fails}
    assert fails >= lacking and "altered-bytes" in {what for what, _ in fails}
    assert not [f for f in report.findings if f.what is SILENT]
    assert names_in(verdicts(root, place)[place]) >= lacking
    assert run(*sorted(place.rglob("*.tar")), "--trust", root).returncode == 1


@pytest.mark.wide
@pytest.mark.parametrize("given", ["tiles", "a head in open/"])
def test_a_true_leaf_glued_behind_a_forgery_vouches_for_nothing(given: str, tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    true, false = _forged()
    place = tmp_path / "card"
    false.event()
    while true.frontier.size < false.frontier.size:
        true.event()
    at = true.frontier
    true.mono_ns = max(true.mono_ns, false.mono_ns)
    true.shutdown()
    assert false.open is not None
    false.open.entries.append(true.segments[-1].entries[-1])
    false.close_segment()
    false.write(place)
    _beside(true, at, place, given)
    _refused(place, root, {(MISSING.value, segment.name) for segment in false.segments[1:3]})


@pytest.mark.parametrize("given", ["tiles", "a head in open/"])
def test_parts_exchanged_between_a_true_start_and_a_true_stop_are_found(given: str, tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    past = begun()
    past.start()
    assert past.open is not None
    started, past.open = past.open, None
    camera, other = parted(past, 2), parted(past, 3)
    for each in (camera, other):
        each.open = replace(started, entries=list(started.entries))
        for _ in range(3):
            each.part()
    at = camera.frontier
    camera.stop()
    assert other.open is not None
    other.open.entries.append(camera.segments[-1].entries[-1])
    other.close_segment()
    other.write(tmp_path / "card" / "sealed")
    _beside(camera, at, tmp_path / "card", given)
    _refused(tmp_path / "card", root, {("altered-bytes", other.segments[-1].name)})


def test_a_segment_of_which_something_is_missing_vouches_for_nothing_before_it(tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    camera = begun()
    camera.awake = False
    camera.start()
    camera.awake = True
    camera.part()
    camera.part()
    camera.stop()
    camera.shutdown()
    media = camera.segments[1]
    media.entries = [entry for entry in media.entries if entry.index != 3]
    found = of(camera, tmp_path / "card")
    assert [(f.what, f.first, f.segment) for f in found] == [(MISSING, 1, camera.segments[0].name)]
    assert (MISSING.value, camera.segments[0].name) in names_in(verdicts(root, tmp_path / "card")[tmp_path / "card"])
