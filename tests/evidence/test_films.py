"""An exported MP4 is checked with the proof beside it: nothing in it changes unseen, and a lone one accuses nobody."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.evidence.blobs import blob_of
from agent.evidence.commands import main
from agent.evidence.proof import Piece, write_proof
from agent.evidence.sources import export_members
from tests.builders import agency, make_agency
from tests.evidence.test_export import run
from tests.film import film_camera


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DIR/one/ and DIR/two/, an export each of another camera, DIR/root.pem, DIR/agency.agekey."""
    base = tmp_path_factory.mktemp("films")
    agency().write_trust(base)
    for name, seconds, camera in (("one", 4, "cam-0001"), ("two", 5, "cam-0002")):
        film_camera(seconds, 5, camera).write(base / f"seg-{name}")
        run(base / f"seg-{name}", base / name)
    return base


@pytest.fixture
def place(exported: Path, tmp_path: Path) -> Path:
    shutil.copytree(exported, tmp_path / "place")
    return tmp_path / "place"


def mp4_of(place: Path, which: str = "one") -> Path:
    (path,) = (place / which).glob("*.mp4")
    return path


def proof_of(mp4: Path) -> Path:
    return mp4.with_name(f"{mp4.stem}.proof.tar")


def verify(place: Path, *paths: Path, more: tuple[str, ...] = ()) -> int:
    return main(["verify", *map(str, paths), "--trust", str(place / "root.pem"), *more])


def failed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]


def test_an_export_is_checked_by_either_of_its_files_or_its_directory(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mp4 = mp4_of(place)
    for paths in ((mp4,), (proof_of(mp4),), (mp4, proof_of(mp4)), (mp4.parent,)):
        assert verify(place, *paths) == 0
        out = capsys.readouterr().out
        assert f"export {mp4.name}: the bytes its proof names" in out
        assert "8 parts (0 to 7)" in out
        assert out.count("\nverified") == 1


def at(offset: int) -> Callable[[bytearray], None]:
    def flip(data: bytearray) -> None:
        data[offset % len(data)] ^= 0x04

    return flip


def cut(data: bytearray) -> None:
    del data[-1]


def grow(data: bytearray) -> None:
    data.append(0)


def empty(data: bytearray) -> None:
    data.clear()


CHANGES: list[tuple[str, Callable[[bytearray], None]]] = [
    ("a bit of its first box", at(0)),
    ("a bit of its index (moov)", at(5_000)),
    ("a bit of its media", at(20_000)),
    ("a bit further on", at(100_000)),
    ("a bit of its last byte", at(-1)),
    ("its last byte cut off", cut),
    ("a byte more", grow),
    ("nothing left of it", empty),
]


@pytest.mark.wide
@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=[name for name, _ in CHANGES])
def test_no_change_to_the_mp4_goes_unseen(
    place: Path, change: Callable[[bytearray], None], capsys: pytest.CaptureFixture[str]
) -> None:
    mp4 = mp4_of(place)
    data = bytearray(mp4.read_bytes())
    change(data)
    mp4.write_bytes(data)
    for paths in ((mp4,), (proof_of(mp4),), (mp4.parent,)):
        assert verify(place, *paths) == 1
        (line,) = failed(capsys)
        assert line.startswith("FAIL altered-export, ")
        assert mp4.name in line


def test_two_exports_swapped(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = mp4_of(place), mp4_of(place, "two")
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    assert one.read_bytes() != data
    assert verify(place, one) == 1
    assert len(failed(capsys)) == 1
    assert verify(place, one, two) == 1
    assert len(failed(capsys)) == 2


def test_an_export_under_the_name_of_another_recording(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both files of the pair renamed: they fit each other, and lie."""
    one, other = mp4_of(place), mp4_of(place).with_name("r0000000009-00000000.mp4")
    proof_of(one).rename(proof_of(other))
    one.rename(other)
    assert verify(place, other) == 1
    assert any("altered-export" in line and "r0000000009-00000000" in line for line in failed(capsys))
    assert verify(place, other.parent) == 1


def test_an_export_may_be_called_what_a_case_is_called(place: Path) -> None:
    one, other = mp4_of(place), mp4_of(place).with_name("case 17.mp4")
    proof_of(one).rename(proof_of(other))
    one.rename(other)
    assert verify(place, other) == 0


def test_a_lone_mp4_is_no_accusation_but_a_wrong_use(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mp4 = mp4_of(place)
    proof_of(mp4).unlink()
    assert verify(place, mp4) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert mp4.name in told.err and proof_of(mp4).name in told.err
    assert "\n  next: " in told.err


def test_an_mp4_in_a_directory_of_segments_is_named_as_not_checked(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "seg-one" / "phone.mp4").write_bytes(b"from elsewhere")
    assert verify(place, place / "seg-one") == 0
    assert "note unchecked: phone.mp4 has no proof beside it" in capsys.readouterr().out


def rewritten(proof: Path, change: Callable[[dict[str, Any]], None] | None) -> None:
    """The proof with another report.json; None: with none."""
    pieces = []
    for member in export_members(blob_of(proof)):
        content = member.read(1 << 30)
        if member.name == "report.json":
            if change is None:
                continue
            value = json.loads(content)
            change(value)
            content = json.dumps(value).encode()
        pieces.append(Piece(member.name, content))
    write_proof(proof, pieces)


@pytest.mark.wide
@pytest.mark.parametrize(
    "change",
    [
        None,
        lambda told: told.pop("export"),
        lambda told: told.update(export=5),
        lambda told: told["export"].pop("mp4_sha256"),
        lambda told: told["export"].update(mp4_sha256=True),
        lambda told: told["export"].update(mp4_sha256=""),
        lambda told: told["export"].update(recording="r0000000009-00000000"),
        lambda told: told["export"].update(recording=["x"]),
        lambda told: told["export"].update(first_part="0"),
        lambda told: told["export"].update(first_part=True),
        lambda told: told["export"].update(first_part=2),
        lambda told: told["export"].update(last_part=6),
    ],
)
def test_a_proof_that_does_not_say_which_file_it_proves(
    place: Path, change: Callable[[dict[str, Any]], None] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    mp4 = mp4_of(place)
    rewritten(proof_of(mp4), change)
    assert verify(place, mp4) == 1
    assert any("altered-export" in line for line in failed(capsys))


def test_json_tells_of_the_export(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mp4 = mp4_of(place)
    assert verify(place, mp4, more=("--json",)) == 0
    (told,) = json.loads(capsys.readouterr().out)["exports"]
    assert told["mp4"] == str(mp4)
    assert told["sha256"] == hashlib.sha256(mp4.read_bytes()).hexdigest()
    assert told["compared"] == "digest"


def test_a_film_longer_than_its_proof_can_hold_is_not_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mp4 = mp4_of(place)
    os.truncate(mp4, 1 << 40)
    assert verify(place, mp4) == 1
    (line,) = failed(capsys)
    assert line.startswith("FAIL altered-export, ") and "more than its proof can hold" in line


# -- with the key --------------------------------------------------------------------------------------------------


def forged(place: Path) -> Path:
    """Another film under the recording's name, with a proof whose unsigned report was made to fit."""
    mp4 = mp4_of(place)
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=30:duration=4"]
    command += ["-f", "lavfi", "-i", "sine=duration=4:sample_rate=48000", "-ac", "1", "-c:a", "aac", str(mp4)]
    subprocess.run(command, check=True)
    digest = hashlib.sha256(mp4.read_bytes()).hexdigest()
    rewritten(proof_of(mp4), lambda told: told["export"].update(mp4_sha256=digest))
    return mp4


def test_the_digest_alone_is_the_word_of_whoever_made_the_export(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the digest does not prove is said, and what proves it."""
    assert verify(place, forged(place)) == 0
    assert "unsigned" in capsys.readouterr().out


def test_with_the_key_a_forged_film_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = ("-i", str(place / "agency.agekey"))
    assert verify(place, mp4_of(place), more=key) == 0
    assert "every packet is that of parts 0 to 7" in capsys.readouterr().out
    mp4 = forged(place)
    assert verify(place, mp4, more=key) == 1
    (line,) = failed(capsys)
    assert line.startswith("FAIL altered-export, ")
    assert not list(place.rglob("*.tmp"))


def test_with_the_key_a_piece_is_compared_at_its_place(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from agent.evidence.times import parse_time

    begin = parse_time("2026-03-01T08:00:07.6Z", "--from")
    run(place / "seg-one", place / "piece", begin=begin)
    key = ("-i", str(place / "agency.agekey"))
    assert verify(place, mp4_of(place, "piece"), more=key) == 0
    assert "every packet is that of parts 2 to 7" in capsys.readouterr().out


def test_a_key_that_opens_nothing_is_6(place: Path, tmp_path: Path) -> None:
    make_agency("stranger").write_trust(tmp_path)
    assert verify(place, mp4_of(place), more=("-i", str(tmp_path / "agency.agekey"))) == 6


def box(kind: bytes, *contents: bytes) -> bytes:
    data = b"".join(contents)
    return struct.pack(">I", 8 + len(data)) + kind + data


def film_that_claims(samples: int) -> bytes:
    """An MP4 of a few hundred bytes (ISO/IEC 14496-12), whose one track is said to have so many samples of one byte."""
    table = {
        b"stsd": struct.pack(">I", 0),
        b"stts": struct.pack(">III", 1, samples, 1),
        b"stsc": struct.pack(">IIII", 1, 1, samples, 1),
        b"stsz": struct.pack(">II", 1, samples),
        b"stco": struct.pack(">II", 1, 48),
    }
    boxes = [box(name, bytes(4), data) for name, data in table.items()]
    header = box(b"mdhd", bytes(12), struct.pack(">II", 1000, 1000), bytes(4))
    handler = box(b"hdlr", bytes(8), b"vide", bytes(13))
    track = box(b"trak", box(b"mdia", header, handler, box(b"minf", box(b"stbl", *boxes))))
    movie = box(b"mvhd", bytes(12), struct.pack(">II", 1000, 1000), bytes(80))
    return box(b"ftyp", b"isom", bytes(4), b"isom") + box(b"moov", movie, track) + box(b"mdat", bytes(1000))


VERIFIED = """
import re, resource, sys
from pathlib import Path
from agent.evidence.commands import main
status = main(sys.argv[1:])
# VmHWM is this program's alone; its own ru_maxrss is at least what the process that started it held.
own_kib = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
children_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(status, max(own_kib, children_kib) // 1024, file=sys.stderr)
"""


@pytest.mark.parametrize("samples", [1_000, 60_000_000])
def test_what_a_film_claims_of_its_samples_costs_no_memory_without_bound(
    place: Path, samples: int, tmp_path: Path
) -> None:
    """Some 36 bytes each, in a reader that believes it; whoever made the proof chose its digest."""
    mp4 = mp4_of(place)
    mp4.write_bytes(film_that_claims(samples))
    content = {m.name: m.read(1 << 30) for m in export_members(blob_of(proof_of(mp4)))}
    report = json.loads(content["report.json"])
    report["export"]["mp4_sha256"] = hashlib.sha256(mp4.read_bytes()).hexdigest()
    pieces = [Piece(n, json.dumps(report).encode() if n == "report.json" else d) for n, d in content.items()]
    write_proof(proof_of(mp4), pieces)
    words = ["verify", str(mp4), "--trust", str(place / "root.pem"), "-i", str(place / "agency.agekey")]
    done = subprocess.run([sys.executable, "-c", VERIFIED, *words], capture_output=True, text=True, timeout=120)
    status, peak_mib = map(int, done.stderr.split()[-2:])
    assert status == 1 and "FAIL altered-export" in done.stdout
    assert peak_mib < 700
