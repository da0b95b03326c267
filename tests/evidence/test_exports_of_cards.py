"""Exports from a card some of whose delivered segments are gone, or whose hardware was silent: what is left out is
said, and no export accuses anybody of what the card itself does not.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.errors import Exit
from agent.evidence.clip import Exported, ExportOptions
from agent.evidence.export import ExportResult, export
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.sources import collect
from agent.evidence.times import parse_time
from agent.formats.leaf import Kind
from tests import campaigns
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import empty_spool, failures, of_six_parts, only, report_of
from tests.evidence.range_kit import MINUTE, members, written
from tests.evidence.receipts import of
from tests.evidence.test_verify_sh import run as verify_sh
from tests.independent.kit import names_in, verdicts

NAMES = ("E0", "R0", "R1", "E3", "E4", "E5")


class Silent(Camera):
    """One whose identity key answers no more while it is `mute`, but at a station."""

    mute = False

    def sign(self, text: str, by_identity: bool = False) -> bytes:
        return super().sign(text, by_identity and not self.mute)

    def docked(self, size: int) -> bytes:
        mute, self.mute = self.mute, False
        try:
            return super().docked(size)
        finally:
            self.mute = mute


def lived(cut: bool = False) -> Camera:
    """NAMES: leaves 0 and 1; one recording, whose second segment begins at leaf 6; 10 or 11 to 12; 13 and 14; ..."""
    camera = of_six_parts(Camera(agency(), seed=5))
    if cut:
        camera.crash()
    else:
        camera.stop()
        camera.event()
    for _ in range(2):
        camera.close_segment()
        camera.event()
    return camera.shutdown()


def card(place: Path, camera: Camera, gone: str, *receipts: bytes) -> Path:
    """The card without the segments `gone`, by their places in NAMES, and with these receipts."""
    empty_spool(place, "receipts", "log/1")
    for name, segment in zip(NAMES, camera.segments, strict=False):
        if name not in gone.split():
            segment.write(place / "delivered")
    camera.write_log(place / "log" / "1")
    for number, data in enumerate(receipts):
        (place / "receipts" / f"{number}.receipt").write_bytes(data)
    return place


def exported(place: Path, out: Path, **options: Any) -> ExportResult:
    return export(collect([place]), agency().root, [agency().identity], ExportOptions(out, **options))


def only_export(result: ExportResult) -> Exported:
    (one,) = result.exports
    return one


def held(*paths: Path) -> list[Finding]:
    return [f for f in report_of(*paths).findings if f.what is What.HELD_ELSEWHERE]


def unpacked(proof: Path, place: Path) -> Path:
    place.mkdir()
    subprocess.run(["tar", "-xf", proof, "-C", place], check=True)
    return place


# -- behind the recording -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [False, True])
def test_what_follows_and_is_gone_is_asked_for_by_no_head(cut: bool, tmp_path: Path) -> None:
    """A station cosigned the log up to the end of what is gone, which may have the recording's `recovery`."""
    camera = lived(cut)
    place = card(tmp_path / "card", camera, "E3", camera.receipt(camera.segments[:4], size=13))
    result = exported(place, tmp_path / "out")
    one = only_export(result)
    assert (result.exit_status, one.problems, one.gaps) == (Exit.OK, [], [])
    proof, root = Path(one.proof), agency().write_trust(tmp_path)[0]
    assert failures(proof) == failures(place, proof) == []
    assert names_in(verdicts(root, proof)[proof]) == set()
    assert verify_sh(proof, "--trust", root).returncode == 0


def test_a_head_that_ends_among_what_was_purged_is_led_to_from_before_that(tmp_path: Path) -> None:
    camera = lived()
    station = tmp_path / "station"
    for name in ("segments", "purges", "receipts", "log/1"):
        (station / name).mkdir(parents=True)
    for name, segment in zip(NAMES, camera.segments, strict=True):
        if name != "R1":
            segment.write(station / "segments")
    camera.write_log(station / "log" / "1")
    until = {"until_s": 1, "purged_s": 2}
    (station / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments[:1], size=11))
    (station / "purges" / "x-1.purge").write_bytes(camera.purge(camera.segments[2:3], **until))
    assert failures(station) == []
    proof, root = Path(only_export(exported(station, tmp_path / "out")).proof), agency().write_trust(tmp_path)[0]
    assert members(proof)["cosigned/consistency"].startswith(b"old 6\n")
    assert failures(proof) == failures(station, proof) == []
    assert verdicts(root, proof)[proof] == "verified"
    assert verify_sh(proof, "--trust", root).returncode == 0


def test_a_note_of_what_was_purged_at_the_end_of_the_log_goes_with_what_is_left(tmp_path: Path) -> None:
    camera = lived()
    station = tmp_path / "station"
    for name in ("segments", "purges", "receipts"):
        (station / name).mkdir(parents=True)
    for segment in camera.segments[:2]:
        segment.write(station / "segments")
    (station / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments[:3], size=11))
    # Before the receipt was signed, which keeps it without end.
    (station / "purges" / "x-1.purge").write_bytes(camera.purge(camera.segments[2:3], until_s=1, purged_s=2))
    assert failures(station) == []
    proof = Path(only_export(exported(station, tmp_path / "out")).proof)
    assert "purges/x-1.purge" in members(proof) and failures(proof) == []
    root = agency().write_trust(tmp_path)[0]
    assert verdicts(root, proof)[proof] == "verified"


# -- of the recording -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("placed", [True, False], ids=["leaves", "names"])
@pytest.mark.parametrize(("gone", "gaps"), [("R0", [0, 1, 2]), ("E0", []), ("E0 R0", [0, 1, 2]), ("E3 R0", [0, 1, 2])])
def test_a_beginning_that_others_have_is_told_and_accuses_nobody(
    gone: str, gaps: list[int], placed: bool, tmp_path: Path
) -> None:
    camera = lived()
    told = camera.receipt(camera.segments, leaves_of=of) if placed else camera.receipt(camera.segments)
    place = card(tmp_path / "card", camera, gone, told)
    assert failures(place) == []
    result = exported(place, tmp_path / "out")
    one = only_export(result)
    assert (result.exit_status, result.whole, one.gaps) == (Exit.EVIDENCE, False, gaps)
    assert one.problems and all("held by station station.test" in problem for problem in one.problems)
    proof, root = Path(one.proof), agency().write_trust(tmp_path)[0]
    places = [proof, unpacked(proof, tmp_path / "unpacked")]
    for path in places:
        assert failures(path) == [] and held(path), path
    assert failures(place, proof) == []
    assert verdicts(root, *places) == dict.fromkeys(places, "verified")
    # That others have it is the receipts' word alone, and the export's own that it came from such a card.
    content = members(proof)
    assert [name for name in content if "receipt" in name] == ["elsewhere/0.receipt"]
    for number, folder in enumerate(("receipts", "notes")):
        other = {name.replace("elsewhere/", f"{folder}/"): data for name, data in content.items()}
        (tmp_path / f"{number}").mkdir()
        bare = written(tmp_path / f"{number}" / proof.name, other)
        assert What.MISSING_SEGMENT in {f.what for f in failures(bare)}
        assert {what for what, _ in names_in(verdicts(root, bare)[bare])} == {"missing-segment"}


def test_a_middle_that_others_have_is_told_and_accuses_nobody(tmp_path: Path) -> None:
    camera = Camera(agency(), seed=5).new_session()
    camera.start()
    for number in range(3):
        if number:
            camera.rotate()
        camera.part()
    camera.stop()
    camera.shutdown()
    place = card(tmp_path / "card", camera, "R1", camera.receipt(camera.segments))
    one = only_export(exported(place, tmp_path / "out"))
    assert one.gaps == [1] and "held by station station.test" in one.problems[0]
    proof, root = Path(one.proof), agency().write_trust(tmp_path)[0]
    assert failures(proof) == [] and [f.segment for f in held(proof)] == [camera.segments[2].name]
    assert verdicts(root, proof)[proof] == "verified"


def test_what_no_receipt_in_it_names_is_missing_from_it(tmp_path: Path) -> None:
    """A segment beside that which others have was taken out of the export."""
    camera = lived()
    place = card(tmp_path / "card", camera, "E0", camera.receipt(camera.segments[:1], leaves_of=of))
    proof, root = Path(only_export(exported(place, tmp_path / "out")).proof), agency().write_trust(tmp_path)[0]
    (tmp_path / "cut").mkdir()
    gone = camera.segments[1].name
    content = {name: data for name, data in members(proof).items() if name != f"segments/{gone}.tar"}
    cut = written(tmp_path / "cut" / proof.name, content)
    assert (only(failures(cut)).what, only(failures(cut)).segment) == (What.MISSING_SEGMENT, gone)
    assert names_in(verdicts(root, cut)[cut]) == {("missing-segment", gone)}


def test_the_export_of_what_a_station_lost_does_not_excuse_it(tmp_path: Path) -> None:
    camera = lived()
    station = tmp_path / "station"
    (station / "receipts").mkdir(parents=True)
    for name, segment in zip(NAMES, camera.segments, strict=True):
        if name != "R0":
            segment.write(station / "segments")
    (station / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    proof = Path(only_export(exported(station, tmp_path / "out", even_if_damaged=True)).proof)
    assert only(failures(proof)).what is What.MISSING_SEGMENT
    assert not [name for name in members(proof) if name.startswith("elsewhere/")]


def test_what_a_deletion_leaf_alone_names_is_said_to_make_a_proof_that_will_not_verify(tmp_path: Path) -> None:
    camera = lived_with_a_deletion()
    place = card(tmp_path / "card", camera, "R0")
    assert failures(place) == [] and held(place)
    one = only_export(exported(place, tmp_path / "out"))
    assert one.gaps == [0, 1, 2] and "deleted by the camera" in one.problems[0]
    assert "by itself it will not verify" in one.problems[1]


@pytest.mark.parametrize("whose", ["another camera's", "another segment's"])
def test_a_deletion_leaf_excuses_nothing_that_was_taken_out_of_an_export(tmp_path: Path, whose: str) -> None:
    """The camera was docked behind the recording, deleted it, and said so in the last segment: of a station that has
    all of it somebody takes a segment out, and puts a receipt into `elsewhere/`.
    """
    camera, other = lived_with_a_deletion(), Camera(agency(), name="cam-0002", seed=6).new_session().shutdown()
    station = tmp_path / "station"
    camera.write(station / "segments")
    proof, root = Path(only_export(exported(station, tmp_path / "out")).proof), agency().write_trust(tmp_path)[0]
    (tmp_path / "cut").mkdir()
    gone, put = camera.segments[1].name, camera.receipt(camera.segments[-1:], leaves_of=of)
    content = {name: data for name, data in members(proof).items() if name != f"segments/{gone}.tar"}
    content["elsewhere/x.receipt"] = other.receipt(other.segments) if whose == "another camera's" else put
    cut = written(tmp_path / "cut" / proof.name, content)
    assert gone in {found.segment for found in failures(cut) if found.what is What.MISSING_SEGMENT}
    assert ("missing-segment", gone) in names_in(verdicts(root, cut)[cut])


def lived_with_a_deletion() -> Camera:
    """As `lived`, with a leaf of the last segment that names R0, and a receipt that is not at hand."""
    camera = of_six_parts(Camera(agency(), seed=5))
    camera.stop()
    gone = {"segment": camera.segments[1].name, "sha256": camera.segments[1].record().sha256, "receipt": "a" * 64}
    camera.event(Kind.DELETION, facts={"segments": [gone]})
    return camera.shutdown()


def test_an_end_that_others_have_is_told(tmp_path: Path) -> None:
    camera = lived()
    place = card(tmp_path / "card", camera, "R1", camera.receipt(camera.segments))
    result = exported(place, tmp_path / "out")
    one = only_export(result)
    assert (result.exit_status, one.last_part) == (Exit.EVIDENCE, 2)
    assert "held by station station.test" in one.problems[0]
    assert failures(Path(one.proof)) == failures(place, Path(one.proof)) == []


@pytest.mark.parametrize(("begin", "end", "told"), [("07.6", "09", False), ("07.4", "09", True), ("", "09", True)])
def test_of_a_time_asked_for_what_may_lie_in_it_is_told(begin: str, end: str, told: bool, tmp_path: Path) -> None:
    """Part 3, the first that is here, begins at 08:00:07.5."""
    camera = lived()
    place = card(tmp_path / "card", camera, "R0", camera.receipt(camera.segments))
    times = {"begin": parse_time(MINUTE.format(begin), "--from")} if begin else {}
    one = only_export(exported(place, tmp_path / "out", end=parse_time(MINUTE.format(end), "--to"), **times))
    assert bool(one.problems) is told and one.first_part == 3 and one.gaps == []
    assert failures(Path(one.proof)) == []


# -- the identity key's word ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True], ids=["same session", "another session"])
def test_what_vouches_for_a_silent_recording_goes_with_it(again: bool, tmp_path: Path) -> None:
    camera = silent(again)
    camera.write(tmp_path / "seg")
    assert failures(tmp_path / "seg") == []
    result = exported(tmp_path / "seg", tmp_path / "out")
    one = only_export(result)
    assert (result.exit_status, one.problems) == (Exit.OK, [])
    proof, root = Path(one.proof), agency().write_trust(tmp_path)[0]
    assert [name for name in members(proof) if name.endswith(".vouched")]
    assert failures(proof) == failures(tmp_path / "seg", proof) == failures(unpacked(proof, tmp_path / "again")) == []
    silences = [f.sure for f in report_of(proof).findings if f.what is What.IDENTITY_SILENT]
    assert set(silences) == {Sure.OPEN if again else Sure.LIKELY}
    assert verdicts(root, proof)[proof] == "verified"
    assert verify_sh(proof, "--trust", root).returncode == 0


def silent(again: bool) -> Camera:
    """One recording that its identity key did not sign, and two segments behind it the word that vouches for it."""
    camera = Silent(agency(), seed=5)
    camera.new_session()
    camera.event()
    camera.close_segment()
    camera.event()
    camera.mute = True
    camera.start()
    camera.part()
    camera.stop()
    for _ in range(2):
        camera.event()
        camera.close_segment()
    camera.mute = False
    if again:
        camera.new_session(same_boot=True)
    return camera.shutdown()


def test_where_nothing_at_hand_vouches_it_is_said(tmp_path: Path) -> None:
    """All of the log's later leaves were cut off: the card fails, and so does what is handed out all the same."""
    camera = silent(again=False)
    for segment in camera.segments[:-1]:
        segment.write(tmp_path / "seg")
    one = only_export(exported(tmp_path / "seg", tmp_path / "out", even_if_damaged=True))
    assert "lacks the identity key's signature" in one.problems[0]
    assert {f.what for f in failures(Path(one.proof))} == {What.MISSING_SIGNATURE}


# -- lives ----------------------------------------------------------------------------------------------------------

SEEDS = campaigns.size(sample=14, full=300)


class Life:
    """An honest camera that records, is cut, falls silent, docks and deletes, as dice say."""

    def __init__(self, seed: int) -> None:
        self.dice, self.camera = Random(seed), Silent(agency(), seed=seed)
        self.camera.new_session()
        self.receipts: list[bytes] = []
        self.docked: dict[str, Segment] = {}
        self.gone: set[str] = set()
        steps: list[Callable[[], object]] = [self.record, self.record, self.cut, self.session, self.silence]
        steps += [self.dock, self.dock, self.delete, self.events]
        for step in self.dice.choices(steps, k=self.dice.randint(7, 14)):
            step()
        self.dock()
        self.delete()
        self.events()
        self.camera.shutdown()

    def record(self) -> None:
        self.camera.start()
        self._parts()
        self.camera.stop()
        if self.dice.random() < 0.5:
            self.camera.event()

    def _parts(self) -> None:
        for number in range(self.dice.randint(1, 5)):
            if number and self.dice.random() < 0.4:
                self.camera.rotate()
            self.camera.part()

    def cut(self) -> None:
        self.camera.start()
        self._parts()
        self.camera.crash(same_boot=True)

    def session(self) -> None:
        self.events()
        self.camera.shutdown().new_session(same_boot=True)

    def silence(self) -> None:
        self.camera.mute = True
        self.record()
        self.camera.mute = False
        self.record()

    def events(self) -> None:
        for _ in range(self.dice.randint(1, 3)):
            self.camera.event()

    def dock(self) -> None:
        self.camera.close_segment()
        sent = [segment for segment in self.camera.segments if segment.name not in self.docked]
        sent = [segment for segment in sent if self.dice.random() < 0.9]
        if sent:
            leaves = {"leaves_of": of} if self.dice.random() < 0.7 else {}
            self.receipts.append(self.camera.receipt(sent, **leaves))
            self.docked |= {segment.name: segment for segment in sent}

    def delete(self) -> None:
        self.gone |= {name for name in self.docked if self.dice.random() < 0.3}

    def card(self, place: Path) -> Path:
        empty_spool(place, "receipts", "log/1")
        for segment in (one for one in self.camera.segments if one.name not in self.gone):
            segment.write(place / ("delivered" if segment.name in self.docked else "sealed"))
        self.camera.write_log(place / "log" / "1")
        for number, data in enumerate(self.receipts):
            (place / "receipts" / f"{number}.receipt").write_bytes(data)
        return place


def test_no_export_of_an_honest_card_accuses_anybody(tmp_path: Path) -> None:
    """Alone, beside the others, beside the card; and what of a recording is not in it is said."""
    root, alone, made = agency().write_trust(tmp_path)[0], list[Path](), 0
    for seed in range(SEEDS):
        life, out = Life(seed), tmp_path / f"out{seed}"
        place = life.card(tmp_path / f"{seed}")
        if found := failures(place):
            # What vouched for a silent leaf may be gone with its segment, and no receipt is a word on that.
            assert {(f.what, f.sure) for f in found} == {(What.MISSING_SIGNATURE, Sure.OPEN)}, seed
            continue
        if not any(s.name.startswith("r") and s.name not in life.gone for s in life.camera.segments):
            continue
        result = exported(place, out)
        proofs = [Path(one.proof) for one in result.exports if one.proof]
        for given in (*([proof] for proof in proofs), proofs, [place, *proofs]):
            assert not given or failures(*given) == [], (seed, [f.line() for f in failures(*given)])
        for one in result.exports:
            lacks = [name for name in life.gone if name.startswith(one.recording)]
            assert not lacks or one.problems, (seed, one)
        alone += proofs
        made += len(proofs)
    said = verdicts(root, *alone)
    assert [path for path in alone if said[path] != "verified"] == [] and made > SEEDS // 2
