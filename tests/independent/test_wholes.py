"""The proof of a whole recording, before a verifier in another language that was written from docs/evidence-format.md
alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.evidence.films import check_films
from agent.evidence.sources import collect
from agent.evidence.verify import verify
from agent.formats import pack
from tests.builders import agency
from tests.evidence.kit import failures, only
from tests.evidence.range_kit import members, range_of, written
from tests.evidence.shown_kit import COLOURED, SHOWN
from tests.evidence.test_cosigned import HEAD, PROOF, exported, life
from tests.evidence.test_cosigned import TABLE as COSIGNED
from tests.evidence.test_shown_colours import coloured_camera
from tests.evidence.test_shown_stalls import stalled_camera
from tests.film import film_camera
from tests.independent.kit import names_in, verdicts

TABLES = (SHOWN, COLOURED)
"""What is changed of a film, and of one whose pictures say their colours."""
REPEATED, SECOND = "repeated-entry", "a segment, and other bytes"


def again(proof: Path) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """What stands in it once more, of each kind."""
    held = members(proof)
    segment, receipt = (next(n for n in held if n.startswith(f"{folder}/")) for folder in ("segments", "receipts"))
    for name in (segment, receipt, HEAD, PROOF, "report.json", "README.txt"):
        yield name.partition("/")[0] if name in (segment, receipt) else name, [(name, held[name])]
    yield SECOND, [(segment, b"nothing")]
    yield "other bytes of the report", [("report.json", b"{}")]
    yield "what proves nothing", [("notes.txt", b"one"), ("notes.txt", b"another")]
    yield "several", [(name, held[name]) for name in (segment, receipt, HEAD, HEAD)]


NAMES = [
    *("segments", "receipts", HEAD, PROOF, "report.json", "README.txt", SECOND),
    *("other bytes of the report", "what proves nothing", "several"),
]


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Each with its MP4 beside it, and what the other verifier says of it."""
    place, camera = tmp_path_factory.mktemp("repeated"), life()
    sound = exported(camera, place / "sound", camera.frontier.size)
    mp4, made = sound.with_name(sound.name.replace(".proof.tar", ".mp4")), {}
    for number, (name, more) in enumerate(again(sound)):
        made[name] = place / f"{number}" / sound.name
        made[name].parent.mkdir()
        os.link(mp4, made[name].parent / mp4.name)
        data = sound.read_bytes().removesuffix(pack.TRAILER)
        made[name].write_bytes(data + b"".join(pack.member(*one) for one in more) + pack.TRAILER)
    said = verdicts(agency().write_trust(place)[0], sound, *made.values())
    assert said[sound] == "verified" and failures(sound) == []
    return {name: (path, said[path]) for name, path in made.items()}


@pytest.mark.parametrize("name", NAMES)
def test_both_name_a_member_that_stands_twice(name: str, repeated: dict[str, tuple[Path, str]]) -> None:
    """Once, and nothing else: the first counts."""
    path, said = repeated[name]
    assert names_in(said) == {(REPEATED, None)}, said
    given = collect([path])
    report = verify(given, agency().root)
    check_films(report, given, agency().root)
    found = only([f for f in report.findings if f.fails])
    assert found.what.value == REPEATED and found.recording == path.name.removesuffix(".proof.tar")


def test_both_read_the_cosigned_head_of_an_export_that_somebody_unpacked(tmp_path: Path) -> None:
    """As it is, and changed as in an archive."""
    (root, _), camera = agency().write_trust(tmp_path), life()
    sound = members(exported(camera, tmp_path / "sound", camera.frontier.size))
    places = {}
    for number, (name, change) in enumerate((("sound", lambda content: None), *(row[:2] for row in COSIGNED))):
        content = dict(sound)
        change(content)
        places[name] = tmp_path / f"{number}"
        for member, data in content.items():
            (places[name] / member).parent.mkdir(parents=True, exist_ok=True)
            (places[name] / member).write_bytes(data)
    said = verdicts(root, *places.values())
    ours = {name: {(f.what.value, f.segment) for f in failures(place)} for name, place in places.items()}
    assert {name: names_in(said[place]) for name, place in places.items()} == ours
    assert [name for name, names in ours.items() if not names] == ["sound"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the other verifier says with the key of a film that shows something else, and of a report made to fit it."""
    place, found = tmp_path_factory.mktemp("shown"), {}
    root, key = agency().write_trust(place)
    film_camera().write(place / "seg")
    coloured_camera().write(place / "coloured")
    stalled_camera().write(place / "stalled")
    proofs = [range_of(place / "seg", place / "out"), range_of(place / "coloured", place / "out")]
    stall = range_of(place / "stalled", place / "out", end="10")
    for number, (proof, (name, change, _)) in enumerate(
        (p, row) for p, t in zip(proofs, TABLES, strict=True) for row in t
    ):
        mp4 = proof.with_name(proof.name.replace(".proof.tar", ".mp4"))
        content, old = members(proof), hashlib.sha256(mp4.read_bytes()).hexdigest()
        data, own = bytearray(mp4.read_bytes()), place / f"{number}"
        change(data)
        own.mkdir()
        (own / mp4.name).write_bytes(data)
        report = content["report.json"].replace(old.encode(), hashlib.sha256(data).hexdigest().encode())
        found[name] = written(own / proof.name, content | {"report.json": report})
    said = verdicts(root, *proofs, stall, *found.values(), key=key)
    assert [said[proof] for proof in (*proofs, stall)] == ["verified"] * 3
    return {name: said[path] for name, path in found.items()}


@pytest.mark.wide
@pytest.mark.parametrize("name", [name for table in TABLES for name, *_ in table])
def test_it_finds_with_a_key_a_film_that_shows_something_else(name: str, shown: dict[str, str]) -> None:
    """What ours says of each is in tests/evidence/test_shown.py and test_shown_colours.py."""
    assert names_in(shown[name]) == {("altered-export", None)} and "would show something else" in shown[name]


def test_each_case_is_asked_for(repeated: dict[str, tuple[Path, str]]) -> None:
    assert sorted(repeated) == sorted(NAMES)
