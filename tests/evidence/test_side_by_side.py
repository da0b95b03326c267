"""Exports of one shift beside one another: none speaks of the recordings between them, and what lacks of one shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import pytest

from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.films import check_films
from agent.evidence.findings import What
from agent.evidence.leafproofs import write_proofs
from agent.evidence.rewrap import rewrap
from agent.evidence.sources import collect
from agent.evidence.verify import verify
from agent.formats import age, certs
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import failures, notes
from tests.evidence.range_kit import members, written
from tests.evidence.test_verify_sh import run as verify_sh
from tests.film import add, film
from tests.independent.kit import names_in, verdicts


def recorded(seed: int, *each: tuple[int, Callable[[Camera], object]]) -> Camera:
    """One recording behind the other: of how many segments, and how it ends."""
    camera, (init, parts) = Camera(agency(), seed=seed).new_session(), film()
    for segments, end in each:
        camera.start(init)
        for number in range(segments):
            if number:
                camera.rotate()
            add(camera, parts[number])
        end(camera)
    return camera.shutdown()


def shift() -> Camera:
    """Of the second, the third and the fourth the power cut the last segment."""
    return recorded(5, (1, Camera.stop), (2, Camera.crash), (1, Camera.crash), (2, Camera.crash), (2, Camera.stop))


def exports(given: list[Path], out: Path) -> list[Path]:
    made = export(collect(given), agency().root, [agency().identity], ExportOptions(out)).exports
    return sorted(Path(one.proof) for one in made)


@pytest.fixture(scope="module")
def camera() -> Camera:
    return shift()


@pytest.fixture(scope="module")
def proofs(camera: Camera, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("shift")
    camera.write(place / "seg")
    return exports([place / "seg"], place / "out")


def recording(proof: Path) -> str:
    return proof.name[:20]


def inner(proof: Path) -> list[str]:
    """Its segments, in order of the log."""
    names = (name for name in members(proof) if name.startswith("segments/"))
    return sorted(names, key=lambda name: (name[10:20], name))


def without(proof: Path, place: Path, *gone: str) -> Path:
    return written(place / proof.name, {n: d for n, d in members(proof).items() if n not in gone})


def is_media(name: str) -> bool:
    return name.startswith("segments/r")


def test_any_of_them_verify_together(proofs: list[Path]) -> None:
    assert len(proofs) == 5
    for count in range(1, 6):
        for some in combinations(proofs, count):
            assert failures(*some) == [], [recording(proof) for proof in some]


def test_an_export_of_a_cut_recording_has_the_beginning_of_the_next(proofs: list[Path]) -> None:
    """It asks for no more of it, whoever names the rest: here the first segment of the last export."""
    own = [name for name in inner(proofs[2]) if is_media(name)]
    assert own[-1].startswith(f"segments/{recording(proofs[3])}-0000")
    assert What.TAIL_UNPROVEN in notes(proofs[2], proofs[4]) and failures(proofs[2], proofs[4]) == []


@pytest.mark.parametrize("pair", [(0, 3), (2, 4)])
def test_stock_tools_ask_for_none_between_them(pair: tuple[int, int], proofs: list[Path], tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    done = verify_sh(*(proofs[at] for at in pair), "--trust", root)
    assert done.returncode == 0 and "between recordings, are not among the segments given" in done.stdout, done.stdout


def test_what_is_exported_from_exports_verifies(proofs: list[Path], tmp_path: Path) -> None:
    for number, pair in enumerate(combinations(proofs, 2)):
        assert failures(*exports(list(pair), tmp_path / f"{number}")) == []
        for proof in (tmp_path / f"{number}").glob("*.proof.tar"):
            assert failures(proof) == []


def test_what_followed_no_export_when_it_was_made_is_not_put_behind_it_later(
    camera: Camera, proofs: list[Path], tmp_path: Path
) -> None:
    """The card ended with the second recording's `recovery` then."""
    cut = next(n for n, s in enumerate(camera.segments) if s.name.startswith(recording(proofs[2])))
    early = [s.write(tmp_path / "seg") for s in camera.segments[:cut]]
    exports([tmp_path / "seg"], tmp_path / "early")
    second = tmp_path / "early" / proofs[1].name
    assert len(inner(second)) < len(early) and failures(second, proofs[4]) == []
    exports([second, proofs[4]], tmp_path / "again")
    again = tmp_path / "again" / second.name
    assert inner(again) == inner(second) and failures(again) == []


Change = Callable[[Path], list[str]]
"""Which of an export's segments are taken out of it."""
ROWS: dict[str, Change] = {
    "the start": lambda proof: inner(proof)[:1],
    "the first part of it": lambda proof: [name for name in inner(proof) if is_media(name)][:1],
    "all of it": lambda proof: [name for name in inner(proof) if recording(proof) in name],
    "all but the ends": lambda proof: inner(proof)[1:-1],
    "all media": lambda proof: [name for name in inner(proof) if is_media(name)],
}


@pytest.mark.parametrize("row", [row for row in ROWS if row != "the start"])
@pytest.mark.parametrize("which", range(5))
def test_what_one_of_them_lacks_is_missing_beside_any_other(
    row: str, which: int, proofs: list[Path], tmp_path: Path
) -> None:
    """But for its start, which the other may have: of that the verifier in another language says the same, below."""
    hollow, asked = without(proofs[which], tmp_path, *ROWS[row](proofs[which])), 0
    for other in proofs[:which] + proofs[which + 1 :]:
        given = {*inner(hollow), *inner(other)}
        if given >= {name for name in inner(proofs[which]) if recording(proofs[which]) in name}:
            continue  # the other export has its media as well
        found = [f for f in failures(hollow, other) if f.what in (What.MISSING_SEGMENT, What.MISSING_PARTS)]
        assert found, recording(other)
        asked += 1
    assert asked


@pytest.mark.parametrize("which", [1, 3])
def test_stock_tools_miss_what_one_of_them_lacks(which: int, proofs: list[Path], tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    hollow = without(proofs[which], tmp_path, *ROWS["all of it"](proofs[which]))
    done = verify_sh(hollow, proofs[which - 2], "--trust", root)
    assert done.returncode == 1 and "is missing" in done.stdout, done.stdout


@pytest.mark.parametrize("which", [1, 3])
def test_a_segment_that_a_later_export_names_is_missing_from_the_end_of_one(
    which: int, proofs: list[Path], tmp_path: Path
) -> None:
    """It was cut behind its first part, where nothing of its own shows it."""
    hollow = without(proofs[which], tmp_path, *inner(proofs[which])[2:])
    assert failures(hollow) == []
    named = {f.segment for f in failures(hollow, proofs[which + 1]) if f.what is What.MISSING_SEGMENT}
    assert named == {f"{recording(proofs[which])}-0001"}


def gone(camera: Camera, proof: Path) -> list[Segment]:
    return [s for s in camera.segments if not s.name.startswith(recording(proof))]


@pytest.mark.parametrize("which", range(1, 4))
@pytest.mark.parametrize("whole", [True, False])
def test_among_segments_that_lie_by_themselves_its_media_is_missing(
    whole: bool, which: int, camera: Camera, proofs: list[Path], tmp_path: Path
) -> None:
    """In a directory, or named one by one; and beside the exports of others."""
    paths = [segment.write(tmp_path / "seg") for segment in gone(camera, proofs[which])]
    others = [proof for n, proof in enumerate(proofs) if n not in (which, which - 1)]
    for beside in ([], others):
        found = failures(*([tmp_path / "seg"] if whole else paths), *beside)
        assert {f.recording for f in found} == {recording(proofs[which])}
        assert What.MISSING_SEGMENT in {f.what for f in found}


def test_an_export_beside_segments_by_themselves_asks_for_what_began_among_these(
    camera: Camera, proofs: list[Path], tmp_path: Path
) -> None:
    """They end with the start of the second recording, of which the media were taken."""
    at = next(n for n, s in enumerate(camera.segments) if s.name.startswith(recording(proofs[1])))
    paths = [segment.write(tmp_path) for segment in camera.segments[:at]]
    assert failures(*paths) == []
    assert {f.what for f in failures(*paths, proofs[4])} == {What.MISSING_SEGMENT}
    assert failures(proofs[0], proofs[4]) == []


def test_each_leaf_is_led_to_a_head_as_in_its_own_export(proofs: list[Path], tmp_path: Path) -> None:
    for number, pair in enumerate(combinations(proofs, 2)):
        made = write_proofs(collect(list(pair)), agency().root, tmp_path / f"{number}").written
        assert {one.recording for one in made} >= {recording(proof) for proof in pair}


def test_each_is_rewrapped_and_no_recording_that_begins_at_the_end_of_one(proofs: list[Path], tmp_path: Path) -> None:
    recipient = age.X25519Identity.generate().recipient
    alone = [(proof,) for proof in proofs]
    for number, some in enumerate([*alone, *combinations(proofs, 2)]):
        done = rewrap(collect(some), agency().root, [agency().identity], [recipient], tmp_path / f"{number}")
        assert sorted(Path(proof).name for proof in done.proofs) == [proof.name for proof in some]
        assert failures(*(Path(proof) for proof in done.proofs)) == []


def unpacked(proof: Path, place: Path) -> None:
    for name, data in members(proof).items():
        file = place / recording(proof) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


@pytest.mark.parametrize("row", [None, *ROWS])
def test_the_verifier_in_another_language_says_the_same_of_unpacked_ones(
    row: str | None, proofs: list[Path], tmp_path: Path
) -> None:
    """Each of them beside each other one: whole, or where one lacks something."""
    places = []
    for number, (one, other) in enumerate(permutations(proofs, 2)):
        places.append(tmp_path / f"{number}")
        unpacked(one if row is None else without(one, tmp_path, *ROWS[row](one)), places[-1])
        unpacked(other, places[-1])
    said = verdicts(agency().write_trust(tmp_path)[0], *places)
    for place in places:
        found = {(f.what.value, f.segment) for f in failures(place)}
        assert names_in(said[place]) == found and (row is not None or not found)


# -- removed, behind what else was given ----------------------------------------------------------------------------


NAMES = ["E0", "A0", "Ed", "E1", "X0", "X1", "E2", "B0", "E3"]


class Docked:
    """NAMES: three recordings one behind the other; a dock visit closed Ed before the second."""

    def __init__(self, place: Path) -> None:
        camera, (init, parts) = Camera(agency(), seed=7).new_session(), film()
        for turn, segments in enumerate((1, 2, 1)):
            camera.start(init)
            for number in range(segments):
                if number:
                    camera.rotate()
                add(camera, parts[number])
            camera.stop()
            if turn == 0:
                camera.event()
                camera.close_segment()
                camera.event()
        self.camera, self.place = camera.shutdown(), place
        self.of = dict(zip(NAMES, self.camera.segments, strict=True))

    def proof(self, names: str, folder: str = "out") -> Path:
        """A whole proof with these segments, called after the last recording in it."""
        of = [self.of[name] for name in names.split()]
        stem = [segment.name[:20] for segment in of if segment.name.startswith("r")][-1]
        path = self.place / folder / f"{stem}.proof.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = {"report.json": b"{}", "trust/root.pem": certs.pem([agency().root])}
        return written(path, beside | {f"segments/{segment.name}.tar": segment.to_bytes() for segment in of})

    def exported(self, names: str, in_front: str = "", receipt: bytes = b"") -> Path:
        """The export of these, its film beside it, with others of the log in front of them, and a receipt."""
        (proof,) = exports(
            [self.of[name].write(self.place / "seg" / names) for name in names.split()], self.place / "out"
        )
        more = {f"segments/{self.of[name].name}.tar": self.of[name].to_bytes() for name in in_front.split()}
        more |= {"receipts/a.receipt": receipt} if receipt else {}
        return written(proof, more | members(proof))


@pytest.fixture
def docked(tmp_path: Path) -> Docked:
    return Docked(tmp_path)


def missing(*paths: Path) -> set[str | None]:
    return {f.segment for f in failures(*paths) if f.what is What.MISSING_SEGMENT}


def test_events_in_front_of_an_export_do_not_change_what_it_is_of(docked: Docked) -> None:
    """What it is of was cut behind its first segment; all three verifiers ask for the rest."""
    root, _ = agency().write_trust(docked.place)
    other = docked.proof("E2 B0 E3")
    for number, names in enumerate(("E1 X0", "Ed E1 X0", "Ed E1 X0 X1 E2")):
        proof, lacks = docked.proof(names, f"{number}"), number < 2
        assert missing(proof, other) == ({docked.of["X1"].name} if lacks else set())
        assert verify_sh(proof, other, "--trust", root).returncode == int(lacks)
        place = docked.place / f"unpacked{number}"
        unpacked(proof, place)
        unpacked(other, place)
        assert names_in(verdicts(root, place)[place]) == {(f.what.value, f.segment) for f in failures(place)}
        assert (failures(place) != []) is lacks


def told_of(*paths: Path) -> set[What]:
    """What fails, with the films beside the proofs."""
    sources = collect(paths)
    report = verify(sources, agency().root)
    check_films(report, sources, agency().root)
    return {f.what for f in report.findings if f.fails}


def test_a_film_of_a_whole_recording_has_all_that_is_named_of_it(docked: Docked) -> None:
    """What its proof is of by its segments is the recording before. The second verifier looks at one proof at a time,
    in which nothing names more.
    """
    root, _ = agency().write_trust(docked.place)
    proof = docked.exported("E1 X0", in_front="E0 A0")
    assert told_of(proof.parent) == set() and verdicts(root, proof)[proof] == "verified"
    other = docked.proof("E2 B0 E3", "other")
    assert told_of(proof.parent) == set() and told_of(proof.parent, other) == {What.ALTERED_EXPORT}


@pytest.mark.parametrize("names", ["E1 X0", "E1 X0 X1 E2"])
def test_a_receipt_in_its_proof_names_more_of_it(names: str, docked: Docked) -> None:
    """The second verifier compares no film with segments of which some lack."""
    root, _ = agency().write_trust(docked.place)
    proof = docked.exported(names, receipt=docked.camera.receipt(list(docked.of.values())))
    found = {What.ALTERED_EXPORT, What.MISSING_SEGMENT} if names == "E1 X0" else set()
    assert told_of(proof.parent) == found
    said = {what.value for what in found - {What.ALTERED_EXPORT}}
    assert {what for what, _ in names_in(verdicts(root, proof)[proof])} == said


def test_what_is_left_of_one_at_the_end_of_another_export_is_exported_as_a_range(tmp_path: Path) -> None:
    """Of the first the power was cut, so its export ends with the beginning of the next; the third names the rest."""
    recorded(3, (1, Camera.crash), (2, Camera.stop), (1, Camera.stop)).write(tmp_path / "seg")
    first, second, third = exports([tmp_path / "seg"], tmp_path / "out")
    made = exports([first, third], tmp_path / "again")
    assert [proof.name for proof in made] == [first.name, f"{recording(second)}.parts-0-0.proof.tar", third.name]
    assert failures(*made) == []


def test_a_head_in_one_asks_for_what_was_cut_off_behind_it_though_another_goes_on_from_there(tmp_path: Path) -> None:
    """Of a boot each: the second's segments say of which tree they go on, and no leaf of them names what lacks."""
    camera, (init, parts) = Camera(agency(), seed=3), film()
    for _ in range(2):
        camera.new_session().start(init)
        add(camera, parts[0])
        camera.rotate()
        add(camera, parts[1])
        camera.stop()
        camera.shutdown()
    camera.write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    one, whole = exports([tmp_path / "seg"], tmp_path / "out")
    root, _ = agency().write_trust(tmp_path)
    # Its receipts would name all segments of the first boot.
    (tmp_path / "other").mkdir()
    other = without(whole, tmp_path / "other", *(name for name in members(whole) if name.startswith("receipts/")))
    for number, kept in enumerate((len(inner(one)), 3, 2)):
        gone = [*inner(one)[kept:], *(name for name in members(one) if number and name.startswith("receipts/"))]
        (tmp_path / f"{number}").mkdir()
        cut = without(one, tmp_path / f"{number}", *gone)
        assert (None in missing(cut)) is (None in missing(cut, other)) is (number > 0)
        place = tmp_path / f"unpacked{number}"
        unpacked(cut, place)
        unpacked(other, place)
        assert names_in(verdicts(root, place)[place]) == {(f.what.value, f.segment) for f in failures(place)}
        assert (failures(cut, other) != []) is (number > 0)
    assert verify_sh(cut, other, "--trust", root).returncode == 1


def test_a_whole_export_that_is_cut_to_one_segment_is_no_segment_by_itself(tmp_path: Path) -> None:
    recorded(7, (3, Camera.stop)).write(tmp_path / "seg")
    (whole,) = exports([tmp_path / "seg"], tmp_path / "out")
    root, _ = agency().write_trust(tmp_path)
    for kept in [name for name in inner(whole) if is_media(name)]:
        (tmp_path / kept).mkdir(parents=True)
        cut = without(whole, tmp_path / kept, *(name for name in inner(whole) if name != kept))
        assert missing(cut), kept
        assert "missing-segment" in verdicts(root, cut)[cut]
        assert verify_sh(cut, "--trust", root).returncode == 1


# -- in a directory open/ ------------------------------------------------------------------------------------------


def blank(segment: Segment) -> Segment:
    return replace(segment, entries=[], sealed=False)


def test_what_lies_in_an_export_is_closed_wherever_that_lies(docked: Docked) -> None:
    """A segment of which nothing, or not all, is left is no copy of a file that grew, and asks for nothing less."""
    root, _ = agency().write_trust(docked.place)
    cut = replace(docked.of["X1"], entries=docked.of["X1"].entries[:1], sealed=False)
    docked.of |= {"d": blank(docked.of["Ed"]), "x": blank(docked.of["X0"]), "c": cut}
    for number, names in enumerate((["d E1 A0", "x X1 E2 B0"], ["E1 X0 c E2"])):
        given = {folder: [docked.proof(one, f"{number}/{folder}") for one in names] for folder in ("open", "out")}
        found = {folder: {(f.what, f.segment) for f in failures(*proofs)} for folder, proofs in given.items()}
        assert found["open"] == found["out"] != set()
        last = given["open"][-1]
        assert {what for what, _ in names_in(verdicts(root, last)[last])} & {what.value for what, _ in found["open"]}


def test_a_file_made_ahead_is_none_of_the_segments_by_themselves(
    camera: Camera, proofs: list[Path], tmp_path: Path
) -> None:
    """Of the recording that begins at the end of an export, segments named beside it ask for no more with it. The
    second verifier is given a directory, of which it asks for the whole log.
    """
    last = next(n for n, s in enumerate(camera.segments) if s.name.startswith(recording(proofs[4])))
    given = [proofs[2], *(segment.write(tmp_path / "seg") for segment in camera.segments[last - 1 :])]
    (tmp_path / "open").mkdir()
    ahead = tmp_path / "open" / "e0000000099-00000000.tar"
    ahead.write_bytes(bytes(1 << 16))
    assert failures(*given) == [] and failures(*given, ahead) == []
