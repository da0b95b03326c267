"""An export opened for a court's key: stock age opens it, the camera's signature still holds, and no forgery of a
header or a file key goes unseen.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest

from agent.evidence.commands import main
from agent.formats import age, age_header
from agent.formats import leaf as leaves
from tests.builders import agency, make_agency
from tests.evidence.kit import failures
from tests.evidence.range_kit import indexes, members, range_of, written
from tests.evidence.test_export import run as export_whole
from tests.film import film_camera

HOUSE = Path(__file__).parents[2]
Members = dict[str, bytes]


@dataclass(frozen=True)
class Court:
    """DIR/seg, DIR/out (the range), DIR/court (rewrapped), keys and root in DIR."""

    place: Path
    proof: Path
    rewrapped: Path
    key: age.Identity

    @property
    def root(self) -> Path:
        return self.place / "root.pem"

    def verify(self, path: Path, *more: object) -> int:
        return main(["verify", str(path), "--trust", str(self.root), *map(str, more)])


def key_file(path: Path, key: age.Identity) -> Path:
    path.write_text(age.identity_file(key, "for tests"))
    return path


def rewrap(place: Path, proof: Path, out: str, recipient: age.Recipient, *more: str) -> int:
    words = ["rewrap", str(proof), "-i", str(place / "agency.agekey"), "-r", recipient.to_string()]
    return main([*words, "--trust", str(place / "root.pem"), "-o", str(place / out), *more])


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Court:
    place = tmp_path_factory.mktemp("court")
    agency().write_trust(place)
    camera = film_camera()
    camera.write(place / "seg")
    (place / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    proof = range_of(place / "seg", place / "out")
    key = age.X25519Identity.generate()
    key_file(place / "court.key", key)
    assert rewrap(place, proof, "court", key.recipient) == 0
    return Court(place, proof, place / "court" / proof.name, key)


@pytest.fixture
def content(court: Court) -> Members:
    return members(court.rewrapped)


def sealed_names(content: Members) -> list[str]:
    return [name for name in content if name.endswith(".age")]


# -- it opens ------------------------------------------------------------------------------------------------------


def test_stock_age_opens_every_file_with_the_courts_key(court: Court, content: Members, tmp_path: Path) -> None:
    plain = {}
    for name in sealed_names(content):
        (tmp_path / "x.age").write_bytes(content[name])
        done = subprocess.run(
            ["age", "-d", "-i", court.place / "court.key", tmp_path / "x.age"], capture_output=True, check=True
        )
        plain[name] = done.stdout
    original = members(court.proof)
    assert plain == {name: age.decrypt(original[name], [agency().identity]) for name in sealed_names(content)}


def test_rage_opens_it_too(court: Court, content: Members) -> None:
    identity = pyrage.x25519.Identity.from_str(court.key.to_string())
    original = members(court.proof)
    for name in sealed_names(content):
        assert pyrage.decrypt(content[name], [identity]) == age.decrypt(original[name], [agency().identity])


def test_the_bodies_of_events_are_there_with_their_salt(court: Court, content: Members) -> None:
    bodies = 0
    for index in indexes(content):
        leaf = leaves.parse(content[f"entries/{index:010d}.json"])
        if isinstance(leaf, leaves.EventLeaf):
            plain = age.decrypt(content[f"entries/{index:010d}.age"], [court.key])
            assert hashlib.sha256(plain).hexdigest() == leaf.body
            bodies += 1
    assert bodies >= 3


def test_payloads_and_the_cameras_headers_are_as_they_were(court: Court, content: Members) -> None:
    original = members(court.proof)
    for name in sealed_names(content):
        header = content[name.removesuffix("age") + "header"]
        assert original[name] == header + content[name][age.split_header(content[name]) :]
        assert content[name] != original[name]
    same = {n for n in original if n not in ("README.txt", *sealed_names(content))}
    assert {n: content[n] for n in same} == {n: original[n] for n in same}


def test_each_header_wraps_under_a_share_of_its_own(court: Court, content: Members) -> None:
    shares = [age_header.parse(content[n]).stanzas[0].args[1] for n in sealed_names(content)]
    assert len(set(shares)) == len(shares)


def test_it_verifies_without_a_key_and_with_either(court: Court, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ((), ("-i", court.place / "court.key"), ("-i", court.place / "agency.agekey")):
        assert court.verify(court.rewrapped, *more) == 0
        out = capsys.readouterr().out
        assert ("new headers are not proven" in out) == (not more)
        assert ("sealed files open" in out) == bool(more)


def test_the_film_is_compared_with_the_rewrapped_parts(court: Court, tmp_path: Path) -> None:
    shutil.copy(court.rewrapped, tmp_path)
    mp4 = court.proof.name.replace(".proof.tar", ".mp4")
    shutil.copy(court.proof.with_name(mp4), tmp_path)
    assert court.verify(tmp_path / mp4, "-i", court.place / "court.key") == 0


def test_no_plaintext_is_written(court: Court, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No payload is opened at all, and below the output stands one proof."""

    def opened(*words: object) -> bytes:
        raise AssertionError("a payload was opened")

    monkeypatch.setattr("agent.formats.age_stream.open_chunks", opened)
    assert rewrap(court.place, court.proof, str(tmp_path / "again"), court.key.recipient) == 0
    assert [p.name for p in (tmp_path / "again").iterdir()] == [court.proof.name]
    assert (tmp_path / "again" / court.proof.name).stat().st_mode & 0o077 == 0


def test_a_rewrapped_export_is_rewrapped_again(court: Court, tmp_path: Path) -> None:
    second = age.X25519Identity.generate()
    words = ["rewrap", court.rewrapped, "-i", court.place / "court.key", "-r", second.recipient.to_string()]
    assert main([*map(str, words), "--trust", str(court.root), "-o", str(tmp_path / "two")]) == 0
    proof = tmp_path / "two" / court.rewrapped.name
    assert court.verify(proof, "-i", key_file(tmp_path / "second.key", second)) == 0
    original = members(court.rewrapped)
    headers = {n: d for n, d in members(proof).items() if n.endswith(".header")}
    assert headers == {n: d for n, d in original.items() if n.endswith(".header")}


def test_a_whole_recording_becomes_a_range_of_all_its_parts(court: Court, tmp_path: Path) -> None:
    (exported,) = export_whole(court.place / "seg", tmp_path / "out").exports
    assert rewrap(court.place, Path(exported.proof), str(tmp_path / "court"), court.key.recipient) == 0
    proof = tmp_path / "court" / Path(exported.proof).name
    shutil.copy(exported.mp4, tmp_path / "court")
    assert court.verify(Path(tmp_path / "court" / Path(exported.mp4).name), "-i", court.place / "court.key") == 0
    content = members(proof)
    assert sum(b'"class":"media"' in content[f"entries/{i:010d}.json"] for i in indexes(content)) == 8
    assert any(b'"kind":"stop"' in content[f"entries/{i:010d}.json"] for i in indexes(content))


def test_several_recipients_from_a_file_and_post_quantum(court: Court, tmp_path: Path) -> None:
    keys = [age.PqIdentity.generate() for _ in range(2)]
    lines = "".join(f"# one\n{k.recipient.to_string()}\n" for k in keys)
    (tmp_path / "court.txt").write_text(lines)
    words = ["rewrap", court.proof, "-i", court.place / "agency.agekey", "-R", tmp_path / "court.txt"]
    assert main([*map(str, words), "--trust", str(court.root), "-o", str(tmp_path / "pq")]) == 0
    proof = tmp_path / "pq" / court.proof.name
    for key in keys:
        assert court.verify(proof, "-i", key_file(tmp_path / "pq.key", key)) == 0


def test_every_command_in_its_readme_works_as_it_stands(court: Court, tmp_path: Path) -> None:
    shutil.copy(court.rewrapped, tmp_path)
    shutil.copy(court.root, tmp_path)
    shutil.copy(court.place / "court.key", tmp_path)
    commands = [x.strip() for x in members(court.rewrapped)["README.txt"].decode().splitlines() if x.startswith("    ")]
    path = f"{HOUSE / 'docs'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = "set -e\n" + "\n".join(f"echo '#' \n{c}" for c in commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    said = done.stdout.split("#\n")
    digest, named = next(s for s in said if s.strip().endswith("  -")), next(s for s in said if "sealed" in s)
    assert digest.split()[0] in named


# -- it cannot be forged -------------------------------------------------------------------------------------------


def a_part(content: Members) -> str:
    index = next(i for i in indexes(content) if b'"class":"media"' in content[f"entries/{i:010d}.json"])
    return f"entries/{index:010d}"


def forged_key(content: Members, court: Court) -> None:
    """A new header for a file key of the forger's, under which the same payload is nonsense."""
    name = f"{a_part(content)}.age"
    payload = content[name][age.split_header(content[name]) :]
    content[name] = age_header.write([court.key.recipient.wrap(bytes(16))], bytes(16)) + payload


def forged_payload(content: Members, court: Court) -> None:
    """Other pictures, sealed for the court in a file of their own."""
    content[f"{a_part(content)}.age"] = age.encrypt(b"other pictures", [court.key.recipient]).data


def forged_whole(content: Members, court: Court) -> None:
    """The same, with the header that goes with it as the camera's."""
    sealed = age.encrypt(b"other pictures", [court.key.recipient])
    content[f"{a_part(content)}.age"] = sealed.data
    content[f"{a_part(content)}.header"] = sealed.data[: sealed.header_size]


def swapped_headers(content: Members, court: Court) -> None:
    """The new headers of two entries: each opens, for another payload."""
    one, other = [n for n in sealed_names(content) if "entries" in n][-2:]
    a, b = age.split_header(content[one]), age.split_header(content[other])
    content[one], content[other] = content[other][:b] + content[one][a:], content[one][:a] + content[other][b:]


def swapped_own_headers(content: Members, court: Court) -> None:
    one, other = [n for n in content if n.endswith(".header") and "entries" in n][-2:]
    content[one], content[other] = content[other], content[one]


def own_header_gone(content: Members, court: Court) -> None:
    del content[f"{a_part(content)}.header"]


def flip_new_header(content: Members, court: Court) -> None:
    name = f"{a_part(content)}.age"
    content[name] = content[name].replace(b"-> X25519 ", b"-> X25519 A", 1)


def other_stanza(content: Members, court: Court) -> None:
    """A stanza that fits nobody, in a header that reads well."""
    name = f"{a_part(content)}.age"
    payload = content[name][age.split_header(content[name]) :]
    stranger = age.X25519Identity.generate().recipient
    content[name] = age_header.write([stranger.wrap(bytes(16))], bytes(16)) + payload


def init_header_gone(content: Members, court: Court) -> None:
    del content["init.header"]


def init_payload(content: Members, court: Court) -> None:
    content["init.age"] = content["init.age"][:-1] + bytes([content["init.age"][-1] ^ 1])


def init_key(content: Members, court: Court) -> None:
    payload = content["init.age"][age.split_header(content["init.age"]) :]
    content["init.age"] = age_header.write([court.key.recipient.wrap(bytes(16))], bytes(16)) + payload


TABLE: list[tuple[Callable[[Members, Court], None], bool, str]] = [
    (forged_key, False, "its two headers are not of one file key: that of the camera's own is another"),
    (forged_payload, True, "bytes, its leaf says"),
    (forged_whole, True, "bytes, its leaf says"),
    (swapped_headers, False, "its two headers are not of one file key"),
    (swapped_own_headers, True, "a header that the camera did not write"),
    (own_header_gone, True, "is altered in its age header"),
    (flip_new_header, False, "age header"),
    (other_stanza, False, "that of the new is another"),
    (init_header_gone, True, "init.age is not the one its leaves name"),
    (init_payload, True, "init.age is not the one its leaves name"),
    (init_key, False, "init.age: its two headers are not of one file key"),
]


@pytest.mark.wide
@pytest.mark.parametrize(("change", "without_key", "says"), TABLE, ids=[row[0].__name__ for row in TABLE])
def test_a_forgery_is_named(
    change: Callable[[Members, Court], None],
    without_key: bool,
    says: str,
    court: Court,
    content: Members,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who holds the key sees all of it; who does not is told that the new headers are not proven."""
    change(content, court)
    proof = written(tmp_path / "r.proof.tar", content)
    assert bool(failures(proof)) == without_key
    seen = []
    for key in ("court.key", "agency.agekey"):
        assert court.verify(proof, "-i", court.place / key) == 1, key
        seen.append(capsys.readouterr().out)
    assert says in "".join(seen)


def test_a_court_whose_key_fits_no_header_of_one_entry(court: Court, content: Members, tmp_path: Path) -> None:
    other_stanza(content, court)
    proof = written(tmp_path / "r.proof.tar", content)
    assert court.verify(proof, "-i", court.place / "court.key") == 1


# -- wrong use -----------------------------------------------------------------------------------------------------


def test_wrong_uses_have_their_statuses(court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_agency("another")
    (tmp_path / "other").mkdir()
    other.write_trust(tmp_path / "other")
    key, root, out = court.place / "agency.agekey", court.root, tmp_path / "out"
    mixed = [court.key.recipient.to_string(), "-r", age.PqIdentity.generate().recipient.to_string()]
    one = ["-r", court.key.recipient.to_string()]
    for status, words in (
        (2, [court.proof, "-i", key, "--trust", root]),
        (6, [court.proof, "-i", key, "--trust", root, "-r", "age1nonsense"]),
        (6, [court.proof, "-i", key, "--trust", root, "-r", *mixed]),
        (6, [court.proof, "-i", tmp_path / "other" / "agency.agekey", "--trust", root, *one]),
        (2, [next((court.place / "seg").glob("r*.tar")), "-i", key, "--trust", root, *one]),
        (2, [court.proof.parent / "nothing.proof.tar", "-i", key, "--trust", root, *one]),
    ):
        assert main(["rewrap", *map(str, words), "-o", str(out)]) == status, words
        told = capsys.readouterr().err
        assert told.startswith("error: ") and "\n  next: " in told, words
    assert not list(out.glob("*")) if out.exists() else True
    again = ["rewrap", str(court.proof), "-i", str(key), "--trust", str(root), *one, "-o", str(court.proof.parent)]
    assert main(again) == 2
    assert "is the export itself" in capsys.readouterr().err


def test_of_several_exports_the_one_that_no_key_given_opens_is_named_and_the_others_are_rewrapped(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, out = court.place / "court.key", tmp_path / "out"
    locked = court.proof.rename(tmp_path / "a-first.proof.tar")
    try:
        words = ["rewrap", locked, court.rewrapped, "-i", own, "-r", court.key.recipient.to_string()]
        words += ["--trust", court.root, "-o", out]
        assert main([*map(str, words)]) == 6
        said = capsys.readouterr()
        assert f"{locked} was not rewrapped: " in said.out and str(out / court.rewrapped.name) in said.out
        assert "error: " in said.err and "\n  next: " in said.err and "\n  next: " in said.out
        assert [path.name for path in out.iterdir()] == [court.rewrapped.name]
        assert court.verify(out / court.rewrapped.name, "-i", own) == 0
        capsys.readouterr()
        assert main([*map(str, words), "--json"]) == 6
        told = json.loads(capsys.readouterr().out)
        assert told["locked"] and list(told["problems"]) == [str(locked)] and len(told["proofs"]) == 1
        assert list(told["next"]) == [str(locked)] and told["next"][str(locked)]
        sealed = sum(name.endswith(".age") for name in members(court.rewrapped))
        assert told["sealed_files"] == sealed
    finally:
        locked.rename(court.proof)


def test_two_exports_of_one_name_are_not_written_over_each_other(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    film_camera(4, 6, "cam-0002").write(other / "seg")
    second = range_of(other / "seg", other / "out").rename(other / court.proof.name)
    key, out = court.key.recipient.to_string(), tmp_path / "out"
    words = ["rewrap", court.proof, second, "-i", court.place / "agency.agekey", "-r", key, "--trust", court.root]
    assert main([*map(str, words), "-o", str(out)]) == 2
    told = capsys.readouterr().err
    assert str(court.proof) in told and str(second) in told and "one at a time" in told
    assert not list(out.rglob("*.tar"))


def test_what_does_not_verify_is_not_rewrapped(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content: dict[str, Any] = members(court.proof)
    content[f"{a_part(content)}.age"] += b"x"
    proof = written(tmp_path / "r.proof.tar", content)
    assert rewrap(court.place, proof, str(tmp_path / "out"), court.key.recipient, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["refused"], told["proofs"], told["verification"]["verified"]) == (True, [], False)
    assert not (tmp_path / "out").exists()
