"""Input made to hurt the verifier: it answers with findings or a plain error, in bounded time, and stays inside."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.errors import AgentError, Exit, UsageError
from agent.evidence.commands import main
from agent.evidence.decrypt import decrypt
from agent.evidence.findings import What
from agent.evidence.ledger import accounts_of
from agent.evidence.meter import Meter
from agent.evidence.report import lines
from agent.evidence.sources import collect
from agent.formats import leaf as leaves
from agent.formats import pack
from agent.formats.leaf import Kind
from tests import campaigns
from tests.builders import Camera, agency, replaced, simple_camera
from tests.evidence.kit import failures, report_of
from tests.evidence.test_spools import lived


def segment_file(directory: Path, data: bytes, name: str = "r0000000001-446fcec2-0000") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.tar"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        bytes(512),
        bytes(1024),
        bytes(1 << 20),
        b"ustar\x0000" * 20_000,
        os.urandom(100_000),
        b"\xff" * 5_000,
    ],
    ids=["empty", "one byte", "a block", "a trailer", "zeros", "magic", "noise", "ones"],
)
def test_what_is_no_segment(data: bytes, tmp_path: Path) -> None:
    found = failures(segment_file(tmp_path, data))
    assert What.NOT_A_SEGMENT in {f.what for f in found}


@pytest.mark.parametrize("name", ["../escape.age", "/etc/passwd", "0000000002.age/../../x", "a" * 99, "\x1b[2J.age"])
def test_members_that_do_not_belong_are_named_and_never_written(name: str, tmp_path: Path) -> None:
    segment = simple_camera().segments[1]
    stranger = pack.member(name, b"evil")
    data = segment.head_bytes() + stranger + b"".join(e.to_bytes() for e in segment.entries) + pack.TRAILER
    path = segment_file(tmp_path / "in", data, segment.name)
    found = failures(path)
    assert {f.what for f in found} == {What.INSERTED_BYTES}
    assert all(f.line().isprintable() for f in found)
    before = set(tmp_path.rglob("*"))
    decrypt(collect([path]).segments, [agency().identity], tmp_path / "out")
    written = {p for p in tmp_path.rglob("*") if p not in before and p.is_file()}
    assert all((tmp_path / "out" / segment.name) == p.parent for p in written)
    assert {p.suffix for p in written} <= {".mp4", ".m4s", ".json"}


def test_a_member_that_claims_a_huge_size_costs_nothing(tmp_path: Path) -> None:
    segment = simple_camera().segments[1]
    huge = pack.member_header("0000000009.age", 8**11 - 1)
    data = segment.head_bytes() + b"".join(e.to_bytes() for e in segment.entries) + huge + bytes(4096)
    begin = time.monotonic()
    assert failures(segment_file(tmp_path, data, segment.name))
    assert time.monotonic() - begin < 5


def test_indexes_far_apart_cost_nothing(tmp_path: Path) -> None:
    segment = simple_camera().segments[1]
    segment.entries[3].index = 9_999_999_999
    begin = time.monotonic()
    assert failures(segment.write(tmp_path))
    assert time.monotonic() - begin < 5


def test_a_sparse_file_of_zeros_is_read_in_bounded_time(tmp_path: Path) -> None:
    segment = simple_camera().segments[1]
    path = segment.write(tmp_path)
    with path.open("r+b") as file:
        file.truncate(256 << 20)
    begin = time.monotonic()
    found = failures(path)
    assert [f.what for f in found] == [What.INSERTED_BYTES]
    assert time.monotonic() - begin < 20


def test_many_damaged_leaves_do_not_cost_a_search_each(tmp_path: Path) -> None:
    camera = simple_camera(parts=120, rotate_after=200, part_bytes=10)
    for entry in camera.segments[1].entries:
        entry.leaf = entry.leaf.replace(b'"v":1', b'"v":1 ')
    begin = time.monotonic()
    assert failures(camera.segments[1].write(tmp_path))
    assert time.monotonic() - begin < 30


def test_links_pipes_and_devices_are_not_followed_in_a_walk(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path / "real")
    walk = tmp_path / "walk"
    walk.mkdir()
    (walk / "a.tar").symlink_to(tmp_path / "real" / f"{camera.segments[0].name}.tar")
    (walk / "loop").symlink_to(walk)
    os.mkfifo(walk / "b.tar")
    with pytest.raises(UsageError, match="no segment"):
        collect([walk])
    with pytest.raises(UsageError, match="not a regular file"):
        collect([walk / "b.tar"])
    with pytest.raises(UsageError, match="not a regular file"):
        collect([Path("/dev/zero")])
    with pytest.raises(UsageError, match="does not exist"):
        collect([tmp_path / "nothing.tar"])


def test_a_directory_nested_without_end_is_bounded(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    simple_camera().write(deep)
    with pytest.raises(UsageError, match="would not be read"):
        collect([tmp_path])


def test_signed_leaves_with_absurd_facts(tmp_path: Path) -> None:
    """A camera whose key was stolen may sign anything at all."""
    absurd: list[dict[str, object]] = [
        {},
        {"segment": "r", "size": 1, "sha256": "x", "first": -5, "entries": 3},
        {"segment": "r" * 3000, "size": 1 << 62, "sha256": 7, "first": 1 << 62, "entries": 1 << 62},
        {"segment": "e0000000000-00000000", "size": 1, "sha256": "x", "first": 0, "entries": 1 << 61},
        {"segments": 5},
        {"segments": [5, {"segment": ["x"]}, {}]},
        {"parts": "many", "interrupted": "yes"},
        {"parts": -3, "interrupted": True, "entries": [], "torn_bytes": {}},
        {"resumes": [], "session_cert": []},
        {"resumes": {"size": "x", "root": 5}},
    ]
    for number, facts in enumerate(absurd):
        camera = Camera(agency(), seed=number).new_session()
        recording = camera.start()
        camera.part()
        for kind in Kind:
            name = recording if kind in (Kind.STOP, Kind.RECOVERY) else None
            camera.event(kind, facts=facts, recording=name)
        camera.close_segment()
        camera.write(tmp_path / str(number))
        for finding in report_of(tmp_path / str(number)).findings:
            assert finding.line().isprintable()


@pytest.mark.parametrize(
    "utc",
    [
        "9999-99-99T99:99:99.999999Z",
        "0000-00-00T00:00:00.000000Z",
        "0001-01-01T00:00:00.000000Z",
        "9999-12-31T23:59:59.999999Z",
    ],
)
def test_dates_that_do_not_exist(utc: str, tmp_path: Path) -> None:
    camera = Camera(agency())

    def dated(leaf: leaves.Leaf) -> leaves.Leaf:
        stamp = leaf.common.stamp
        fields = [stamp.boot, stamp.mono_ns, stamp.boottime_ns, utc, stamp.utc_source, stamp.utc_bound_ms]
        leaf = replaced(leaf, stamp=leaves.Stamp(*fields))
        return replaced(leaf, zero_mono_ns=1 << 62) if isinstance(leaf, leaves.MediaLeaf) else leaf

    camera.forge = dated
    camera.new_session()
    camera.start()
    camera.part()
    camera.stop()
    camera.write(tmp_path)
    assert list(lines(report_of(tmp_path)))


STEERING = "\x1b]0;owned\x07\n\x9b2J\u202e\x7f"
"""Sets a window's title, begins a line of its own, clears the screen, turns the direction of writing."""


def test_nothing_in_the_evidence_steers_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Names of files, of logs and of members, in findings, errors and progress alike."""
    camera = Camera(agency())
    camera.origin = "bodycam.local/\x9b2J\u202e\x7f/1"
    camera.new_session().shutdown()
    camera.write(tmp_path / "in")
    (tmp_path / "in" / f"{STEERING}.tar").write_bytes(pack.member("\x1b[2J", b"") + pack.TRAILER)
    (tmp_path / "in" / f"{STEERING}.mp4").touch()
    (tmp_path / "in" / os.fsdecode(b"\xff\x9b.tar")).touch()
    root, key = agency().write_trust(tmp_path)
    assert main(["verify", str(tmp_path / "in"), "--trust", str(root)]) == Exit.EVIDENCE
    assert main(["verify", str(tmp_path / STEERING), "--trust", str(root)]) == Exit.USAGE
    assert main(["decrypt", str(tmp_path / "in"), "-i", str(key), "-o", str(tmp_path / "out")]) == Exit.EVIDENCE
    for line in [line for written in capfd.readouterr() for line in written.split("\n")]:
        assert line.isprintable(), line
    assert not [path for path in (tmp_path / "out").rglob("*") if not path.name.isprintable()]


def test_progress_does_not_steer_the_terminal_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Meter("verifying", 1) as meter:
        meter._shown_s -= 1
        meter.add(STEERING, 1)
    said = terminal.getvalue().removeprefix("\r\x1b[K").removesuffix("\r\x1b[K")
    assert "2J" in said and said.isprintable()


def test_a_terminal_of_few_characters_is_no_defect(tmp_path: Path) -> None:
    camera = Camera(agency())
    camera.origin = "bodycam.local/é/1"
    paths = camera.new_session().shutdown().segments[0].write(tmp_path)
    root, _ = agency().write_trust(tmp_path)
    code = "import sys; from agent.cli import evidence_main; sys.exit(evidence_main())"
    command = [sys.executable, "-c", code, "verify", str(paths), "--trust", str(root)]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=env, timeout=60)
    assert done.returncode == Exit.OK and b"\\xe9" in done.stdout, done.stderr


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(4))
def test_noise_never_crashes_the_verifier(part: int, tmp_path: Path) -> None:
    """Segments, receipts, checkpoints and tiles with pieces of each other and of nothing in them."""
    campaign = campaigns.Campaign("evidence-noise", part, 4)
    chosen = random.Random(30 + part)
    camera = simple_camera(parts=2, rotate_after=1, part_bytes=40)
    paths = camera.write(tmp_path)
    camera.write_log(tmp_path / "log" / "1")
    (tmp_path / "a.receipt").write_bytes(camera.receipt(camera.segments))
    files = [*paths, tmp_path / "a.receipt", *(p for p in (tmp_path / "log").rglob("*") if p.is_file())]
    contents = {p: p.read_bytes() for p in files}
    count = campaigns.size(15, 1_250)
    for _ in range(count):
        path = chosen.choice(files)
        data = bytearray(contents[path])
        for _ in range(chosen.randrange(1, 4)):
            at, length = chosen.randrange(len(data) + 1), chosen.randrange(1, 2000)
            source = contents[chosen.choice(files)]
            start = chosen.randrange(len(source))
            data[at : at + chosen.choice([0, length])] = chosen.choice(
                [source[start : start + length], chosen.randbytes(length), b""]
            )
        path.write_bytes(data)
        if bytes(data) != contents[path]:
            try:
                found = failures(tmp_path)
            except AgentError as err:
                pytest.fail(f"the verifier gave up: {err}")
            # The chain beside the tiles and the tiles themselves are help, not evidence: segments do without.
            assert found or tmp_path / "log" in path.parents, path
            assert all(f.line().isprintable() for f in found)
        path.write_bytes(contents[path])
    campaign.finish(runs=count, crashes=0)


@pytest.mark.parametrize("command", ["verify", "decrypt"])
def test_no_camera_audio_or_media_library_is_needed(command: str, tmp_path: Path) -> None:
    """On any PC: with every heavy library absent, and nothing of the camera's own rooms imported."""
    camera = simple_camera()
    paths = camera.write(tmp_path / "seg")
    root, key = agency().write_trust(tmp_path)
    more = ["--trust", str(root)] if command == "verify" else ["-i", str(key), "-o", str(tmp_path / "out")]
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in ("cv2", "pyaudio", "av", "numpy", "requests", "cheroot", "picamera2", "libcamera", "tenacity"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
from agent.evidence.commands import main
status = main({[command, *map(str, paths), *more]!r})
rooms = [m for m in sys.modules if m.startswith(("agent.capture", "agent.media", "agent.sealing", "agent.station"))]
assert not rooms, rooms
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_segments_under_the_name_of_another_log_have_accounts(tmp_path: Path) -> None:
    """Nobody vouches for their sessions, and the first note of each is of another log than the rest."""
    camera = lived()
    camera.write_log(tmp_path / "log" / "1")
    for segment in (camera.segments[1], camera.segments[3]):
        segment.chain = segment.chain.replace(b"M", b"N", 1)
        first = segment.entries[0]
        assert first.note is not None
        first.note = first.note.replace(b"/1\n", b"/9\n", 1)
        segment.write(tmp_path)
    report = report_of(tmp_path)
    assert not report.verified
    assert [boots.camera for boots in accounts_of(report)] == ["bodycam.local/cam-0001"]
