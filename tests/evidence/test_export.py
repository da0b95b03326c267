"""The export plays, is the recording to the sample, and carries its proof."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from agent import durable
from agent.errors import EvidenceError, KeyTrustError, StorageError, UsageError
from agent.evidence import remux
from agent.evidence.blobs import blob_of
from agent.evidence.clip import ExportOptions
from agent.evidence.export import ExportResult, export
from agent.evidence.findings import What
from agent.evidence.sources import collect, export_members
from agent.evidence.times import parse_time
from agent.evidence.told import Told
from tests.builders import Camera, agency, make_agency
from tests.evidence.kit import failures, memory_within, notes
from tests.film import film, film_camera

HOUSE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def camera() -> Camera:
    return film_camera()


@pytest.fixture
def segments(camera: Camera, tmp_path: Path) -> Path:
    camera.write(tmp_path / "seg")
    return tmp_path / "seg"


def run(source: Path, out: Path, **options: Any) -> ExportResult:
    head = options.pop("head", None)
    return export(collect([source]), agency().root, [agency().identity], ExportOptions(out, **options), head)


def presented(path: Path) -> dict[str, list[tuple[Fraction, int]]]:
    """(presentation time, samples) of everything a player shows, by decoding."""
    found: dict[str, list[tuple[Fraction, int]]] = {}
    for kind in ("video", "audio"):
        with av.open(str(path)) as container:
            stream: Any = next(s for s in container.streams if s.type == kind)
            frames: Any = container.decode(stream)
            found[kind] = [(Fraction(f.pts * f.time_base), getattr(f, "samples", 0)) for f in frames]
    return found


def plain_film(path: Path) -> Path:
    init, parts = film()
    path.write_bytes(init + b"".join(p.data for p in parts))
    return path


def test_the_export_is_the_recording_to_the_sample(segments: Path, camera: Camera, tmp_path: Path) -> None:
    result = run(segments, tmp_path / "out")
    assert result.whole
    (exported,) = result.exports
    assert (exported.parts, exported.gaps, exported.fragmented) == (8, [], "")
    ours, theirs = presented(Path(exported.mp4)), presented(plain_film(tmp_path / "plain.mp4"))
    assert ours == theirs
    assert len(ours["video"]) == 120
    # The sound was made to begin 20 ms late: the export must not have smoothed that away.
    assert ours["audio"][1][0] - ours["video"][0][0] == Fraction(20, 1000)


def test_it_is_an_ordinary_file_with_the_moov_in_front(segments: Path, tmp_path: Path) -> None:
    (exported,) = run(segments, tmp_path / "out").exports
    data, kinds, at = Path(exported.mp4).read_bytes(), [], 0
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert b"moof" not in kinds
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", exported.mp4, "-f", "null", "-"], capture_output=True, check=True
    )
    assert done.stderr == b""


def test_its_packets_are_those_of_the_segments_by_a_stock_digest(segments: Path, tmp_path: Path) -> None:
    (exported,) = run(segments, tmp_path / "out").exports
    command = ["ffmpeg", "-v", "error", "-map", "0", "-c", "copy", "-f", "streamhash", "-"]
    digests = [
        subprocess.run([*command[:3], "-i", str(path), *command[3:]], capture_output=True, check=True).stdout
        for path in (exported.mp4, plain_film(tmp_path / "plain.mp4"))
    ]
    assert digests[0] == digests[1]


def test_only_its_owner_may_read_it_and_nothing_is_left_beside_it(segments: Path, tmp_path: Path) -> None:
    run(segments, tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert [n.rpartition(".")[2] for n in names] == ["mp4", "tar", "json"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "out").iterdir())


# -- the proof -----------------------------------------------------------------------------------------------------


def test_the_proof_verifies_alone_and_holds_the_segments_untouched(
    segments: Path, camera: Camera, tmp_path: Path
) -> None:
    receipt = tmp_path / "a.receipt"
    receipt.write_bytes(camera.receipt(camera.segments))
    (exported,) = run(segments, tmp_path / "out", head=receipt).exports
    proof = Path(exported.proof)
    assert failures(proof) == []
    assert failures(tmp_path / "out", head=receipt) == []
    names = subprocess.run(["tar", "-tf", proof], capture_output=True, check=True, text=True).stdout.split()
    assert {"README.txt", "report.json", "trust/root.pem", "receipts/a.receipt"} <= set(names)
    subprocess.run(["tar", "-xf", proof, "-C", tmp_path], check=True)
    for segment in camera.segments:
        assert (tmp_path / "segments" / f"{segment.name}.tar").read_bytes() == segment.to_bytes()
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["verification"]["verified"] is True
    assert told["export"]["mp4_sha256"] == exported.mp4_sha256


def test_every_command_in_the_proofs_readme_works_as_it_stands(segments: Path, camera: Camera, tmp_path: Path) -> None:
    """With the reader's own root.pem and key in the directory, and the tools on the PATH."""
    (segments / "a.receipt").write_bytes(camera.receipt(camera.segments))
    (exported,) = run(segments, tmp_path / "out").exports
    out = Path(exported.proof).parent
    agency().write_trust(out)
    text = subprocess.run(["tar", "-xOf", exported.proof, "README.txt"], capture_output=True, check=True, text=True)
    commands = [line.strip() for line in text.stdout.splitlines() if line.startswith("    ")]
    path = f"{HOUSE / 'docs'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=out, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        said.append(done.stdout)
    assert len(commands) >= 12
    digest, named = (
        next(s for c, s in zip(commands, said, strict=True) if c.startswith(w)) for w in ("sha256", "grep")
    )
    assert digest.split()[0] in named
    hashed = [s for c, s in zip(commands, said, strict=True) if "streamhash" in c]
    assert hashed[0] == hashed[1] != ""
    assert any("note  cosigned by station.test, 2026-03-01T10:00:00Z: the leaves below" in s for s in said)
    assert any(s.startswith("subject=") and "station.test" in s for s in said)


@pytest.mark.parametrize("name", [f"1795515664-{'a' * 64}.receipt", "reçu d'hier.receipt", f"{'x' * 200}.receipt"])
def test_a_receipt_is_in_the_proof_whatever_it_is_called(
    name: str, segments: Path, camera: Camera, tmp_path: Path
) -> None:
    """By its own name where a ustar member can have it, else by one made of its digest; a station's own are 83 long."""
    receipt = tmp_path / name
    receipt.write_bytes(camera.receipt(camera.segments))
    (exported,) = run(segments, tmp_path / "out", head=receipt).exports
    held = [m for m in export_members(blob_of(Path(exported.proof))) if m.name.startswith("receipts/")]
    assert [m.read(1 << 20) for m in held] == [receipt.read_bytes()]
    assert (held[0].name == f"receipts/{name}") == (len(name) == 83)
    assert held[0].name.endswith(".receipt")
    (segments / name).write_bytes(receipt.read_bytes())
    (again,) = run(segments, tmp_path / "again").exports
    assert Path(again.proof).stat().st_size > 0
    assert [m.name for m in export_members(blob_of(Path(again.proof))) if m.name.startswith("receipts/")] == [
        held[0].name
    ]


def test_an_export_made_from_an_export(segments: Path, tmp_path: Path) -> None:
    (first,) = run(segments, tmp_path / "one").exports
    (second,) = run(Path(first.proof), tmp_path / "two").exports
    assert second.mp4_sha256 == first.mp4_sha256


def test_a_flipped_bit_in_the_proof_is_found(segments: Path, tmp_path: Path) -> None:
    (exported,) = run(segments, tmp_path / "out").exports
    proof = Path(exported.proof)
    data = proof.read_bytes()
    for offset in (len(data) // 2, len(data) // 3, data.index(b"segments/e") + 3):
        changed = bytearray(data)
        changed[offset] ^= 1
        proof.write_bytes(changed)
        assert failures(proof), offset


# -- a piece of it -------------------------------------------------------------------------------------------------


def test_a_piece_is_whole_parts_from_a_picture_that_decodes(segments: Path, tmp_path: Path) -> None:
    """The recording begins at 08:00:06. Asked from 7.6 s in its third part after an IDR, it begins at that IDR, 7 s."""
    begin, end = parse_time("2026-03-01T09:00:07.6+01:00", "--from"), parse_time("2026-03-01T08:00:08.2Z", "--to")
    (exported,) = run(segments, tmp_path / "out", begin=begin, end=end).exports
    assert (exported.first_part, exported.last_part, exported.shift_s) == (2, 4, 1.0)
    assert "08:00:07.000" in exported.starts
    ours, whole = presented(Path(exported.mp4)), presented(plain_film(tmp_path / "plain.mp4"))
    assert [t for t, _ in ours["video"]] == [t - 1 for t, _ in whole["video"][30:75]]
    assert abs((ours["audio"][0][0] + 1) - next(t for t, _ in whole["audio"] if t >= 1)) < Fraction(1, 1000)


def test_a_time_with_nothing_in_it(segments: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part"):
        run(segments, tmp_path / "out", begin=parse_time("2027-01-01T00:00:00Z", "--from"))


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01T08:00:00", "", "2026-13-01T00:00:00Z"])
def test_a_time_must_be_one_with_its_offset(text: str) -> None:
    with pytest.raises(UsageError, match="--from"):
        parse_time(text, "--from")


def test_an_unknown_recording_is_named(segments: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="r0000000009-00000000"):
        run(segments, tmp_path / "out", recording="r0000000009-00000000")


# -- damage --------------------------------------------------------------------------------------------------------


def damaged(camera: Camera, directory: Path, change: Callable[[bytearray], None]) -> Path:
    paths = camera.write(directory)
    data = bytearray(paths[1].read_bytes())
    change(data)
    paths[1].write_bytes(data)
    return directory


def spoil_part_one(data: bytearray) -> None:
    data[data.index(b"0000000004.age") + 30_000] ^= 1


def test_damaged_evidence_is_not_exported_unasked(camera: Camera, tmp_path: Path) -> None:
    source = damaged(camera, tmp_path / "seg", spoil_part_one)
    result = run(source, tmp_path / "out")
    assert result.refused
    assert not result.whole
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_a_damaged_part_is_a_gap_and_what_follows_keeps_its_time(camera: Camera, tmp_path: Path) -> None:
    source = damaged(camera, tmp_path / "seg", spoil_part_one)
    result = run(source, tmp_path / "out", even_if_damaged=True)
    (exported,) = result.exports
    assert (exported.gaps, result.whole) == ([1], False)
    ours, whole = presented(Path(exported.mp4)), presented(plain_film(tmp_path / "plain.mp4"))
    assert [t for t, _ in ours["video"]] == [t for t, _ in whole["video"] if not Fraction(1, 2) <= t < 1]
    late = [t for t, _ in ours["audio"] if t >= 1]
    assert late == [t for t, _ in whole["audio"] if t >= 1][-len(late) :]


def test_a_missing_segment_is_a_gap(camera: Camera, tmp_path: Path) -> None:
    paths = camera.write(tmp_path / "seg")
    paths[1].unlink()
    (exported,) = run(tmp_path / "seg", tmp_path / "out", even_if_damaged=True).exports
    assert exported.gaps == [0, 1, 2, 3]
    whole = presented(plain_film(tmp_path / "plain.mp4"))["video"]
    assert [t for t, _ in presented(Path(exported.mp4))["video"]] == [t for t, _ in whole if t >= 2]


def test_of_parts_that_nobody_could_have_recorded_the_first_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    """A part with a number far beyond any recording's, signed by the camera itself."""
    camera = Camera(agency(), seed=3).new_session()
    camera.start()
    camera.part()
    camera.parts = 10**12
    camera.part()
    camera.close_segment()
    camera.write(tmp_path / "seg")
    with memory_within(16 << 20):
        (exported,) = run(tmp_path / "seg", tmp_path / "out", even_if_damaged=True).exports
    # What cannot be opened here is not in the MP4 either.
    assert set(range(1, 10_001)) <= set(exported.gaps) and len(exported.gaps) <= 10_002
    assert any("999,999,989,999 more parts are not in the MP4" in problem for problem in exported.problems)


def test_a_damaged_init_is_taken_from_another_segment(camera: Camera, tmp_path: Path) -> None:
    def spoil_init(data: bytearray) -> None:
        data[512 + 700] ^= 1

    source = damaged(camera, tmp_path / "seg", spoil_init)
    (exported,) = run(source, tmp_path / "out", even_if_damaged=True).exports
    assert (exported.parts, exported.gaps) == (8, [])


def test_an_interrupted_recording_exports_whole(tmp_path: Path) -> None:
    init, parts = film()
    camera = Camera(agency()).new_session()
    camera.start(init)
    for part in parts[:5]:
        camera.part(part.data)
    camera.crash(drop_entries=1)
    camera.shutdown()
    camera.write(tmp_path / "seg")
    assert What.INTERRUPTED in notes(tmp_path / "seg")
    result = run(tmp_path / "seg", tmp_path / "out")
    assert (result.whole, result.exports[0].parts) == (True, 4)
    assert len(presented(Path(result.exports[0].mp4))["video"]) == 60


# -- keys and tools ------------------------------------------------------------------------------------------------


def test_the_wrong_key(segments: Path, tmp_path: Path) -> None:
    stranger = make_agency("another").identity
    with pytest.raises(KeyTrustError, match="opens"):
        export(collect([segments]), agency().root, [stranger], ExportOptions(tmp_path / "out"))
    assert not [p for p in (tmp_path / "out").iterdir() if p.suffix != ".json"]


def test_without_the_media_library_the_parts_are_given_as_they_are(
    segments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remux, "available", lambda: False)
    (exported,) = run(segments, tmp_path / "out").exports
    assert "pip install av" in exported.fragmented
    assert Path(exported.mp4).read_bytes() == plain_film(tmp_path / "plain.mp4").read_bytes()
    assert Path(exported.mp4).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("planted_ms", [40, -40, 2])
def test_a_remux_that_moves_the_sound_is_not_handed_out(
    planted_ms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check after writing sees an error of 2 ms."""
    source, copy = plain_film(tmp_path / "plain.mp4"), remux._copy

    def wrong(source: Path, target: Path, shift_s: Fraction) -> None:
        copy(source, tmp_path / "right.mp4", shift_s)
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(tmp_path / "right.mp4")]
        command += ["-itsoffset", f"{planted_ms / 1000}", "-i", str(tmp_path / "right.mp4")]
        command += ["-map", "0:v", "-map", "1:a", "-c", "copy", "-f", "mp4", str(target)]
        subprocess.run(command, check=True)

    monkeypatch.setattr(remux, "_copy", wrong)
    with pytest.raises(EvidenceError, match=r"off its time|is not that of the recording"):
        remux.remux(source, tmp_path / "out.mp4", Fraction(4))


def test_a_full_disk_leaves_no_plaintext(segments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        assert source.stat().st_size > 0
        raise StorageError(f"cannot move to {target}: No space left on device")

    monkeypatch.setattr(durable, "move", full)
    with pytest.raises(StorageError):
        run(segments, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_report_of_many_findings_stays_one_that_is_read(
    segments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first are told, and the rest are counted."""
    monkeypatch.setattr("agent.evidence.clip.MOST_FINDINGS", 2)
    for number in range(5):
        (segments / f"strange-{number}.tar").write_bytes(b"x")
    (exported,) = run(segments, tmp_path / "out", even_if_damaged=True).exports
    report = next(m for m in export_members(blob_of(Path(exported.proof))) if m.name == "report.json")
    told = json.loads(report.read(Told.MAX_BYTES))["verification"]
    assert len(told["findings"]) == 2
    assert told["findings_left_out"] >= 3
