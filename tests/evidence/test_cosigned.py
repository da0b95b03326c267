"""The proof of a whole recording leads to a head that a station cosigned, and nothing of that changes unseen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from agent.errors import EvidenceError
from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.findings import What
from agent.evidence.report import lines, to_json
from agent.evidence.rewrap import rewrap
from agent.evidence.sources import collect
from agent.formats import age, certs, merkle, note, tlogproof
from agent.formats import receipt as receipts
from tests.builders import Camera, agency, frontier_of, make_agency
from tests.evidence.kit import failures, notes, only, report_of
from tests.evidence.range_kit import indexes, members, written
from tests.evidence.test_ranges import Members
from tests.evidence.test_verify_sh import run as verify_sh
from tests.film import add, film
from tests.independent.kit import names_in, verdicts

HEAD, PROOF, STATION, CHAIN = (f"cosigned/{name}" for name in ("checkpoint", "consistency", "station.pem", "chain.pem"))


@cache
def life() -> Camera:
    """An event before, a recording, events after it, and another session that docks."""
    camera = Camera(agency(), seed=8).new_session()
    init, parts = film()
    camera.event()
    camera.close_segment()
    camera.start(init)
    for part in parts[:2]:
        add(camera, part)
    camera.stop()
    for _ in range(2):
        camera.event()
        camera.close_segment()
    camera.shutdown()
    camera.new_session().event()
    return camera.shutdown()


@pytest.fixture(scope="module")
def camera() -> Camera:
    return life()


def exported(camera: Camera, place: Path, *sizes: int) -> Path:
    """The proof, made with receipts of these sizes."""
    camera.write(place / "seg")
    for size in sizes:
        (place / "seg" / f"{size}.receipt").write_bytes(camera.receipt([], size))
    options = ExportOptions(place / "out")
    (one,) = export(collect([place / "seg"]), agency().root, [agency().identity], options).exports
    return Path(one.proof)


@pytest.fixture(scope="module")
def sound(camera: Camera, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cosigned at the end of the log, by which the recording is long over."""
    return exported(camera, tmp_path_factory.mktemp("whole"), camera.frontier.size)


@pytest.fixture
def content(sound: Path) -> Members:
    return members(sound)


def old_of(content: Members) -> int:
    return tlogproof.Extension.parse(content[PROOF]).old


def size_of(content: Members) -> int:
    return note.parse_checkpoint(note.parse(content[HEAD]).text).size


# -- what it holds -------------------------------------------------------------------------------------------------


def test_a_recording_that_ends_before_the_cosigned_head_is_led_to_it(camera: Camera, sound: Path) -> None:
    report = report_of(sound)
    assert report.verified
    assert What.TAIL_UNPROVEN not in {f.what for f in report.findings}
    (log,) = report.logs
    (one,) = log.cosigned
    assert (one.extension.old, one.head.point.size, one.head.station) == (log.end, camera.frontier.size, "station.test")
    assert log.end < camera.frontier.size
    said = f"the leaves below {log.end}: a checkpoint of {camera.frontier.size} leaves, cosigned by station.test at "
    assert any(said in line for line in lines(report))
    (told,) = to_json(report)["logs"][0]["cosigned"]
    assert (told["below"], told["size"], told["station"]) == (log.end, camera.frontier.size, "station.test")


def test_the_proof_is_that_of_the_rfc(camera: Camera, content: Members) -> None:
    extension = tlogproof.Extension.parse(content[PROOF])
    old, new = frontier_of(camera.hashes[: extension.old]).root(), frontier_of(camera.hashes).root()
    merkle.verify_consistency(extension.old, old, camera.frontier.size, new, extension.hashes)
    assert content[PROOF].startswith(b"old %d\n" % extension.old)
    parsed = note.parse_checkpoint(note.parse(content[HEAD]).text)
    assert (parsed.size, parsed.root) == (camera.frontier.size, new)


def test_the_session_that_signed_the_head_may_be_a_later_one(content: Members) -> None:
    own = {content[name] for name in content if name.startswith("segments/")}
    assert not any(content[CHAIN] in data for data in own)


def test_a_head_at_the_recordings_own_end(camera: Camera, tmp_path: Path) -> None:
    """Of fewer leaves than the segments hold, or as many: nothing has to lead further."""
    end = report_of(exported(camera, tmp_path / "1", camera.frontier.size)).logs[0].end
    for number, size in enumerate((end, end - 1), 2):
        content = members(exported(camera, tmp_path / f"{number}", size))
        assert (old_of(content), size_of(content), content[PROOF]) == (size, size, b"old %d\n" % size)
        assert failures(tmp_path / f"{number}" / "out") == []


def test_of_several_heads_the_earliest_that_covers_the_recording(camera: Camera, tmp_path: Path) -> None:
    last = max(e.index for s in camera.segments for e in s.entries if b'"stop"' in e.leaf)
    content = members(exported(camera, tmp_path, last, last + 8, camera.frontier.size))
    assert size_of(content) == last + 8


@pytest.mark.parametrize("early", [False, True])
def test_without_a_head_that_covers_it_nothing_is_claimed(early: bool, camera: Camera, tmp_path: Path) -> None:
    proof = exported(camera, tmp_path, *([5] if early else []))
    assert not any(name.startswith("cosigned/") for name in members(proof))
    assert (failures(proof), What.TAIL_UNPROVEN in notes(proof)) == ([], True)


def test_an_export_of_the_export_has_it_again(sound: Path, content: Members, tmp_path: Path) -> None:
    """Whatever lies between the recording and the head is not at hand any more."""
    export(collect([sound]), agency().root, [agency().identity], ExportOptions(tmp_path))
    again = members(tmp_path / sound.name)
    assert {n: d for n, d in again.items() if "cosigned" in n} == {n: d for n, d in content.items() if "cosigned" in n}


@pytest.mark.parametrize("with_receipt", [True, False])
def test_rewrap_keeps_the_cosignature(with_receipt: bool, camera: Camera, content: Members, tmp_path: Path) -> None:
    """Each leaf gets its own path to the cosigned head, out of what the export holds alone."""
    kept = {n: d for n, d in content.items() if with_receipt or not n.startswith("receipts/")}
    proof = written(tmp_path / "r.proof.tar", kept)
    recipient = age.X25519Identity.generate().recipient
    done = rewrap(collect([proof]), agency().root, [agency().identity], [recipient], tmp_path / "court")
    made = members(Path(done.proofs[0]))
    assert made["checkpoint"] == content[HEAD] and made["station.pem"] == content[STATION]
    (view,) = report_of(Path(done.proofs[0])).ranges
    assert failures(Path(done.proofs[0])) == []
    assert view.head.head is not None and view.head.head.station == "station.test"
    assert indexes(made) == sorted(view.proven)


# -- nothing changes unseen ----------------------------------------------------------------------------------------


def without(*names: str) -> Callable[[Members], None]:
    def change(content: Members) -> None:
        for name in names:
            del content[name]

    return change


def without_last_segment(content: Members) -> None:
    del content[max((n for n in content if n.startswith("segments/")), key=lambda n: n.partition("/")[2][1:11])]


def without_start(content: Members) -> None:
    del content[f"segments/{start_of(content)}.tar"]


def start_of(content: Members) -> str:
    """The name of its first segment."""
    return min((Path(n).stem for n in content if n.startswith("segments/")), key=lambda name: name[1:11])


START_GONE = "segment with its start removed"


def uncosigned(content: Members) -> None:
    parsed = note.parse(content[HEAD])
    content[HEAD] = note.Note(parsed.text, parsed.signatures[:-1]).to_bytes()


def by_another_station(content: Members) -> None:
    """Cosigned, and certified, by an agency of the same name."""
    other = Camera(make_agency(agency().name), seed=8).new_session()
    parsed = note.parse(content[HEAD])
    own = other.agency
    cosignature = note.cosign(parsed.text, own.station, own.receipt_key, 1_772_359_200)
    content[HEAD] = note.Note(parsed.text, (*parsed.signatures[:-1], cosignature)).to_bytes()
    content[STATION] = certs.pem([own.receipt_cert, own.issuing])


def of_another_head(content: Members) -> None:
    """One of fewer leaves of the same log, cosigned as well."""
    other = life()
    content[HEAD] = note_in(other.receipt([], other.frontier.size - 1))


def of_another_log(content: Members) -> None:
    """Of the same camera, and as many leaves."""
    other = life()
    size = other.frontier.size
    kept, other.roots[size] = other.roots[size], bytes(32)
    content[HEAD] = note_in(other.receipt([], size))
    other.roots[size] = kept


def of_another_camera(content: Members) -> None:
    other = Camera(agency(), "cam-0002", seed=9).new_session().shutdown()
    content[HEAD], content[CHAIN] = note_in(other.receipt([])), other.chain


def note_in(receipt: bytes) -> bytes:
    return receipts.parse(note.parse(receipt).text).checkpoint


def proof_says(old: int, bend: bool = False) -> Callable[[Members], None]:
    def change(content: Members) -> None:
        extension = tlogproof.Extension.parse(content[PROOF])
        hashes = (bytes(32), *extension.hashes[1:]) if bend else extension.hashes
        content[PROOF] = tlogproof.Extension(extension.old + old, hashes).to_bytes()

    return change


TABLE: list[tuple[str, Callable[[Members], None], What, str]] = [
    ("proof of the cosigned head removed", without(PROOF), What.BAD_HEAD, "cosigned/consistency is not in the proof"),
    ("cosigned head removed", without(HEAD), What.BAD_HEAD, "cosigned/checkpoint is not in the proof"),
    ("station's certificate removed", without(STATION), What.BAD_HEAD, "cosigned/station.pem is not in the proof"),
    ("chain of the head's session removed", without(CHAIN), What.BAD_HEAD, "cosigned/chain.pem is not in the proof"),
    ("cosignature stripped", uncosigned, What.BAD_HEAD, "no station cosigned"),
    ("cosigned by another agency's station", by_another_station, What.BAD_HEAD, "cosigned"),
    ("cosigned head replaced by an older one", of_another_head, What.BAD_HEAD, "is not led to"),
    ("cosigned head of another history", of_another_log, What.BAD_HEAD, "is not led to"),
    ("cosigned head of another camera", of_another_camera, What.BAD_HEAD, "of which no segment is given"),
    ("a hash of its proof edited", proof_says(0, bend=True), What.BAD_HEAD, "is not led to"),
    ("its proof begins a leaf earlier", proof_says(-1), What.BAD_HEAD, "is not led to"),
    ("its proof begins a leaf later", proof_says(1), What.MISSING_SEGMENT, "the last 1 of them are in no segment"),
    ("last segment removed", without_last_segment, What.MISSING_SEGMENT, "are in no segment given"),
    (START_GONE, without_start, What.MISSING_SEGMENT, "the segment with its start"),
]


@pytest.fixture(scope="module")
def changed(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each row's proof."""
    place, made = tmp_path_factory.mktemp("changed"), {}
    for number, (name, change, *_) in enumerate(TABLE):
        content = members(sound)
        change(content)
        made[name] = written(place / f"{number}.proof.tar", content)
    return made


@pytest.mark.wide
@pytest.mark.parametrize("row", [r[0] for r in TABLE if r[2] is What.BAD_HEAD])
def test_it_names_the_recording_where_the_export_has_its_name(
    row: str, sound: Path, changed: dict[str, Path], tmp_path: Path
) -> None:
    (recording,) = {r.recording for r in report_of(sound).results if r.recording}
    named = Path(shutil.copy(changed[row], tmp_path / f"{recording}.proof.tar"))
    assert [only(failures(path)).recording for path in (named, changed[row])] == [recording, None]


@pytest.mark.parametrize(("name", "what", "text"), [(r[0], *r[2:]) for r in TABLE], ids=[r[0] for r in TABLE])
def test_a_change_has_its_name(name: str, what: What, text: str, changed: dict[str, Path]) -> None:
    found = only(failures(changed[name]))
    assert (found.what, text in found.text) == (what, True), found.line()
    assert (found.when is None) == (what is What.BAD_HEAD)
    if found.when is not None:
        assert found.when.startswith("before " if name == START_GONE else "after ")


def test_the_verifier_in_another_language_names_each_alike(
    sound: Path, content: Members, changed: dict[str, Path], tmp_path: Path
) -> None:
    root, _ = agency().write_trust(tmp_path)
    said = verdicts(root, sound, *changed.values())
    assert said.pop(sound) == "verified"
    wanted = {
        changed[name]: (what.value, start_of(content) if name == START_GONE else None) for name, _, what, _ in TABLE
    }
    assert {path: names_in(told) for path, told in said.items()} == {path: {name} for path, name in wanted.items()}
    assert {path: (f.what.value, f.segment) for path in wanted for f in failures(path)} == wanted


@pytest.mark.parametrize("name", [HEAD, PROOF, STATION, CHAIN])
def test_no_change_to_a_member_goes_unseen(name: str, content: Members, tmp_path: Path) -> None:
    """By ours and by the verifier in another language."""
    data = content[name]
    bent = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in (0, len(data) // 2, len(data) - 1)]
    proofs = [
        written(tmp_path / f"{number}.proof.tar", content | {name: changed})
        for number, changed in enumerate([b"", data[:-1], data + b"\n", bytes(range(256)) * 4, *bent])
    ]
    assert [path for path in proofs if "cosigned" not in only(failures(path)).text] == []
    root, _ = agency().write_trust(tmp_path)
    assert {what for told in verdicts(root, *proofs).values() for what in names_in(told)} == {("bad-head", None)}


def test_stock_tools_ask_for_the_start_of_a_recording(changed: dict[str, Path], tmp_path: Path) -> None:
    """Also where nothing but its media is left."""
    root, _ = agency().write_trust(tmp_path)
    bare = {n: d for n, d in members(changed[START_GONE]).items() if not n.startswith(("segments/e", "cosigned/"))}
    for proof in (changed[START_GONE], written(tmp_path / "r.proof.tar", bare)):
        done = verify_sh(proof, "--trust", root)
        assert done.returncode == 1 and "the segment with the start of" in done.stdout, done.stdout


def test_stock_tools_find_it(changed: dict[str, Path], tmp_path: Path) -> None:
    """What they say of a sound one stands beside the commands of its README."""
    root, _ = agency().write_trust(tmp_path)
    done = verify_sh(changed["its proof begins a leaf earlier"], "--trust", root)
    assert done.returncode == 1, done.stdout
    (failed,) = (line for line in done.stdout.splitlines() if line.startswith("FAIL"))
    assert failed == "FAIL  Merkle proof from the leaves to the head that a station cosigned"


def test_all_of_it_removed_leaves_an_export_that_nobody_vouches_for(content: Members, tmp_path: Path) -> None:
    proof = written(
        tmp_path / "r.proof.tar",
        {n: d for n, d in content.items() if n.partition("/")[0] not in ("cosigned", "receipts")},
    )
    assert (failures(proof), What.TAIL_UNPROVEN in notes(proof)) == ([], True)


ILL_SPELLED = [
    b"", b"old 3", b"old 03\n", b"old 0\n", b"old 3\r\n", b"old 3\nAAAA\n", b"3\n", b"old 3\n\n",
    b"old 3\n" + b"A" * 43 + b"=", b"old " + b"9" * 19 + b"\n",
]  # fmt: skip


@pytest.mark.parametrize("data", ILL_SPELLED)
def test_the_way_to_it_has_one_spelling(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        tlogproof.Extension.parse(data)


# -- exports side by side ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The exports of two recordings of one log, with leaves between them that are in neither."""
    place, camera, (init, parts) = tmp_path_factory.mktemp("pair"), Camera(agency(), seed=3).new_session(), film()
    for _ in range(2):
        camera.start(init)
        add(camera, parts[0])
        camera.stop()
        for _ in range(2):
            camera.event()
            camera.close_segment()
    camera.shutdown().write(place / "seg")
    (place / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    made = export(collect([place / "seg"]), agency().root, [agency().identity], ExportOptions(place / "out")).exports
    return [Path(one.proof) for one in made]


def without_segment(proof: Path, place: Path, at: int) -> Path:
    content = members(proof)
    names = (name for name in content if name.startswith("segments/"))
    del content[sorted(names, key=lambda name: (name[10:20], name))[at]]
    return written(place / proof.name, content)


def test_exports_of_one_log_side_by_side(pair: list[Path], tmp_path: Path) -> None:
    report = report_of(pair[0].parent)
    assert report.verified and len(report.logs[0].cosigned) == 2
    assert any(f.what is What.OUTSIDE and "between recordings" in f.text for f in report.findings)
    root, _ = agency().write_trust(tmp_path)
    done = verify_sh(*pair, "--trust", root)
    assert done.returncode == 0, done.stdout
    assert "between recordings, are not among the segments given" in done.stdout


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_none_of_them_hides_what_another_lacks(which: int, at: int, pair: list[Path], tmp_path: Path) -> None:
    """Its start, its parts, and what follows it."""
    pieces = [without_segment(p, tmp_path, at) if n == which else p for n, p in enumerate(pair)]
    found = failures(*pieces)
    assert What.MISSING_SEGMENT in {f.what for f in found}, found
