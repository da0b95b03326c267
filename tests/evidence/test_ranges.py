"""A released piece verifies alone: it shows nothing but itself, and nothing in it changes unseen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import EvidenceError, UsageError
from agent.evidence.commands import main
from agent.evidence.decrypt import decrypt
from agent.evidence.films import check_films
from agent.evidence.findings import Finding, What
from agent.evidence.sources import collect
from agent.formats import age, merkle, note, pack, tlogproof
from agent.formats import leaf as leaves
from tests.builders import Camera, agency, frontier_of, make_agency
from tests.evidence.kit import failures, notes, report_of
from tests.evidence.range_kit import cosigned_range, indexes, members, range_of, written
from tests.evidence.test_export import presented
from tests.film import add, film, film_camera

HOUSE = Path(__file__).parents[2]
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def camera() -> Camera:
    return film_camera()


@pytest.fixture
def segments(camera: Camera, tmp_path: Path) -> Path:
    camera.write(tmp_path / "seg")
    return tmp_path / "seg"


@pytest.fixture(scope="module")
def sound(camera: Camera, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cosigned_range(camera, tmp_path_factory.mktemp("sound"))


@pytest.fixture
def content(sound: Path) -> Members:
    return members(sound)


def entry(index: int, kind: str) -> str:
    return f"entries/{index:010d}.{kind}"


def parts_of(content: Members) -> dict[int, int]:
    """Log index of each part."""
    found = {}
    for index in indexes(content):
        leaf = leaves.parse(content[entry(index, "json")])
        if isinstance(leaf, leaves.MediaLeaf):
            found[leaf.part] = index
    return found


# -- what it holds -------------------------------------------------------------------------------------------------


def test_a_range_verifies_alone_and_plays(sound: Path) -> None:
    report = report_of(sound.parent)
    assert report.verified
    (view,) = report.ranges
    state, head = view.state, view.head.head
    assert state is not None and head is not None
    assert (state.first_part, state.next_part, state.parts) == (2, 5, 3)
    assert (head.station, head.time_s is not None) == ("station.test", True)
    assert [f.what for f in report.findings] == [What.OUTSIDE]
    assert len(presented(sound.with_name(f"{view.name}.mp4"))["video"]) == 45


def test_nothing_of_another_recording_is_in_it(tmp_path: Path) -> None:
    """Three in one log; the middle one's range names neither of the others, nor what the camera did besides."""
    camera = film_camera()
    init, parts = film()
    for _ in range(2):
        camera.new_session()
        camera.start(init)
        for part in parts[:4]:
            add(camera, part)
        camera.stop()
        camera.event(body={"type": "heartbeat"})
        camera.shutdown()
    camera.write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    names = sorted({s.header.recording for s in camera.segments if s.header.recording})
    proof = range_of(tmp_path / "seg", tmp_path / "out", "", "", recording=names[1], begin_at="2026-03-01T09:00:00Z")
    content = members(proof)
    assert failures(proof) == []
    assert len(parts_of(content)) == 4
    held = b"".join(content.values())
    assert [name.encode() in held for name in names] == [False, True, False]
    assert b"disk:" not in held, "the receipt's list of all segments"
    beside = (tmp_path / "out" / "report.json").read_bytes()
    assert [name.encode() in beside for name in names] == [False, True, False]


def test_it_holds_its_own_entries_and_no_other(camera: Camera, content: Members) -> None:
    kinds = {i: leaves.parse(content[entry(i, "json")]) for i in indexes(content)}
    told = [x.kind.value if isinstance(x, leaves.EventLeaf) else x.part for x in kinds.values()]
    assert [t for t in told if not isinstance(t, int)][:2] == ["session", "start"]
    assert [t for t in told if isinstance(t, int)] == [2, 3, 4]
    held = b"".join(content.values())
    given = {e.index: e for s in camera.segments for e in s.entries}
    for index, stored in given.items():
        assert (stored.leaf in held) == (stored.sealed in held) == (index in kinds), index
    for segment in camera.segments:
        # The seal leaf of the segment that ended within the range names it; nothing names another.
        inside = any(segment.name.encode() in content[entry(i, "json")] for i in kinds)
        assert (segment.name.encode() in held) == inside


def test_every_path_leads_to_the_root_by_the_algorithm_of_the_rfc(camera: Camera, content: Members) -> None:
    point = note.parse_checkpoint(note.parse(content["checkpoint"]).text)
    assert point.root == frontier_of(camera.hashes[: point.size]).root()
    for index in indexes(content):
        proof = tlogproof.InclusionProof.parse(content[entry(index, "tlog-proof")])
        assert proof.checkpoint == content["checkpoint"]
        merkle.verify_inclusion(camera.hashes[index], index, point.size, proof.hashes, point.root)


def test_order_of_the_members_does_not_matter(content: Members, tmp_path: Path) -> None:
    assert failures(written(tmp_path / "r.proof.tar", dict(reversed(content.items())))) == []


def test_every_command_in_its_readme_works_as_it_stands(sound: Path, tmp_path: Path) -> None:
    """With the reader's own root.pem and key in the directory, and the tools on the PATH."""
    for file in sound.parent.iterdir():
        shutil.copy(file, tmp_path)
    agency().write_trust(tmp_path)
    commands = [x.strip() for x in members(sound)["README.txt"].decode().splitlines() if x.startswith("    ")]
    path = f"{HOUSE / 'docs'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = {}
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        said[command] = done.stdout
    assert len(commands) == 11
    assert len(said) == 11
    digest, named = (next(s for c, s in said.items() if c.startswith(w)) for w in ("sha256sum", "grep"))
    assert digest.split()[0] in named
    hashed = [s for c, s in said.items() if c.startswith("ffmpeg")]
    assert len(hashed) == 2
    assert hashed[0] == hashed[1] != ""


# -- which checkpoint ----------------------------------------------------------------------------------------------


def size_of(proof: Path) -> int:
    return note.parse_checkpoint(note.parse(members(proof)["checkpoint"]).text).size


def test_it_leads_to_the_earliest_cosigned_head_that_covers_it(camera: Camera, segments: Path, tmp_path: Path) -> None:
    """Parts 2 to 4 end with leaf 8 in this log; a receipt of 8 leaves does not cover it."""
    last = parts_of(members(range_of(segments, tmp_path / "alone")))[4]
    for size in (camera.frontier.size, last + 3, last + 1, last):
        (segments / f"{size}.receipt").write_bytes(camera.receipt([], size))
    proof = range_of(segments, tmp_path / "out")
    assert (failures(proof), size_of(proof)) == ([], last + 1)
    assert "earlier/checkpoint" not in members(proof)


def test_a_receipt_that_covers_some_of_it_comes_with_its_consistency(
    camera: Camera, segments: Path, tmp_path: Path
) -> None:
    first = parts_of(members(range_of(segments, tmp_path / "alone")))[2]
    for size in (first, first + 1, first + 2):
        (segments / f"{size}.receipt").write_bytes(camera.receipt([], size))
    proof = range_of(segments, tmp_path / "out")
    report = report_of(proof)
    assert report.verified
    (view,) = report.ranges
    assert view.head.head is not None and view.head.earlier is not None
    assert (view.head.head.time_s, view.head.head.point.size) == (None, camera.frontier.size)
    assert (view.head.earlier.station, view.head.earlier.point.size) == ("station.test", first + 2)


def test_without_a_receipt_it_leads_to_the_newest_checkpoint_of_the_camera(
    camera: Camera, segments: Path, tmp_path: Path
) -> None:
    proof = range_of(segments, tmp_path / "out")
    assert size_of(proof) == camera.frontier.size
    assert "station.pem" not in members(proof)
    assert report_of(proof).verified


def test_a_checkpoint_the_user_names(camera: Camera, segments: Path, tmp_path: Path) -> None:
    """Later than all segments given: tiles lead there."""
    for path in sorted(segments.glob("e*.tar"))[1:]:
        path.unlink()
    camera.write_log(tmp_path / "log")
    head = tmp_path / "head.note"
    head.write_bytes(camera.checkpoint(camera.frontier.size, by_identity=True))
    shutil.copytree(tmp_path / "log", segments / "log")
    proof = range_of(segments, tmp_path / "out", head=head, even_if_damaged=True)
    assert (failures(proof), size_of(proof)) == ([], camera.frontier.size)


def test_a_session_long_after_signs_for_the_parts_of_an_earlier_one(tmp_path: Path) -> None:
    camera = film_camera()
    camera.new_session().shutdown()
    camera.write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt([]))
    proof = range_of(tmp_path / "seg", tmp_path / "out")
    assert failures(proof) == []
    assert sum(name.startswith("chains/") for name in members(proof)) == 2


# -- edges ---------------------------------------------------------------------------------------------------------


@pytest.mark.wide
@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        ("06.1", "06.2", 0, 0),
        ("06.6", "06.7", 0, 1),
        ("07.1", "07.2", 2, 2),
        ("09.7", "09.8", 6, 7),
        ("09.7", "", 6, 7),
        ("", "06.2", 0, 0),
        ("00", "59", 0, 7),
        ("09.1", "59", 6, 7),
    ],
)
def test_ranges_at_the_edges(begin: str, end: str, first: int, last: int, segments: Path, tmp_path: Path) -> None:
    proof = range_of(segments, tmp_path / "out", begin, end)
    assert proof.name.endswith(f".parts-{first}-{last}.proof.tar")
    assert failures(proof.parent) == []
    content = members(proof)
    assert sorted(parts_of(content)) == list(range(first, last + 1))
    ends = any(b'"kind":"stop"' in content[entry(i, "json")] for i in indexes(content))
    assert ends == (last == 7)


@pytest.mark.parametrize(("begin", "end"), [("30", "40"), ("00", "01"), ("08", "07")])
def test_a_range_with_nothing_in_it(begin: str, end: str, segments: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part of a recording lies in that time"):
        range_of(segments, tmp_path / "out", begin, end)
    assert not list((tmp_path / "out").glob("*.tar"))


def test_segments_without_the_start_are_asked_for(segments: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start of r0000000001"):
        range_of(sorted(segments.glob("r*.tar"))[1], tmp_path / "out", "", "59")
    assert not list((tmp_path / "out").glob("*"))


def test_a_range_under_the_name_of_another_recording(sound: Path, tmp_path: Path) -> None:
    """Both files renamed: they fit each other, and lie."""
    for path in sound.parent.glob("r*"):
        shutil.copy(path, tmp_path / path.name.replace(path.name[:20], "r0000000009-00000000"))
    (found,) = failures_of_films(tmp_path)
    assert "r0000000001" in found.text and found.what is What.ALTERED_EXPORT


def failures_of_films(place: Path) -> list[Finding]:
    sources = collect([place])
    return [c.finding for c in check_films(report_of(place), sources, agency().root) if c.finding is not None]


def test_two_ranges_of_one_recording_stand_side_by_side(segments: Path, tmp_path: Path) -> None:
    range_of(segments, tmp_path / "out", "06.1", "06.2")
    range_of(segments, tmp_path / "out", "09.1", "")
    report = report_of(tmp_path / "out")
    assert (report.verified, len(report.ranges)) == (True, 2)


def test_a_head_that_is_named_beside_a_range(camera: Camera, sound: Path, tmp_path: Path) -> None:
    """The very one it stands on holds; a later one is not compared, and that is said; another history is a fork."""
    same, later, fork, other = (tmp_path / name for name in ("same", "later", "fork", "other"))
    same.write_bytes(camera.checkpoint(camera.frontier.size))
    later.write_bytes(camera.receipt([], 5))
    root, camera.roots[-1] = camera.roots[-1], bytes(32)
    fork.write_bytes(camera.receipt([]))
    camera.roots[-1] = root
    other.write_bytes(Camera(agency(), "cam-0009").new_session().receipt([]))
    assert failures(sound, head=same) == []
    assert notes(sound, head=same) == [What.OUTSIDE]
    assert failures(sound, head=later) == []
    assert What.UNCHECKED in notes(sound, head=later)
    assert [f.what for f in failures(sound, head=fork)] == [What.FORK]
    assert [f.what for f in failures(sound, head=other)] == [What.BAD_HEAD]


def test_a_damaged_part_is_not_in_the_range_and_is_named(camera: Camera, tmp_path: Path) -> None:
    paths = camera.write(tmp_path / "seg")
    data = bytearray(paths[1].read_bytes())
    part = next(e for s in camera.segments for e in s.entries if b'"part":3,' in e.leaf)
    data[data.index(part.sealed) + 10_000] ^= 1
    paths[1].write_bytes(data)
    proof = range_of(tmp_path / "seg", tmp_path / "out", "07.1", "08.2", even_if_damaged=True)
    found = failures(proof)
    assert [(f.what, f.part_first) for f in found if f.what is What.MISSING_PARTS and f.part_first is not None] == [
        (What.MISSING_PARTS, 3)
    ]


# -- nothing changes unseen ----------------------------------------------------------------------------------------


def first_of(content: Members, pattern: str) -> str:
    """The first member of that kind; `part.X` is the X of part 3, `start.X` that of the start leaf."""
    who, _, kind = pattern.partition(".")
    index = {"part": parts_of(content)[3], "start": indexes(content)[1]}.get(who)
    return entry(index, kind) if index is not None else next(name for name in content if pattern in name)


PROVING = ["checkpoint", "station.pem", "chains/", "init.age", "start.age", "start.json", "start.tlog-proof"]


@pytest.mark.wide
@pytest.mark.parametrize("kind", [*PROVING, "part.age", "part.json", "part.tlog-proof"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "longer", "first", "middle", "last", "garbage"])
def test_no_change_to_a_member_goes_unseen(kind: str, how: str, content: Members, tmp_path: Path) -> None:
    name = first_of(content, kind)
    data = bytearray(content[name])
    match how:
        case "gone":
            del content[name]
        case "empty":
            content[name] = b""
        case "cut":
            content[name] = bytes(data[:-1])
        case "longer":
            content[name] = bytes(data + b"\n")
        case "garbage":
            content[name] = bytes(range(256)) * 4
        case _:
            data[{"first": 0, "middle": len(data) // 2, "last": len(data) - 1}[how]] ^= 1
            content[name] = bytes(data)
    found = failures(written(tmp_path / "r.proof.tar", content))
    index = int(name[8:18]) if name.startswith("entries/") else None
    assert any(f.first == index if index is not None else kind in f.text for f in found), found


def test_every_single_member_is_accounted_for(content: Members, tmp_path: Path) -> None:
    """Whatever is not in this table has no right to be in a proof unseen."""
    kinds = {name.partition("/")[0] if name.startswith("chains/") else name for name in content}
    plain = {"README.txt", "report.json", "trust/root.pem", "checkpoint", "station.pem", "chains", "init.age"}
    assert {k for k in kinds if not k.startswith("entries/")} == plain
    for name in ("README.txt", "trust/root.pem"):
        assert failures(written(tmp_path / "r.proof.tar", content | {name: b"other"})) == []
    assert failures(written(tmp_path / "r.proof.tar", {k: v for k, v in content.items() if k != "report.json"}))


def drop_part(content: Members, number: int) -> None:
    index = parts_of(content)[number]
    for kind in ("age", "json", "tlog-proof"):
        del content[entry(index, kind)]


def swap(content: Members, one: str, other: str) -> None:
    content[one], content[other] = content[other], content[one]


def swap_parts(content: Members, kinds: tuple[str, ...]) -> None:
    a, b = parts_of(content)[2], parts_of(content)[3]
    for kind in kinds:
        swap(content, entry(a, kind), entry(b, kind))


def edit_leaf(content: Members) -> None:
    name = entry(parts_of(content)[3], "json")
    content[name] = content[name].replace(b'"source":"synchronised"', b'"source":"unverified"')


def say(content: Members, **fields: object) -> None:
    told = json.loads(content["report.json"])
    told["export"].update(fields)
    content["report.json"] = json.dumps(told).encode()


def another_agencys_key(content: Members) -> None:
    """All signatures by a camera of another agency with the same name."""
    other = Camera(make_agency("forgers"), "cam-0001").new_session()
    name = first_of(content, "chains/")
    content[name] = other.chain


def resign(content: Members) -> None:
    """The checkpoint signed by another camera of the agency, whose chain stands beside it."""
    other = Camera(agency(), "cam-0002", seed=9).new_session()
    text = note.parse(content["checkpoint"]).text
    other.origin = text.split("\n")[0]
    forged = other.sign(text)
    for name in list(content):
        content[name] = content[name].replace(content["checkpoint"], forged) if name != "checkpoint" else content[name]
    content["checkpoint"] = forged
    content[f"chains/{hashlib.sha256(other.chain).hexdigest()}.pem"] = other.chain
    content.pop("station.pem", None)


def without_cosigner(content: Members) -> None:
    del content["station.pem"]


def uncosigned(content: Members) -> None:
    parsed = note.parse(content["checkpoint"])
    content["checkpoint"] = note.Note(parsed.text, parsed.signatures[:-1]).to_bytes()


def respelled(content: Members) -> None:
    """The checkpoint, in it and in every proof, without its last newline."""
    old = content["checkpoint"]
    for name in list(content):
        if name == "checkpoint" or name.endswith(".tlog-proof"):
            content[name] = content[name].replace(old, old[:-1])


def earlier_of_as_many(content: Members) -> None:
    """The cosigned head stands beside itself, without its cosignature: it is no earlier one."""
    cosigned = content["checkpoint"]
    uncosigned(content)
    for name in list(content):
        if name.endswith(".tlog-proof"):
            content[name] = content[name].replace(cosigned, content["checkpoint"])
    content |= {"earlier/checkpoint": cosigned, "earlier/consistency": b""}


def without_identity(content: Members) -> None:
    """The camera's identity key signed none of it: what remains takes the session's key alone, and a station."""
    old = content["checkpoint"]
    parsed = note.parse(old)
    content["checkpoint"] = note.Note(parsed.text, (parsed.signatures[0], parsed.signatures[-1])).to_bytes()
    for name in list(content):
        if name.endswith(".tlog-proof"):
            content[name] = content[name].replace(old, content["checkpoint"])


def identity_head(signatures: slice, size: int = 0, proof: bytes = b"") -> Callable[[Members], None]:
    """One of the checkpoint's own size, which needs no hashes to be led to it, with these signatures of it."""

    def change(content: Members) -> None:
        parsed = note.parse(content["checkpoint"])
        stem = f"identity/{size or note.parse_checkpoint(parsed.text).size:010d}"
        content[f"{stem}.checkpoint"] = note.Note(parsed.text, parsed.signatures[signatures]).to_bytes()
        content[f"{stem}.consistency"] = proof

    return change


def test_such_a_head_vouches_where_the_checkpoint_does_not(content: Members, tmp_path: Path) -> None:
    identity_head(slice(2))(content)
    without_identity(content)
    proof = written(tmp_path / "r.proof.tar", content)
    assert (failures(proof), notes(proof)) == ([], [What.OUTSIDE])


def shorten(content: Members, *numbers: int) -> None:
    for number in numbers:
        drop_part(content, number)


def element(tag: int, *content: bytes) -> bytes:
    """DER; nothing in it is longer than 127 bytes."""
    data = b"".join(content)
    return bytes([tag, len(data)]) + data


def stamped(data: bytes, status: bytes = b"\0") -> bytes:
    """An RFC 3161 response over these bytes, as far as any verifier without the authority's key reads it."""
    sha256, tst = bytes.fromhex("608648016503040201"), bytes.fromhex("2a864886f70d0109100104")
    imprint = element(0x30, element(0x30, element(6, sha256)), element(4, hashlib.sha256(data).digest()))
    info = element(
        0x30, element(2, b"\1"), element(6, b"\x2a"), imprint, element(2, b"\7"), element(0x18, b"20260301120000Z")
    )
    signed = element(
        0x30, element(2, b"\3"), element(0x31), element(0x30, element(6, tst), element(0xA0, element(4, info)))
    )
    token = element(0x30, element(6, bytes.fromhex("2a864886f70d010702")), element(0xA0, signed))
    return element(0x30, element(0x30, element(2, status)), token)


def test_such_a_timestamp_of_the_checkpoint_itself_is_taken(content: Members, tmp_path: Path) -> None:
    content["timestamp.tsr"] = stamped(content["checkpoint"])
    assert failures(written(tmp_path / "r.proof.tar", content)) == []


def stamp(make: Callable[[Members], bytes]) -> Callable[[Members], None]:
    return lambda content: content.update({"timestamp.tsr": make(content)})


OTHER_STAMP, HASH = "is not over the checkpoint", note.b64(bytes(32)).encode() + b"\n"
TABLE: list[tuple[str, Callable[[Members], None], What, str]] = [
    ("part dropped", lambda c: drop_part(c, 3), What.MISSING_PARTS, "the range has a hole"),
    ("first part dropped", lambda c: shorten(c, 2), What.MISSING_PARTS, "shortened at its beginning"),
    ("last part dropped", lambda c: shorten(c, 4), What.MISSING_PARTS, "shortened at its end"),
    ("all but one dropped", lambda c: shorten(c, 2, 4), What.MISSING_PARTS, "shortened at its end"),
    ("all parts dropped", lambda c: shorten(c, 2, 3, 4), What.MISSING_PARTS, "the range is shortened"),
    ("sealed bytes swapped", lambda c: swap_parts(c, ("age",)), What.SWAPPED_ENTRIES, "holds the sealed bytes of leaf"),
    ("leaves swapped", lambda c: swap_parts(c, ("json",)), What.SWAPPED_ENTRIES, "holds leaf"),
    ("paths swapped", lambda c: swap_parts(c, ("tlog-proof",)), What.SWAPPED_ENTRIES, "is the proof of leaf"),
    ("entries swapped", lambda c: swap_parts(c, ("age", "json", "tlog-proof")), What.SWAPPED_ENTRIES, "is the proof"),
    ("leaf edited", edit_leaf, What.ALTERED_BYTES, "is not the leaf that was signed"),
    ("chain of another agency", another_agencys_key, What.ALTERED_BYTES, "is not the chain of this name"),
    ("checkpoint by another camera", resign, What.BAD_SIGNATURE, "signed by the camera cam-0002"),
    ("cosigner's certificate gone", without_cosigner, What.BAD_SIGNATURE, "no station.pem has its key"),
    ("cosignature gone", uncosigned, What.BAD_SIGNATURE, "no cosignature"),
    ("checkpoint in another spelling", respelled, What.ALTERED_BYTES, "checkpoint: "),
    ("earlier head of as many leaves", earlier_of_as_many, What.BAD_HEAD, "not an earlier head"),
    ("identity's signature gone", without_identity, What.MISSING_SIGNATURE, "no checkpoint here that the camera's"),
    ("identity's head by the session alone", identity_head(slice(1)), What.BAD_HEAD, "identity key did not sign it"),
    ("identity's head cosigned", identity_head(slice(3)), What.BAD_HEAD, "no station.pem has its key"),
    ("identity's head of another size", identity_head(slice(2), 7), What.BAD_HEAD, "it is of 15 leaves"),
    ("identity's head led to otherwise", identity_head(slice(2), 0, HASH), What.BAD_HEAD, "is not an extension"),
    ("timestamp that of another checkpoint", stamp(lambda c: stamped(b"another")), What.ALTERED_BYTES, OTHER_STAMP),
    ("timestamp refused", stamp(lambda c: stamped(c["checkpoint"], b"\2")), What.ALTERED_BYTES, "did not grant"),
    ("timestamp cut short", stamp(lambda c: stamped(c["checkpoint"])[:-9]), What.ALTERED_BYTES, "cut short"),
    ("report of fewer parts", lambda c: say(c, last_part=3), What.ALTERED_EXPORT, "not this one"),
    ("report of more parts", lambda c: say(c, last_part=6), What.MISSING_PARTS, "shortened at its end"),
    ("report of earlier parts", lambda c: say(c, first_part=1), What.MISSING_PARTS, "shortened at its beginning"),
    ("report of another recording", lambda c: say(c, recording="r0000000009-00000000"), What.ALTERED_EXPORT, "are of"),
    ("report without numbers", lambda c: say(c, first_part=None), What.ALTERED_EXPORT, "does not say"),
]  # fmt: skip


@pytest.mark.wide
@pytest.mark.parametrize(("change", "what", "text"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE])
def test_a_change_has_its_name(
    change: Callable[[Members], None], what: What, text: str, content: Members, tmp_path: Path
) -> None:
    change(content)
    found = failures(written(tmp_path / "r.proof.tar", content))
    assert any(f.what is what and text in f.text for f in found), found


def test_an_event_within_the_range_cannot_be_left_out(tmp_path: Path) -> None:
    """A mute, or whatever it was."""
    camera = Camera(agency()).new_session()
    init, parts = film()
    camera.start(init)
    for part in parts[:4]:
        add(camera, part)
        camera.event(body={"type": "mute"})
    camera.stop()
    camera.shutdown().write(tmp_path / "seg")
    proof = range_of(tmp_path / "seg", tmp_path / "out", "00", "59")
    content = members(proof)
    assert failures(proof) == []
    muted = parts_of(content)[1] + 1
    for kind in ("age", "json", "tlog-proof"):
        del content[entry(muted, kind)]
    (found,) = failures(written(proof, content))
    assert (found.what, found.first) == (What.MISSING_PARTS, muted)


def test_the_start_leaf_cannot_be_left_out(content: Members, tmp_path: Path) -> None:
    start = indexes(content)[1]
    for kind in ("age", "json", "tlog-proof"):
        del content[entry(start, kind)]
    (found,) = failures(written(tmp_path / "r.proof.tar", content))
    assert (found.what, found.first) == (What.MISSING_PARTS, start)


def test_parts_cut_off_before_the_stop_leaf(segments: Path, tmp_path: Path) -> None:
    """Report and MP4 made to fit: the stop leaf still says how many there were."""
    proof = range_of(segments, tmp_path / "out", "09.1", "")
    content = members(proof)
    drop_part(content, 7)
    say(content, last_part=6)
    found = failures(written(proof, content))
    assert any("its stop leaf says 8 parts" in f.text for f in found)


def test_what_is_not_known_is_said_and_what_stands_twice_fails(content: Members, tmp_path: Path) -> None:
    proof = written(tmp_path / "r.proof.tar", content | {"notes/case.txt": b"x", "entries/x.age": b"y"})
    assert (failures(proof), notes(proof)) == ([], [What.UNCHECKED, What.OUTSIDE])
    data = proof.read_bytes()
    twice = data[: -len(pack.TRAILER)] + pack.member("init.age", b"") + pack.TRAILER
    proof.write_bytes(twice)
    assert [f.what for f in failures(proof)] == [What.REPEATED_ENTRY]


@pytest.mark.parametrize("at", [0, 130, 300, 512, -1, -600, -1024])
def test_a_flip_in_the_archive_itself(at: int, content: Members, tmp_path: Path) -> None:
    """Header, padding, trailer; what stands first is as long as a member may be without padding."""
    proof = written(
        tmp_path / "r.proof.tar", {"README.txt": b"", **{k: v for k, v in content.items() if "READ" not in k}}
    )
    data = bytearray(proof.read_bytes())
    data[at] ^= 1
    proof.write_bytes(data)
    assert failures(proof)


def test_a_byte_behind_the_end_or_in_the_padding(content: Members, tmp_path: Path) -> None:
    proof = written(tmp_path / "r.proof.tar", content)
    data = bytearray(proof.read_bytes())
    proof.write_bytes(data + b"\0")
    assert failures(proof)
    at = pack.BLOCK + len(content["README.txt"])
    assert data[at] == 0
    data[at] = 1
    proof.write_bytes(data)
    assert failures(proof)


def test_another_agencys_root(sound: Path, tmp_path: Path) -> None:
    other, _ = make_agency("another").write_trust(tmp_path)
    assert main(["verify", str(sound), "--trust", str(other)]) == 1


# -- the command ---------------------------------------------------------------------------------------------------


def verify(place: Path, *words: object) -> int:
    return main(["verify", *map(str, words), "--trust", str(agency().write_trust(place)[0])])


def test_the_report_says_what_it_is_and_what_it_does_not_prove(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(tmp_path, sound, "-i", agency().write_trust(tmp_path)[1]) == 0
    out = capsys.readouterr().out
    assert "3 parts (2 to 4)" in out
    assert "cosigned by station.test" in out
    assert "every packet is that of parts 2 to 4" in out
    assert "sealed files open" in out
    assert "anything about what lies outside the parts of a range" in out
    assert verify(tmp_path, sound, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["ranges"]
    assert (told["parts"], told["camera"], told["opened"]) == ([2, 4], "cam-0001", None)


def test_the_command_that_makes_it(segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, key = agency().write_trust(tmp_path)
    recording = min(segments.glob("r*.tar")).name[:20]
    words = ["export", segments, "--recording", recording, "--trust", root, "-i", key, "-o", tmp_path / "out", "--json"]
    times = ["--from", "2026-03-01T09:00:07.6+01:00", "--to", "2026-03-01T08:00:08.2Z"]
    assert main([*map(str, words), *times]) == 0
    (told,) = json.loads(capsys.readouterr().out)["exports"]
    assert (told["first_part"], told["last_part"], told["recording"]) == (2, 4, recording)
    assert verify(tmp_path, told["proof"]) == verify(tmp_path, told["mp4"]) == 0
    assert main([*map(str, words), "--from", "2026-03-01T08:00:40Z", "--to", "2026-03-01T08:00:50Z"]) == 2
    assert "no part of a recording lies in that time" in capsys.readouterr().err


def test_a_key_that_opens_nothing_is_6(sound: Path, tmp_path: Path) -> None:
    _, key = make_agency("stranger").write_trust(tmp_path)
    text = key.read_text()
    root, _ = agency().write_trust(tmp_path)
    key.write_text(text)
    assert main(["verify", str(sound), "--trust", str(root), "-i", str(key)]) == 6


def test_a_range_is_decrypted_like_a_segment(
    camera: Camera, sound: Path, content: Members, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, key = agency().write_trust(tmp_path)
    assert main(["decrypt", str(sound), "-i", str(key), "-o", str(tmp_path / "out")]) == 0
    out = tmp_path / "out" / sound.name.removesuffix(".proof.tar")
    init, parts = film()
    assert (out / "init.mp4").read_bytes() == init
    for number, index in parts_of(content).items():
        assert (out / f"{index:010d}.m4s").read_bytes() == parts[number].data
    assert json.loads((out / f"{indexes(content)[1]:010d}.json").read_text())["type"] == "record.start"
    assert main(["decrypt", str(sound), "-i", str(stranger_key(tmp_path)), "-o", str(tmp_path / "2")]) == 6
    name = entry(parts_of(content)[3], "age")
    content[name] = content[name][:-1] + bytes([content[name][-1] ^ 1])
    bad = written(tmp_path / "case 17.proof.tar", content)
    capsys.readouterr()
    assert main(["decrypt", str(bad), "-i", str(key), "-o", str(tmp_path / "3")]) == 1
    assert f"FAIL case 17.proof.tar: {name} is altered in its payload" in capsys.readouterr().out
    (place,) = (tmp_path / "3").iterdir()
    assert place.name.startswith("range-") and len(list(place.iterdir())) == len(indexes(content))


def stranger_key(place: Path) -> Path:
    (place / "stranger").mkdir()
    return make_agency("stranger").write_trust(place / "stranger")[1]


def test_a_range_is_not_exported_again_and_says_what_opens_it(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is of a range, an export already") as caught:
        range_of(sound, tmp_path / "out", "", "59")
    assert f"decrypt {sound.name}" in caught.value.hint and not (tmp_path / "out").exists()


# -- the text of a proof -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"c2sp.org/tlog-proof@v1\nindex 5\n\n",
        b"c2sp.org/tlog-proof@v2\nindex 5\n\nx\n",
        b"c2sp.org/tlog-proof@v1\nindex 05\n\nx\n",
        b"c2sp.org/tlog-proof@v1\nindex -1\n\nx\n",
        b"c2sp.org/tlog-proof@v1\nextra eA==\nindex 5\n\nx\n",
        b"c2sp.org/tlog-proof@v1\nindex 5\nAAAA\n\nx\n",
        b"c2sp.org/tlog-proof@v1\nindex 5\n" + b"A" * 43 + b"=\r\n\nx\n",
        b"c2sp.org/tlog-proof@v1\nindex 5\n" + (b"A" * 43 + b"=\n") * 65 + b"\nx\n",
        b"c2sp.org/tlog-proof@v1\nindex 5\n\n" + b"x" * 20_000,
        "c2sp.org/tlog-proof@v1\nindex ٥\n\nx\n".encode(),
    ],
)
def test_a_proof_has_one_spelling(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        tlogproof.InclusionProof.parse(data)


def test_a_proof_read_is_the_proof_written() -> None:
    proof = tlogproof.InclusionProof(7, (bytes(32), b"\xff" * 32), b"bodycam.local/x/1\n8\n=\n\nx\n")
    assert tlogproof.InclusionProof.parse(proof.to_bytes()) == proof
    assert tlogproof.parse_consistency(tlogproof.consistency_text(proof.hashes)) == proof.hashes


@pytest.mark.parametrize("parts", [True, False], ids=["named by its leaves", "named by none"])
def test_a_forged_init_is_not_handed_out(content: Members, parts: bool, tmp_path: Path) -> None:
    forged = age.encrypt(b"FORGED INIT", [agency().identity.recipient]).data
    first = f"entries/{min(int(name[8:18]) for name in content if name.startswith('entries/')):010d}"
    kept = {n: d for n, d in content.items() if parts or not n.startswith("entries/") or n.startswith(first)}
    assert parts or len(kept) < len(content)
    given = collect([written(tmp_path / "piece.proof.tar", kept | {"init.age": forged})])
    done = decrypt(given.segments, [agency().identity], tmp_path / "out", ranges=given.ranges)
    assert any("init.age" in failure for failure in done.failures)
    assert not list((tmp_path / "out").rglob("init.mp4"))
