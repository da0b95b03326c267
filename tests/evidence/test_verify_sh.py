"""docs/verify.sh: the stock tools agree with us, on what is sound and on what is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.formats import leaf as leaves
from agent.formats import note, pack
from tests.builders import BOOTS, Camera, StoredEntry, agency, make_agency, replaced, simple_camera
from tests.camera_kit import Desk
from tests.evidence.kit import with_field
from tests.film import film_camera

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "verify.sh"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def small_camera() -> Camera:
    return simple_camera(parts=3, rotate_after=2, part_bytes=50)


def check(paths: list[Path], place: Path, *more: object) -> tuple[int, list[str], str]:
    """(status, what failed, all that was said)."""
    root, key = agency().write_trust(place)
    done = run(*paths, "--trust", root, "--key", key, *more)
    return done.returncode, [x[6:] for x in done.stdout.splitlines() if x.startswith("FAIL")], done.stdout + done.stderr


def test_real_media_verify_open_and_play(tmp_path: Path) -> None:
    paths = film_camera().write(tmp_path / "seg")
    status, failed, said = check(paths, tmp_path, "--media", tmp_path / "media.mp4")
    assert (status, failed) == (0, []), said
    assert said.endswith("verified\n")
    assert "codec_name=h264" in said
    assert "codec_name=aac" in said
    assert (tmp_path / "media.mp4").stat().st_size > 100_000


def test_what_the_recorders_own_writer_makes(desk: Desk, tmp_path: Path) -> None:
    recording = desk.record(3)
    desk.sealer.stop_recording(recording, {"type": "record.stop", "reason": "test"})
    desk.sealer.seal_open()
    done = run(*desk.spool.sealed_dir.glob("*.tar"), "--trust", desk.agency.trust_root)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_order_of_the_arguments_does_not_matter(tmp_path: Path) -> None:
    paths = small_camera().write(tmp_path / "seg")
    root, _ = agency().write_trust(tmp_path)
    assert run("--trust", root, *reversed(paths)).returncode == 0


@pytest.mark.parametrize("which", [1, 3])
def test_one_segment_alone(which: int, tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    assert run(small_camera().write(tmp_path / "seg")[which], "--trust", root).returncode == 0


@pytest.mark.wide
@pytest.mark.parametrize("tool", ["sort", "tar", "awk", "od", "seq", "stat", "openssl", "sha256sum", "cmp", "diff"])
def test_a_tool_that_fails_never_verifies(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be looked at is not sound."""
    root, _ = agency().write_trust(tmp_path)
    paths = small_camera().write(tmp_path / "seg")
    broken = tmp_path / "bin" / tool
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    done = run(*paths, "--trust", root)
    assert done.returncode == 1
    assert not done.stdout.endswith("\nverified\n")


def drop_entry(camera: Camera) -> None:
    del camera.segments[1].entries[1]


def swap_entries(camera: Camera) -> None:
    entries = camera.segments[1].entries
    entries[1], entries[2] = entries[2], entries[1]


def repeat_entry(camera: Camera) -> None:
    camera.segments[1].entries.insert(2, camera.segments[1].entries[1])


def flip_payload(camera: Camera) -> None:
    entry = camera.segments[1].entries[1]
    entry.sealed = entry.sealed[:-1] + bytes([entry.sealed[-1] ^ 1])


def rewrite_leaf(camera: Camera) -> None:
    entry = camera.segments[1].entries[1]
    entry.leaf = entry.leaf.replace(b'"utc":{"time":"2026-03-01', b'"utc":{"time":"2026-04-02')


def sign_otherwise(camera: Camera) -> None:
    entry = camera.segments[1].entries[1]
    entry.note = simple_camera(seed=7).sign(note.parse(entry.note).text)


def strip_identity_signature(camera: Camera) -> None:
    entry = camera.segments[0].entries[0]
    signed = note.parse(entry.note)
    entry.note = note.Note(signed.text, signed.signatures[:1]).to_bytes()


def strip_signatures_from_recovery_on(camera: Camera) -> None:
    camera.segments.clear()
    camera.new_session()
    camera.crash()
    camera.shutdown()
    entries = [e for s in camera.segments for e in s.entries]
    recovery = next(e.index for e in entries if b'"recovery"' in e.leaf)
    for entry in (e for e in entries if e.index >= recovery):
        signed = note.parse(entry.note)
        entry.note = note.Note(signed.text, signed.signatures[:1]).to_bytes()


def head_again(camera: Camera) -> None:
    """A second segment.json where nobody looks for one."""
    entry = camera.segments[1].entries[0]
    again = pack.member(pack.HEADER, camera.segments[1].header.to_bytes())
    entry.__class__ = type("Doubled", (type(entry),), {"to_bytes": lambda e: again + StoredEntry.to_bytes(e)})


def other_frontier(camera: Camera) -> None:
    header = camera.segments[2].header
    frontier = replace(header.frontier, hashes=(bytes(32), *header.frontier.hashes[1:]))
    camera.segments[2].header = replace(header, frontier=frontier)


def other_init(camera: Camera) -> None:
    camera.segments[1].init = camera.segments[1].entries[0].sealed


@pytest.mark.wide
@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (drop_entry, "tar"),
        (swap_entries, "tar"),
        (repeat_entry, "tar"),
        (flip_payload, "sha256sum"),
        (rewrite_leaf, "Merkle"),
        (sign_otherwise, "Merkle"),
        (strip_identity_signature, "seal leaf names"),
        (strip_signatures_from_recovery_on, "identity's signature"),
        (head_again, "tar"),
        (other_frontier, "continues"),
        (other_init, "sha256sum"),
    ],
)
def test_changes_are_named(tamper: Callable[[Camera], None], named: str, tmp_path: Path) -> None:
    camera = small_camera()
    tamper(camera)
    root, _ = agency().write_trust(tmp_path)
    done = run(*camera.write(tmp_path / "seg"), "--trust", root)
    failed = [x for x in done.stdout.splitlines() if x.startswith("FAIL")]
    assert done.returncode == 1
    assert any(named in x for x in failed), done.stdout
    assert "DOES NOT VERIFY" in done.stdout


@pytest.mark.parametrize("which", [1, 2])
def test_a_missing_segment_between(which: int, tmp_path: Path) -> None:
    paths = small_camera().write(tmp_path / "seg")
    root, _ = agency().write_trust(tmp_path)
    del paths[which]
    done = run(*paths, "--trust", root)
    assert done.returncode == 1
    assert "is missing, or one is given twice" in done.stdout


def two_recordings() -> Camera:
    camera = small_camera().new_session()
    camera.start()
    camera.part()
    camera.rotate()
    camera.part()
    camera.stop()
    return camera.shutdown()


@pytest.mark.wide
@pytest.mark.parametrize("gone", [[0], [0, 1], [1], [0, 1, 2, 3]])
def test_what_is_missing_at_the_beginning_is_named(gone: list[int], tmp_path: Path) -> None:
    camera = two_recordings()
    paths = camera.write(tmp_path / "seg")
    root, _ = agency().write_trust(tmp_path)
    done = run(*(p for i, p in enumerate(paths) if i not in gone), "--trust", root)
    assert done.returncode == 1, done.stdout
    assert f"FAIL  {camera.segments[gone[-1]].name}, which a seal leaf names, is missing" in done.stdout


@pytest.mark.wide
@pytest.mark.parametrize("which", [1, 2, 3])
def test_of_one_segment_it_is_only_noted_what_was_before(which: int, tmp_path: Path) -> None:
    camera = two_recordings()
    root, _ = agency().write_trust(tmp_path)
    done = run(camera.write(tmp_path / "seg")[which], "--trust", root)
    assert done.returncode == 0, done.stdout
    assert f"note  {camera.segments[which - 1].name}, which a seal leaf names, is not among" in done.stdout


@pytest.mark.wide
@pytest.mark.parametrize(("first", "status"), [(4, 0), (5, 1), (6, 1)])
def test_an_excerpt_holds_its_recordings_whole(first: int, status: int, tmp_path: Path) -> None:
    camera = two_recordings()
    assert [s.name[0] for s in camera.segments[4:]] == ["e", "r", "r", "e"]
    paths = camera.write(tmp_path / "seg")[first:]
    root, _ = agency().write_trust(tmp_path)
    done = run(*paths, "--trust", root, "--excerpt")
    assert done.returncode == status, done.stdout
    assert ("the segment with the start of" in done.stdout) == (first != 4)
    assert run(*paths, "--trust", root).returncode == 1


def last_base64_digit(needle: bytes, skip: int = 0) -> Callable[[bytes], bytes]:
    """The last digit before the padding, in another spelling of the same bytes."""

    def change(data: bytes) -> bytes:
        at = data.index(b"=", data.index(needle) + skip) - 1
        return data[:at] + bytes([data[at] + 1]) + data[at + 1 :]

    return change


def sized(member: bytes, more: bytes) -> Callable[[bytes], bytes]:
    """These bytes in the padding of a member, and its header to match: its data goes on."""

    def change(data: bytes) -> bytes:
        at = data.rindex(member)
        size = int(data[at + 124 : at + 135], 8)
        header = pack.member_header(member.decode(), size + len(more))
        end = at + 512 + size
        return data[:at] + header + data[at + 512 : end] + more + data[end + len(more) :]

    return change


def test_the_last_segment_as_it_is(tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    assert run(simple_camera().write(tmp_path / "seg")[2], "--trust", root).returncode == 0


@pytest.mark.wide
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data[:-1025] + b"x" + data[-1024:], "byte for byte"),
        (lambda data: with_field(data, 136, b"14765432101\0"), "byte for byte"),
        (lambda data: with_field(data, 265, b"root"), "byte for byte"),
        (lambda data: with_field(data, 156, b"2"), "tar -t"),
        (lambda data: data + bytes(512), "byte for byte"),
        (lambda data: data[:-1] + b"x", "byte for byte"),
        (last_base64_digit(b"cam-0001/1\n"), "Merkle"),
        (last_base64_digit(b'"frontier":'), "segment.json"),
        (sized(b"0000000010.note", b"\0"), "Merkle"),
        (sized(b"0000000010.note", b"x"), "Merkle"),
        (sized(b"0000000010.json", b"\0"), "leaf"),
        (sized(b"0000000010.json", b" \n"), "leaf"),
        (sized(b"0000000010.json", b" "), "leaf"),
    ],
)
def test_any_byte_of_the_last_segment(change: Callable[[bytes], bytes], named: str, tmp_path: Path) -> None:
    """No seal leaf speaks for it."""
    path = simple_camera().write(tmp_path / "seg")[2]
    root, _ = agency().write_trust(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    done = run(path, "--trust", root)
    assert done.returncode == 1, done.stdout
    assert any(named in x for x in done.stdout.splitlines() if x.startswith("FAIL")), done.stdout


def test_a_frontier_of_too_many(tmp_path: Path) -> None:
    segment = simple_camera().segments[2]
    header = segment.header.to_bytes()
    more = header.replace(b'"frontier":[', b'"frontier":["' + b"A" * 43 + b'=",')
    path = segment.write(tmp_path)
    path.write_bytes(path.read_bytes().replace(pack.member(pack.HEADER, header), pack.member(pack.HEADER, more)))
    root, _ = agency().write_trust(tmp_path)
    done = run(path, "--trust", root)
    assert done.returncode == 1
    assert "FAIL  the tree" in done.stdout


def test_a_clock_that_goes_back(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.event()
    camera.mono_ns = 0
    camera.event()
    camera.close_segment()
    root, _ = agency().write_trust(tmp_path)
    done = run(*camera.write(tmp_path / "seg"), "--trust", root)
    assert done.returncode == 1
    assert "the clock went back" in done.stdout


def test_a_leaf_of_another_boot_than_its_session(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.forge = lambda leaf: replaced(leaf, stamp=replace(leaf.common.stamp, boot=BOOTS[5]))
    camera.event()
    camera.close_segment()
    root, _ = agency().write_trust(tmp_path)
    done = run(*camera.write(tmp_path / "seg"), "--trust", root)
    assert done.returncode == 1
    assert "of another boot than its session" in done.stdout


@pytest.mark.wide
@pytest.mark.parametrize("cut", [1, 512, 1024, 3000])
def test_a_truncated_segment(cut: int, tmp_path: Path) -> None:
    paths = small_camera().write(tmp_path / "seg")
    root, _ = agency().write_trust(tmp_path)
    paths[-1].write_bytes(paths[-1].read_bytes()[:-cut])
    assert run(*paths, "--trust", root).returncode == 1


def test_another_root_is_not_trusted(tmp_path: Path) -> None:
    paths = small_camera().write(tmp_path / "seg")
    root, _ = make_agency("another").write_trust(tmp_path)
    done = run(*paths, "--trust", root)
    assert done.returncode == 1
    assert "FAIL  openssl verify" in done.stdout


def test_a_session_of_another_camera(tmp_path: Path) -> None:
    thief = Camera(agency(), name="cam-0002", seed=2)
    thief.origin = "bodycam.local/cam-0001/1"
    thief.forge = lambda leaf: replaced(leaf, camera="cam-0001")
    thief.new_session()
    thief.close_segment()
    thief.segments[0].header = replace(thief.segments[0].header, camera="cam-0001")
    root, _ = agency().write_trust(tmp_path)
    done = run(*thief.write(tmp_path / "seg"), "--trust", root)
    assert done.returncode == 1
    assert "FAIL  openssl verify" in done.stdout


def test_an_archive_made_to_escape_writes_nothing(tmp_path: Path) -> None:
    """Links and paths in an archive are refused before anything is unpacked."""
    path = tmp_path / "e0000000000-00000000.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("0000000000.age")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("../../../../../../../../tmp/0000000001.age"))
    root, _ = agency().write_trust(tmp_path)
    done = run(path, "--trust", root)
    assert done.returncode == 1
    assert "plain members" in done.stdout
    assert "root:" not in done.stdout


def test_signed_nonsense_does_not_lead_it_astray(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.forge = lambda leaf: (
        replace(leaf, facts={"segment": "../../$(touch x)\x1b[2J", "sha256": "`id`|", "}": "{{"})
        if isinstance(leaf, leaves.EventLeaf)
        else leaf
    )
    camera.event()
    camera.close_segment()
    root, _ = agency().write_trust(tmp_path)
    done = run(*camera.write(tmp_path / "seg"), "--trust", root)
    assert "\x1b" not in done.stdout + done.stderr
    assert not list(tmp_path.rglob("x"))


@pytest.mark.parametrize("field", [b'"index":', b'"mono_ns":', b'"size":'])
def test_a_number_that_is_a_command_is_not_run(field: bytes, tmp_path: Path) -> None:
    segment = small_camera().segments[1]
    entry = segment.entries[1]
    at = entry.leaf.index(field) + len(field)
    end = at + len(entry.leaf[at:].split(b",")[0].rstrip(b"}"))
    entry.leaf = entry.leaf[:at] + b'"a[$(touch %s/x)]"' % bytes(tmp_path) + entry.leaf[end:]
    root, _ = agency().write_trust(tmp_path)
    assert run(segment.write(tmp_path / "seg"), "--trust", root).returncode == 1
    assert not list(tmp_path.rglob("x"))


@pytest.mark.parametrize("change", [flip_payload, lambda camera: None])
def test_what_cannot_be_said_is_not_success(change: Callable[[Camera], None], tmp_path: Path) -> None:
    camera = small_camera()
    change(camera)
    root, _ = agency().write_trust(tmp_path)
    with Path("/dev/full").open("w") as full:
        paths = camera.write(tmp_path / "seg")
        done = subprocess.run([SCRIPT, *paths, "--trust", root], stdout=full, stderr=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 1


@pytest.mark.parametrize("arguments", [[], ["x.tar"], ["x.tar", "--trust"], ["--trust", "x"], ["x.tar", "--what"]])
def test_usage_is_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr


def test_shellcheck_has_nothing_to_say() -> None:
    found = shutil.which("shellcheck")
    if found is None:
        # bash itself reads it at least; `make setup` brings shellcheck where apt has it.
        subprocess.run(["bash", "-n", SCRIPT], check=True)
        return
    done = subprocess.run([found, SCRIPT], capture_output=True, text=True)
    assert done.stdout == ""


# -- epochs --------------------------------------------------------------------------------------------------------


def sound(paths: list[Path], place: Path, *more: object) -> tuple[int, list[str], str]:
    """As `check`, of media that are none: nothing is opened."""
    done = run(*paths, "--trust", agency().write_trust(place)[0], *more)
    return done.returncode, [x[6:] for x in done.stdout.splitlines() if x.startswith("FAIL")], done.stdout + done.stderr


def two_epochs(tmp_path: Path, follows: note.Checkpoint | None = None) -> tuple[list[Path], list[Path]]:
    """The segments of two logs, the second of which follows the first."""
    first = small_camera()
    return first.write(tmp_path / "seg"), first.next_epoch(follows=follows).shutdown().write(tmp_path / "seg")


def test_two_epochs_of_one_camera(tmp_path: Path) -> None:
    first, second = two_epochs(tmp_path)
    status, failed, said = sound([*second, *first], tmp_path)
    assert (status, failed) == (0, []), said
    assert "follows bodycam.local/cam-0001/1 at" in said


def test_what_lacks_between_two_epochs(tmp_path: Path) -> None:
    first, second = two_epochs(tmp_path)
    status, failed, _ = sound([*first[:-1], *second], tmp_path)
    assert (status, len(failed)) == (1, 1)
    assert "what it had up to there is missing" in failed[0]
    status, failed, said = sound(second, tmp_path)
    assert (status, failed) == (0, []), said
    assert "which are not among the segments above" in said


@pytest.mark.wide
@pytest.mark.parametrize("wrong", ["root", "size", "origin"])
def test_an_epoch_that_follows_another_history(tmp_path: Path, wrong: str) -> None:
    head = small_camera().head()
    bent = {
        "root": replace(head, root=bytes(32)),
        "size": replace(head, size=head.size - 1),
        "origin": replace(head, origin="bodycam.local/cam-0002/1"),
    }[wrong]
    first, second = two_epochs(tmp_path, bent)
    status, failed, _ = sound([*first, *second], tmp_path)
    assert (status, len(failed)) == (1, 1)


def test_a_later_epoch_that_follows_nothing(tmp_path: Path) -> None:
    camera = Camera(agency())
    camera.origin = camera.origin[:-1] + "2"
    status, failed, _ = sound(camera.new_session().shutdown().write(tmp_path / "seg"), tmp_path)
    assert status == 1
    assert "what it says of an earlier epoch" in failed[0]
