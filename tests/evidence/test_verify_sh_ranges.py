"""docs/verify.sh on the proof of a range: stock tools alone follow each leaf to the signed checkpoint."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from agent.evidence.commands import main
from agent.evidence.stamp import load_stamp
from agent.formats import age
from tests.builders import Camera, agency
from tests.evidence.kit import failures
from tests.evidence.range_kit import members, range_of, written
from tests.evidence.test_ranges import TABLE, Members, first_of
from tests.evidence.test_rewrap import key_file
from tests.evidence.test_timestamps import authority, cosigned, stamp
from tests.evidence.test_verify_sh import run
from tests.film import film_camera

__all__ = ["authority"]


@pytest.fixture(scope="module")
def camera() -> Camera:
    return film_camera()


@pytest.fixture(scope="module")
def place(camera: Camera, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """seg/ without a receipt, root.pem, agency.agekey."""
    place = tmp_path_factory.mktemp("stock")
    camera.write(place / "seg")
    agency().write_trust(place)
    return place


@pytest.fixture(scope="module")
def sound(place: Path) -> Path:
    return range_of(place / "seg", place / "sound")


def verify(place: Path, *words: object) -> tuple[int, str]:
    done = run(*words, "--trust", place / "root.pem")
    return done.returncode, done.stdout + done.stderr


def test_a_range_verifies_opens_and_plays(place: Path, sound: Path, tmp_path: Path) -> None:
    status, said = verify(place, sound, "--key", place / "agency.agekey", "--media", tmp_path / "media.mp4")
    assert status == 0, said
    assert said.endswith("verified\n")
    assert "ok    Merkle path of every leaf to the root in the checkpoint" in said
    assert "codec_name=h264" in said
    assert (tmp_path / "media.mp4").stat().st_size > 30_000


def test_cosigned_stamped_and_with_segments_beside_it(
    camera: Camera, place: Path, authority: Path, tmp_path: Path
) -> None:
    camera.write(tmp_path / "seg")
    receipt = camera.receipt(camera.segments)
    (tmp_path / "seg" / "a.receipt").write_bytes(receipt)
    said_by = load_stamp(stamp(authority, cosigned(receipt), tmp_path), authority / "ca.pem")
    proof = range_of(tmp_path / "seg", tmp_path / "out", stamp=said_by)
    first = min((tmp_path / "seg").glob("e*.tar"))
    status, said = verify(place, proof, first, "--tsa", authority / "ca.pem")
    assert status == 0, said
    assert "note  cosigned by station.test, 2026-03-01T10:00:00Z" in said
    assert "ok    openssl ts: a timestamp authority saw the checkpoint" in said
    assert "--    across segments" in said
    content = members(proof)
    stamped = content["timestamp.tsr"]
    content["timestamp.tsr"] = stamped[:-1] + bytes([stamped[-1] ^ 1])
    status, said = verify(place, written(tmp_path / "r.proof.tar", content), "--tsa", authority / "ca.pem")
    assert (status, "FAIL  openssl ts" in said) == (1, True)


@pytest.mark.wide
@pytest.mark.parametrize("size", [6, 8])
def test_an_earlier_cosigned_head_is_a_prefix(size: int, camera: Camera, place: Path, tmp_path: Path) -> None:
    """Of a number of leaves that is a power of two, and of one that is not."""
    camera.write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt([], size))
    proof = range_of(tmp_path / "seg", tmp_path / "out", "07.1", "59")
    assert "earlier/consistency" in members(proof)
    status, said = verify(place, proof)
    assert status == 0, said
    assert "ok    Merkle proof: the log at its earlier, cosigned size" in said
    content = members(proof)
    lines = content["earlier/consistency"].splitlines(keepends=True)
    content["earlier/consistency"] = b"".join([b"A" * 43 + b"=\n", *lines[1:]])
    changed = written(tmp_path / "r.proof.tar", content)
    assert failures(changed)
    status, said = verify(place, changed)
    assert (status, "FAIL  Merkle proof" in said) == (1, True)


def test_rewrapped_it_opens_with_the_courts_key_and_with_the_agencys(place: Path, sound: Path, tmp_path: Path) -> None:
    key = age.X25519Identity.generate()
    words = ["rewrap", sound, "-i", place / "agency.agekey", "-r", key.recipient.to_string()]
    assert main([*map(str, words), "--trust", str(place / "root.pem"), "-o", str(tmp_path)]) == 0
    for file in (key_file(tmp_path / "court.key", key), place / "agency.agekey"):
        status, said = verify(place, tmp_path / sound.name, "--key", file)
        assert status == 0, said
        assert "ok    age -d" in said
    stranger = key_file(tmp_path / "other.key", age.X25519Identity.generate())
    status, said = verify(place, tmp_path / sound.name, "--key", stranger)
    assert (status, "FAIL  age -d" in said) == (1, True)


@pytest.mark.parametrize("tool", ["uniq", "od", "cp"])
def test_a_tool_that_fails_never_verifies(
    tool: str, place: Path, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be looked at is not sound."""
    broken = tmp_path / "bin" / tool
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    status, said = verify(place, sound)
    assert (status, said.endswith("\nverified\n")) == (1, False)


ROWS = {
    "part dropped": "the parts that report.json names",
    "sealed bytes swapped": "sha256sum",
    "leaf edited": "Merkle path",
    "checkpoint by another camera": "openssl verify",
}


def test_changes_are_named(place: Path, sound: Path, tmp_path: Path) -> None:
    """In one run, each under its name."""
    changes = {row[0]: row[1] for row in TABLE}
    for number, name in enumerate(ROWS):
        content = members(sound)
        changes[name](content)
        written(tmp_path / f"{number}.proof.tar", content)
    status, said = verify(place, *sorted(tmp_path.glob("*.proof.tar")))
    assert status == 1
    for section in said.split("--    ")[1:]:
        name, _, text = section.partition("\n")
        if name.isdigit():
            wanted = list(ROWS.values())[int(name)]
            assert any(x.startswith("FAIL") and wanted in x for x in text.splitlines()), section
    assert said.count("--    ") == len(ROWS)


def garble(content: Members, name: str) -> Members:
    data = content[name]
    return content | {name: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]}


@pytest.mark.parametrize("kind", ["chains/", "part.tlog-proof"])
def test_a_flip_in_each_kind_of_member(kind: str, place: Path, sound: Path, tmp_path: Path) -> None:
    content = members(sound)
    status, said = verify(place, written(tmp_path / "r.proof.tar", garble(content, first_of(content, kind))))
    assert status == 1, said


def test_a_byte_between_the_members(place: Path, sound: Path, tmp_path: Path) -> None:
    data = bytearray(sound.read_bytes())
    at = 512 + len(members(sound)["README.txt"])
    assert data[at] == 0
    data[at] = 1
    (tmp_path / "r.proof.tar").write_bytes(data)
    status, said = verify(place, tmp_path / "r.proof.tar")
    assert (status, "FAIL  tar -x, cmp" in said) == (1, True)


def test_an_archive_made_to_escape_writes_nothing(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.proof.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("checkpoint"))
        archive.addfile(tarfile.TarInfo("entries/../../../../../../../tmp/0000000001.age"))
    status, said = verify(place, path)
    assert status == 1
    assert "FAIL  tar -t" in said


def test_what_it_does_not_know_is_said(place: Path, sound: Path, tmp_path: Path) -> None:
    content = members(sound) | {"notes/case.txt": b"x"}
    status, said = verify(place, written(tmp_path / "r.proof.tar", content))
    assert (status, "note  not looked at: notes/case.txt" in said) == (0, True)
