"""An identity key in hardware that does not answer for a while: what it did not sign is vouched for by what it signs
later, and named; nothing else is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.sources import collect
from tests.builders import Camera, agency
from tests.evidence.fork_kit import grow, parted
from tests.evidence.kit import report_of, write_head
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


@pytest.mark.parametrize(
    ("life", "said"),
    [
        (healed, [(SILENT, 4, Sure.LIKELY), (SILENT, 7, Sure.OPEN)]),
        (for_good, [(MISSING, 2, Sure.PROVEN)]),
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


@pytest.mark.parametrize("place_of", ["receipt", "log", "head"])
def test_a_later_head_that_the_leaves_lead_to_vouches_too(place_of: str, tmp_path: Path) -> None:
    """What a station cosigned, or what lies beside the tiles, is younger than the last leaf. One of fewer leaves is no
    word on it, and one that the identity key did not sign is none.
    """
    root, _ = agency().write_trust(tmp_path)
    camera, place = for_good(), tmp_path / "card"

    def told(by_identity: bool, size: int) -> list[tuple[What, Sure]]:
        camera.awake, camera.heads = by_identity, True
        shutil.rmtree(place, ignore_errors=True)
        camera.write(place)
        head = None
        if place_of == "receipt":
            (place / "one.receipt").write_bytes(camera.receipt([], size))
        elif place_of == "log":
            camera.write_log(place / "log" / "1", size)
        else:
            head = write_head(tmp_path / "head", camera.checkpoint(size))
        found = report_of(place, head=head).findings
        fails = {(f.what.value, f.segment) for f in found if f.fails}
        assert names_in(verdicts(root, place, head=head)[place]) == fails
        return [(f.what, f.sure) for f in found if f.what in (SILENT, MISSING)]

    size = camera.frontier.size
    assert told(True, size) == [(SILENT, Sure.LIKELY)]
    assert told(True, size - 1) == [(MISSING, Sure.PROVEN)]
    assert told(False, size) == [(MISSING, Sure.PROVEN)]


def test_what_another_history_signs_vouches_for_nothing(tmp_path: Path) -> None:
    """Who has the session's key alone writes a recording on a copy of the card; the recorder goes on with its own log,
    and signs nothing that continues it.
    """
    root, _ = agency().write_trust(tmp_path)
    past, place = begun(), tmp_path / "given"
    past.close_segment()
    true, false = parted(past, 2), parted(past, 3)
    assert isinstance(false, Moody)
    false.awake = False
    false.start()
    false.part()
    false.stop()
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
    said = [(f.what, f.sure) for f in report_of(proof).findings if f.what in (SILENT, MISSING)]
    assert said == ([(SILENT, Sure.LIKELY)] if by_identity else [(MISSING, Sure.PROVEN)])
    assert report_of(proof).verified == by_identity
    assert {what for what, _ in names_in(verdicts(root, proof)[proof])} == {
        MISSING.value for _ in range(not by_identity)
    }
    if by_identity:
        assert run(proof, "--trust", root).returncode == 0


def test_an_export_takes_the_head_that_vouches_for_all_its_leaves(tmp_path: Path) -> None:
    """The segment behind a recording has the start of the next one, which waits for a signature behind it."""
    camera, (init, parts) = begun(), film()
    camera.heads, sizes = True, list[int]()
    for awake in (True, False):
        camera.awake = awake
        camera.start(init)
        camera.awake = True
        add(camera, parts[0])
        camera.stop()
        camera.event()
        sizes.append(camera.frontier.size)
    camera.shutdown()
    camera.write(tmp_path / "seg")
    for size in (sizes[0], camera.frontier.size):
        (tmp_path / "seg" / f"{size}.receipt").write_bytes(camera.receipt([], size))
    done = export(collect([tmp_path / "seg"]), agency().root, [agency().identity], ExportOptions(tmp_path / "out"))
    proofs = [Path(one.proof) for one in done.exports]
    assert [report_of(proof).verified for proof in proofs] == [True, True]
    assert SILENT in {f.what for f in report_of(proofs[0]).findings}
