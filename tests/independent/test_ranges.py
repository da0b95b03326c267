"""The proof of a range, before a verifier in another language that was written from docs/evidence-format.md alone."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.evidence.commands import main
from agent.evidence.findings import What
from agent.evidence.stamp import load_stamp
from agent.formats import age
from tests import campaigns
from tests.builders import Camera, agency, make_agency
from tests.evidence.kit import failures
from tests.evidence.range_kit import members, range_of, written
from tests.evidence.shown_kit import OTHER_PACKETS
from tests.evidence.test_export import run as export_whole
from tests.evidence.test_films import CHANGES as MP4_CHANGES
from tests.evidence.test_ranges import PROVING, TABLE, Members, first_of
from tests.evidence.test_rewrap import TABLE as REWRAPPED
from tests.evidence.test_rewrap import Court, court, key_file, rewrap
from tests.evidence.test_timestamps import authority, cosigned, stamp
from tests.evidence.test_verify_sh import SCRIPT as VERIFY_SH
from tests.film import add, film, film_camera
from tests.independent.kit import names_in, verdicts

__all__ = ["authority", "court"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Path:
    """root.pem, agency.agekey and proofs of every kind: cosigned and stamped, earlier, alone, rewrapped."""
    place, camera = tmp_path_factory.mktemp("ranges"), film_camera()
    root, key = agency().write_trust(place)
    camera.write(place / "seg")
    proofs = {"alone": range_of(place / "seg", place / "1"), "end": range_of(place / "seg", place / "2", "09.1", "")}
    (place / "seg" / "a.receipt").write_bytes(camera.receipt([], 6))
    proofs["earlier"] = range_of(place / "seg", place / "3", "07.1", "59")
    receipt = camera.receipt(camera.segments)
    (place / "seg" / "b.receipt").write_bytes(receipt)
    said = load_stamp(stamp(authority, cosigned(receipt), place), None)
    proofs["cosigned"] = range_of(place / "seg", place / "4", stamp=said)
    court = age.X25519Identity.generate().recipient.to_string()
    words = ["rewrap", proofs["cosigned"], "-i", key, "-r", court, "--trust", root, "-o", place / "5"]
    assert main([*map(str, words)]) == 0
    proofs["rewrapped"] = place / "5" / proofs["cosigned"].name
    cut, (init, parts) = Camera(agency(), seed=8).new_session(), film()
    cut.start(init)
    for part in parts[:5]:
        add(cut, part)
    cut.crash(drop_entries=1).shutdown().write(place / "cut")
    proofs["interrupted"] = range_of(place / "cut", place / "6", "06.6", "")
    for name, proof in proofs.items():
        shutil.copy(proof, place / f"{name}.proof.tar")
    return place


KINDS = ["alone", "end", "earlier", "cosigned", "rewrapped", "interrupted"]


def test_both_accept_what_is_sound(place: Path) -> None:
    proofs = [place / f"{name}.proof.tar" for name in KINDS]
    assert set(verdicts(place / "root.pem", *proofs).values()) == {"verified"}
    assert [failures(proof) for proof in proofs] == [[] for _ in proofs]
    held = members(place / "interrupted.proof.tar")
    assert any(b'"kind":"recovery"' in data for name, data in held.items() if name.endswith(".json"))
    said = subprocess.run(
        [VERIFY_SH, place / "interrupted.proof.tar", "--trust", place / "root.pem"], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stdout


def test_both_refuse_another_agency(place: Path, tmp_path: Path) -> None:
    other, _ = make_agency("other").write_trust(tmp_path)
    proof = place / "cosigned.proof.tar"
    assert verdicts(other, proof)[proof].startswith("FAIL")


@pytest.fixture(scope="module")
def tampered(place: Path) -> Iterator[tuple[dict[str, Path], dict[Path, str]]]:
    """Every row of the tamper table, written once; one run of the other verifier over all of them."""
    found = {}
    (place / "rows").mkdir()
    for number, (name, change, *_) in enumerate(TABLE):
        content = members(place / "cosigned.proof.tar")
        change(content)
        found[name] = written(place / "rows" / f"{number}.proof.tar", content)
    yield found, verdicts(place / "root.pem", *found.values())


@pytest.mark.wide
@pytest.mark.parametrize(("name", "what"), [(row[0], row[2]) for row in TABLE], ids=[row[0] for row in TABLE])
def test_both_name_each_row_of_the_tamper_table_alike(
    name: str, what: What, tampered: tuple[dict[str, Path], dict[Path, str]]
) -> None:
    """The same names, and no other."""
    places, said = tampered
    ours = failures(places[name])
    assert what in {f.what for f in ours}
    assert names_in(said[places[name]]) == {(f.what.value, None) for f in ours}, said[places[name]]


def forged(kind: str, name: str) -> Callable[[Members], None]:
    def flip(content: Members) -> None:
        data = bytearray(content[name])
        data[len(data) // 2] ^= 1
        content[name] = bytes(data)

    def drop(content: Members) -> None:
        del content[name]

    return flip if kind == "flip" else drop


def test_both_refuse_a_change_to_each_kind_of_member(place: Path, tmp_path: Path) -> None:
    kinds = [*PROVING, "part.age", "part.json", "part.tlog-proof", "timestamp.tsr"]
    more = {"earlier": ["earlier/checkpoint", "earlier/consistency"], "rewrapped": ["init.header", "part.header"]}
    more["interrupted"] = ["identity/0000000002.checkpoint", "identity/0000000002.consistency"]
    changed = {}
    for source, names in {"cosigned": kinds, **more}.items():
        for pattern in names:
            for how in ("flip", "drop"):
                content = members(place / f"{source}.proof.tar")
                forged(how, first_of(content, pattern))(content)
                path = tmp_path / f"{len(changed)}.proof.tar"
                changed[written(path, content)] = (source, pattern, how)
    said = verdicts(place / "root.pem", *changed)
    for path, row in changed.items():
        # A timestamp that is gone, or whose signature alone was changed, is for the authority's key to miss.
        blind = row[1] == "timestamp.tsr"
        found = failures(path)
        assert (said[path] == "verified") == (not found), (row, said[path])
        assert names_in(said[path]) == {(f.what.value, f.segment) for f in found}, (row, said[path])
        assert blind or found, row


TWO_KEYS = "its two headers are not of one file key"
OF_TWO_KEYS = {
    "court.key": {"forged_key", "swapped_headers", "init_key"},
    "agency.agekey": {"forged_key", "swapped_headers", "init_key", "other_stanza"},
}
"""The forgeries whose two headers have a file key each, where the key fits one of them: the stanza in `other_stanza` is
for nobody, so only the camera's own header opens.
"""
ILL_SPELLED = {"court.key": set[str](), "agency.agekey": {"flip_new_header"}}
"""The other verifier reads no header that its key does not fit, and sees by the MAC what ours sees by the spelling."""


def test_both_refuse_what_needs_no_key_of_each_forgery_for_a_court(court: Court, tmp_path: Path) -> None:
    """What only a key shows, neither can see without one."""
    needs_no_key = {}
    for number, (forge, without_key, _) in enumerate(REWRAPPED):
        content = members(court.rewrapped)
        forge(content, court)
        needs_no_key[written(tmp_path / f"{number}.proof.tar", content)] = without_key
    assert {*needs_no_key.values()} == {True, False}
    said = verdicts(court.root, *needs_no_key)
    assert {path: words.startswith("FAIL") for path, words in said.items()} == needs_no_key
    ours = {path: {(f.what.value, f.segment) for f in failures(path)} for path in said}
    assert {path: names_in(words) for path, words in said.items()} == ours
    assert {path: bool(names) for path, names in ours.items()} == needs_no_key


@pytest.mark.parametrize("holder", ["court.key", "agency.agekey"])
def test_both_refuse_each_forgery_for_a_court_with_a_key_and_name_two_file_keys(
    holder: str, court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The court's key fits the new header, the agency's the camera's own; what is of two file keys either shows. The
    rewrapped range itself, untouched, both accept.
    """
    key, rows, ours = court.place / holder, [], []
    for number, (forge, *_) in enumerate(REWRAPPED):
        content = members(court.rewrapped)
        forge(content, court)
        rows.append(written(tmp_path / f"{number}.proof.tar", content))
        assert court.verify(rows[-1], "-i", key) == 1
        ours.append(capsys.readouterr().out)
        assert ", proven: " in ours[-1] and set(re.findall(r"^FAIL ([a-z-]+)", ours[-1], re.M)) == {"altered-bytes"}
    said = verdicts(court.root, court.rewrapped, *rows, key=key)
    assert said.pop(court.rewrapped) == "verified"
    assert [words for words in said.values() if names_in(words) != {("altered-bytes", None)}] == []
    names = [forge.__name__ for forge, *_ in REWRAPPED]
    told, theirs = (
        {n for n, words in zip(names, by, strict=True) if TWO_KEYS in words} for by in (ours, said.values())
    )
    assert (told, theirs) == (OF_TWO_KEYS[holder], OF_TWO_KEYS[holder] | ILL_SPELLED[holder])


def test_it_opens_with_a_post_quantum_key_and_refuses_one_that_fits_nothing(court: Court, tmp_path: Path) -> None:
    key, right = age.PqIdentity.generate(), tmp_path / "right.key"
    assert rewrap(court.place, court.proof, str(tmp_path / "pq"), key.recipient) == 0
    proof = tmp_path / "pq" / court.proof.name
    assert verdicts(court.root, proof, key=key_file(right, key)) == {proof: "verified"}
    other = key_file(tmp_path / "other.key", age.PqIdentity.generate())
    assert "opens no header" in verdicts(court.root, proof, key=other)[proof]


def test_both_refuse_each_change_to_the_mp4_of_an_export(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = film_rows(place, tmp_path)
    for proof in films:
        assert main(["verify", str(proof), "--trust", str(place / "root.pem")]) == 1
    capsys.readouterr()
    said = verdicts(place / "root.pem", *films)
    assert [films[path] for path, words in said.items() if "not the one that was exported" not in words] == []
    assert [words for words in said.values() if names_in(words) != {("altered-export", None)}] == []


def test_both_refuse_a_film_of_a_piece_beside_the_proof_of_the_whole(place: Path, tmp_path: Path) -> None:
    """Its report says so of itself, and nobody signed that."""
    whole = Path(export_whole(place / "seg", tmp_path / "whole").exports[0].proof)
    piece = range_of(place / "seg", tmp_path / "piece")
    content = members(whole)
    content["report.json"] = members(piece)["report.json"]
    written(whole, content)
    mp4 = whole.with_name(whole.name.replace(".proof.tar", ".mp4"))
    shutil.copy(piece.with_name(piece.name.replace(".proof.tar", ".mp4")), mp4)
    assert names_in(verdicts(place / "root.pem", whole)[whole]) == {("altered-export", None)}
    assert main(["verify", str(mp4), "--trust", str(place / "root.pem")]) == 1


def test_both_find_with_a_key_a_film_that_its_report_was_made_to_fit(place: Path, tmp_path: Path) -> None:
    """The film, of a range and of a whole recording, as it was exported both accept."""
    key, root = place / "agency.agekey", place / "root.pem"
    whole = Path(export_whole(place / "seg", tmp_path / "whole").exports[0].proof)
    for number, proof in enumerate((range_of(place / "seg", tmp_path / "film"), whole)):
        rows = {}
        mp4 = proof.with_name(proof.name.replace(".proof.tar", ".mp4"))
        for name, change, words in OTHER_PACKETS:
            data, content = bytearray(mp4.read_bytes()), members(proof)
            change(data)
            report = content["report.json"].decode()
            old, new = hashlib.sha256(mp4.read_bytes()).hexdigest(), hashlib.sha256(data).hexdigest()
            assert old in report
            own = tmp_path / f"{number}-{name}"
            own.mkdir()
            (own / mp4.name).write_bytes(data)
            content["report.json"] = report.replace(old, new).encode()
            rows[written(own / proof.name, content)] = words
        assert set(verdicts(root, proof, *rows).values()) == {"verified"}
        said = verdicts(root, proof, *rows, key=key)
        assert said.pop(proof) == "verified"
        assert [said[path] for path, words in rows.items() if words not in said[path]] == []
        assert [words for words in said.values() if names_in(words) != {("altered-export", None)}] == []
        for path in rows:
            assert main(["verify", str(path), "--trust", str(root), "-i", str(key)]) == 1


def film_rows(place: Path, tmp_path: Path) -> dict[Path, str]:
    """The proof of an export, for each row beside its changed MP4."""
    proof, rows = range_of(place / "seg", tmp_path / "film"), {}
    mp4 = proof.with_name(proof.name.replace(".proof.tar", ".mp4"))
    for number, (name, change) in enumerate(MP4_CHANGES):
        data = bytearray(mp4.read_bytes())
        change(data)
        own = tmp_path / f"film-{number}"
        own.mkdir()
        (own / mp4.name).write_bytes(data)
        rows[Path(shutil.copy(proof, own))] = name
    return rows


@pytest.mark.campaign
def test_both_agree_on_random_changes(place: Path, tmp_path: Path) -> None:
    """Bits flipped, members dropped, doubled, swapped and taken from another proof, bytes of the archive; seeded."""
    campaign = campaigns.Campaign("independent-ranges")
    count, dice, kinds = campaigns.size(full=2000, sample=100), random.Random(23), Counter[str]()
    paths = []
    for number in range(count):
        path = tmp_path / f"{number}.proof.tar"
        kinds[change(place, path, dice)] += 1
        paths.append(path)
    refused = 0
    for start in range(0, count, 200):
        for path, said in verdicts(place / "root.pem", *paths[start : start + 200]).items():
            refused += said != "verified"
            assert names_in(said) == {(f.what.value, f.segment) for f in failures(path)}, (path, said, failures(path))
    campaign.finish(changes=count, by_kind=dict(kinds), refused=refused, disagreed=0)


def change(place: Path, path: Path, dice: random.Random) -> str:
    content = members(place / f"{dice.choice(KINDS)}.proof.tar")
    proving = [n for n in content if n not in ("README.txt", "trust/root.pem", "report.json", "timestamp.tsr")]
    kind = dice.choice(["bit", "bit", "gone", "swapped", "other", "byte", "cut"])
    name = dice.choice(proving)
    if kind == "bit":
        data = bytearray(content[name])
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        content[name] = bytes(data)
    elif kind == "gone":
        del content[name]
    elif kind == "swapped":
        other = dice.choice([n for n in proving if n.rpartition(".")[2] == name.rpartition(".")[2]])
        content[name], content[other] = content[other], content[name]
    elif kind == "other":
        stranger = members(place / f"{dice.choice(KINDS)}.proof.tar")
        content[name] = stranger.get(name, b"")
    written(path, content)
    if kind in ("byte", "cut"):
        data = bytearray(path.read_bytes())
        at = dice.randrange(len(data) // 512) * 512 + dice.choice([0, 124, 148, 257, 500])
        if kind == "byte":
            data[at] ^= 1 << dice.randrange(8)
        else:
            del data[at : at + dice.choice([1, 512])]
        path.write_bytes(data)
    return kind
