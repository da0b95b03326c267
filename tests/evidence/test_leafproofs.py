"""Proofs of single leaves out of what was exported whole: each leads to the cosigned head, by Go's own reader of logs
too, and nothing but what verifies is shown by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.evidence.commands import main
from agent.formats import certs, merkle, note, tlogproof
from tests.builders import Camera, agency
from tests.evidence.range_kit import members, range_of, written
from tests.evidence.test_cosigned import HEAD, exported, life

GO = Path(__file__).parents[1] / "independent" / "tlogproof.go"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole export, cosigned at the end of the log, beyond its last segment; the root of trust beside it."""
    place = tmp_path_factory.mktemp("whole")
    agency().write_trust(place)
    return exported(life(), place, life().frontier.size)


def proofs(given: Path, out: Path, *more: str) -> int:
    root, _ = agency().write_trust(out.parent)
    return main(["proofs", str(given), "--trust", str(root), "-o", str(out), "--tz", "UTC", *more])


def placed(out: Path) -> Path:
    (place,) = out.iterdir()
    return place


def test_each_leaf_of_the_recording_has_a_proof_of_its_own(sound: Path, tmp_path: Path) -> None:
    """By the log as the camera kept it, of which the export holds a piece; without any key."""
    assert proofs(sound, tmp_path / "out") == 0
    camera, place = life(), placed(tmp_path / "out")
    entries = {entry.index: entry for segment in camera.segments for entry in segment.entries}
    said = {i: json.loads(e.leaf) for i, e in entries.items()}
    own = {i for i, leaf in said.items() if leaf["recording"] == place.name and leaf.get("kind") != "seal"}
    shown = {int(path.stem) for path in place.glob("*.json")}
    assert own == shown == {int(path.stem) for path in place.glob("*.tlog-proof")}
    head = members(sound)[HEAD]
    for index in shown:
        leaf = (place / f"{index:010d}.json").read_bytes()
        proof = tlogproof.InclusionProof.parse((place / f"{index:010d}.tlog-proof").read_bytes())
        assert (leaf, proof.index, proof.checkpoint) == (entries[index].leaf, index, head)
        root = note.parse_checkpoint(note.parse(head).text)
        merkle.verify_inclusion(merkle.leaf_hash(leaf), index, root.size, proof.hashes, root.root)
        assert root.root == camera.frontier.root()


def test_the_keys_beside_them_are_those_that_signed_and_their_certificates_lead_to_the_root(
    sound: Path, tmp_path: Path
) -> None:
    assert proofs(sound, tmp_path / "out") == 0
    place, head = placed(tmp_path / "out"), note.parse(members(sound)[HEAD])
    session, station = (place / "keys.vkey").read_text("ascii").splitlines()
    assert note.verify_ed25519(head, *note.parse_vkey(session)) is None
    assert note.verify_cosignature(head, *note.parse_vkey(station, note.COSIGNATURE)) > 0
    name, key = certs.check_receipt_key(certs.parse_pem((place / "station.pem").read_bytes()), agency().root)
    assert note.vkey(name, note.COSIGNATURE, key) == station
    assert note.raw_public(certs.check_session(certs.parse_pem((place / "chain.pem").read_bytes()), agency().root).key)


def test_only_the_leaves_asked_for(sound: Path, tmp_path: Path) -> None:
    assert proofs(sound, tmp_path / "all") == 0
    first, *_, last = sorted(int(path.stem) for path in placed(tmp_path / "all").glob("*.json"))
    assert proofs(sound, tmp_path / "two", "--leaf", str(first), "--leaf", str(last)) == 0
    assert {int(path.stem) for path in placed(tmp_path / "two").glob("*.tlog-proof")} == {first, last}


def test_a_leaf_that_is_in_no_recording_is_named_as_wrong_use(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert proofs(sound, tmp_path / "all") == 0
    first = min(int(path.stem) for path in placed(tmp_path / "all").glob("*.json"))
    for more in ((), ("--leaf", str(first))):
        assert proofs(sound, tmp_path / "out", "--leaf", "99999", *more) == 2
        assert "no leaf of a recording that was given: 99999" in capsys.readouterr().err
    assert proofs(sound, tmp_path / "out", "--recording", "r0000000099-5f2c09ab") == 2
    assert "r0000000099-5f2c09ab is not among what was given" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_proofs_to_two_heads_do_not_come_to_lie_beside_each_other(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert proofs(sound, tmp_path / "out") == 0
    before = {path: path.read_bytes() for path in placed(tmp_path / "out").iterdir()}
    assert proofs(sound, tmp_path / "out") == 2
    assert "is not empty" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in placed(tmp_path / "out").iterdir()} == before


def test_of_what_does_not_verify_none_is_written(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = members(sound)
    extension = tlogproof.Extension.parse(content["cosigned/consistency"])
    bent = tlogproof.Extension(extension.old, (bytes(32), *extension.hashes[1:])).to_bytes()
    given = written(tmp_path / "r.proof.tar", content | {"cosigned/consistency": bent})
    assert proofs(given, tmp_path / "out") == 1
    assert "no proof was written" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_without_a_station_they_lead_to_the_cameras_own_head_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = exported(life(), tmp_path / "whole")
    assert proofs(given, tmp_path / "out") == 0
    assert "signed by the camera alone" in capsys.readouterr().out
    assert len((placed(tmp_path / "out") / "keys.vkey").read_text("ascii").splitlines()) == 1


def test_a_range_has_them_already(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    camera: Camera = life()
    camera.write(tmp_path / "seg")
    assert proofs(range_of(tmp_path / "seg", tmp_path / "range", "00", None), tmp_path / "out") == 2
    assert "holds a proof of each leaf" in capsys.readouterr().err


def test_it_is_told_in_json(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert proofs(sound, tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (one,) = told["proofs"]
    assert (one["recording"], one["directory"]) == (placed(tmp_path / "out").name, str(placed(tmp_path / "out")))
    assert one["leaves"] == sorted(int(path.stem) for path in placed(tmp_path / "out").glob("*.json"))
    assert "cosigned by station.test" in one["head"]


# -- by Go's golang.org/x/mod/sumdb --------------------------------------------------------------------------------


def by_go(place: Path, cache: Path) -> str:
    """What it says of the proofs in this directory."""
    gopath = os.environ.get("GOPATH", "/usr/share/gocode")
    if shutil.which("go") is None or not (Path(gopath) / "src/golang.org/x/mod/sumdb/note").is_dir():
        pytest.skip("Go or its x/mod is missing: apt-get install golang-go golang-golang-x-mod-dev")
    env = os.environ | {"GO111MODULE": "off", "GOPATH": gopath, "GOCACHE": str(cache)}
    done = subprocess.run(["go", "run", GO, place], capture_output=True, text=True, timeout=300, env=env)
    return done.stdout.strip() or done.stderr


def test_go_follows_each_of_them(sound: Path, tmp_path: Path) -> None:
    assert proofs(sound, tmp_path / "out") == 0
    place, cache = placed(tmp_path / "out"), tmp_path / "cache"
    count = len(list(place.glob("*.tlog-proof")))
    assert (by_go(place, cache), count > 3) == (f"ok {count}", True)
    leaf = min(place.glob("*.json"))
    kept = leaf.read_bytes()
    leaf.write_bytes(kept.replace(b'"v":1', b'"v":2'))
    assert by_go(place, cache) == f"FAIL {leaf.stem}.tlog-proof: the leaf is not in the tree"
    leaf.write_bytes(kept)
    proof = leaf.with_suffix(".tlog-proof")
    proof.write_bytes(proof.read_bytes()[:-4] + b"AA=\n")
    assert "FAIL" in by_go(place, cache)
