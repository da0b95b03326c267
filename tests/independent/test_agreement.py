"""A verifier in another language, written from docs/evidence-format.md alone, comes to the same verdicts as ours, and
says what fails by the same names.

`make setup` installs node; without it these tests fail.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.findings import NOTES, What
from agent.formats import note
from tests import campaigns
from tests.builders import Camera, agency, make_agency, simple_camera
from tests.camera_kit import Desk, begin
from tests.evidence.kit import failures, report_of
from tests.evidence.matrix.case import ANY, Row, made_of
from tests.evidence.matrix.rows import ROWS
from tests.independent.kit import SCRIPT, names_in, verdicts, words_for

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return agency().write_trust(tmp_path)[0]


def written(camera: Camera, place: Path) -> Path:
    camera.write(place)
    return place


def long_life() -> Camera:
    """A cut recording, a new session, another recording over three segments."""
    camera = Camera(agency(), seed=3).new_session()
    camera.start()
    for _ in range(3):
        camera.part()
    camera.crash().new_session()
    camera.start()
    for number in range(7):
        if number in (2, 5):
            camera.rotate()
        camera.part()
    camera.stop()
    return camera.shutdown()


def test_both_accept_what_is_sound(root: Path, tmp_path: Path) -> None:
    places = [written(simple_camera(), tmp_path / "simple"), written(long_life(), tmp_path / "long")]
    assert set(verdicts(root, *places).values()) == {"verified"}
    assert [failures(place) for place in places] == [[], []]


def test_both_accept_what_the_recorders_own_writer_makes(desk: Desk) -> None:
    begin(desk)
    for parts in (3, 140):
        desk.sealer.stop_recording(desk.record(parts, 300), {"type": "record.stop"})
    again = begin(Desk(desk.agency, desk.root, clock=desk.clock).open())
    again.record(2)
    third = begin(Desk(desk.agency, desk.root, clock=desk.clock).open())
    third.sealer.seal_open()
    assert verdicts(desk.agency.trust_root, desk.spool.sealed_dir) == {desk.spool.sealed_dir: "verified"}


def test_its_command_says_what_it_says_to_the_tests(root: Path, tmp_path: Path) -> None:
    """A line each, and exit status 1 where one fails; with a sound one alone 0."""
    camera = long_life()
    sound, cut = written(camera, tmp_path / "sound"), written(camera, tmp_path / "cut")
    (cut / f"{camera.segments[1].name}.tar").unlink()
    for places, status in (([sound, cut], 1), ([sound], 0)):
        words = ["node", str(SCRIPT), *words_for(root, *places)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        said = verdicts(root, *places)
        assert (done.returncode, done.stderr) == (status, "")
        assert done.stdout == "".join(f"{place} {line}\n" for place in places for line in said[place].splitlines())


def test_both_find_what_is_missing_at_the_end_with_a_receipt(root: Path, tmp_path: Path) -> None:
    camera = simple_camera()
    place, head = written(camera, tmp_path / "seg"), tmp_path / "head.receipt"
    head.write_bytes(camera.receipt(camera.segments))
    assert verdicts(root, place, head=head) == {place: "verified"}
    (place / f"{camera.segments[-1].name}.tar").unlink()
    assert verdicts(root, place) == {place: "verified"}
    assert "later head" in verdicts(root, place, head=head)[place]
    assert any(f.fails for f in report_of(place, head=head).findings)


def test_both_miss_what_stood_before_the_one_that_a_receipt_names(root: Path, tmp_path: Path) -> None:
    camera, spool = long_life(), tmp_path / "spool"
    marked = camera.segments[-2]
    for name in ("delivered", "receipts"):
        (spool / name).mkdir(parents=True)
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt([marked]))
    camera.segments[-1].write(spool / "sealed")
    assert {f.what for f in failures(spool)} == {What.MISSING_SEGMENT}
    assert {name for name, _ in names_in(verdicts(root, spool)[spool])} == {What.MISSING_SEGMENT.value}


def test_both_refuse_another_agency(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, _ = make_agency("other").write_trust(tmp_path / "other")
    place = written(simple_camera(), tmp_path / "seg")
    assert verdicts(other, place)[place].startswith("FAIL")


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Path], dict[Path, str]]]:
    """Every row of the tamper matrix, written once; one run of the other verifier over all that have no head of their
    own, and one for each other.
    """
    place = tmp_path_factory.mktemp("tampered")
    root, found, said = agency().write_trust(place)[0], {}, {}
    for number, row in enumerate(ROWS):
        head = made_of(row).write(place / f"{number}")
        found[row.id] = place / f"{number}" / "given"
        if head is not None:
            said |= verdicts(root, found[row.id], head=head)
    yield found, said | verdicts(root, *(given for given in found.values() if given not in said))


Names = Counter[tuple[str, str | None]]
OTHERWISE: dict[str, Names] = {
    # It ends with the trailer, and says that more follows; ours reads on, and tells what this is.
    "archive: end: another archive after it": Counter({("inserted-bytes", "A1"): 1}),
}
"""Rows of which the other verifier says another set of names, as the page lets it, and why."""


def named_by(row: Row) -> Names:
    """(finding, key of the segment) of each failure that the row is named with; several of one in a segment are one."""
    said = [(expect.what.value, expect.at) for expect in row.finds if expect.what not in NOTES]
    return Counter(dict.fromkeys(said, 1)) | Counter(name for name in said if name[1] == ANY)


@pytest.mark.wide
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_both_name_each_row_of_the_tamper_matrix_alike(
    row: Row, tampered: tuple[dict[str, Path], dict[Path, str]]
) -> None:
    """The same names, each of the same segments, and no other. That ours has the findings of the row is
    tests/evidence/test_matrix.py's.
    """
    places, said = tampered
    keys, wanted = {name: key for key, name in made_of(row).names.items()}, named_by(row)
    if any(at == ANY for _, at in wanted):
        keys = {name: key for name, key in keys.items() if key in {at for _, at in wanted}}
    theirs = Counter((what, segment and keys.get(segment, ANY)) for what, segment in names_in(said[places[row.id]]))
    if row.id in OTHERWISE:
        assert wanted != OTHERWISE[row.id], "it no longer differs: take it out of the table"
        wanted = OTHERWISE[row.id]
    assert theirs == wanted, said[places[row.id]]


def test_rows_and_names_that_differ_are_on_the_pages() -> None:
    assert OTHERWISE.keys() <= {row.id for row in ROWS}
    told, matrix = ((HOUSE / name).read_text("utf-8") for name in ("README.md", "docs/tamper-matrix.md"))
    for row in OTHERWISE:
        assert f"`{row}`" in told and f"`{row}`" in matrix
    (differ,) = (line for line in told.splitlines() if "Of random changes both" in line)
    assert {name for pair in OF_THE_SAME_BYTES for name in pair} <= set(re.findall("`([a-z-]+)`", differ))


FOR_EXPORTS = {"export", "range", "keyed", "shown"}
"""What it reads for exports alone: the other files are what it needs for the segments of a card or a station."""


def test_its_size_is_as_the_readme_says() -> None:
    files = {file.stem: file.read_text("utf-8").splitlines() for file in Path(__file__).parent.glob("*.mjs")}
    lines = {name: len(text) for name, text in files.items()}
    readme = (HOUSE / "README.md").read_text("utf-8")
    said = re.search(r"of about ([0-9,]+) lines in ([0-9]+) files \(([0-9,]+) of them for exports\)", readme)
    assert said is not None
    told, files_told, exports_told = (int(number.replace(",", "")) for number in said.groups())
    assert files_told == len(files)
    assert abs(told - sum(lines.values())) <= 20 and abs(exports_told - sum(lines[n] for n in FOR_EXPORTS)) <= 20
    assert max(lines.values()) <= 300 and max(len(line) for text in files.values() for line in text) <= 120


def test_the_page_explains_each_name_and_no_other() -> None:
    page = (HOUSE / "docs" / "evidence-format.md").read_text("utf-8")
    names = page.split("### Names\n")[1].split("\n`docs/verify.sh`")[0]
    table, _, notes = names.partition("Notes are no failures: ")
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(word for row in rows for word in re.findall("`([a-z-]+)`", row)) == sorted(
        what.value for what in set(What) - NOTES
    )
    told = set(re.findall("`([a-z-]+)`", re.sub(r"\([^)]*\)", "", notes)))
    assert told == {what.value for what in NOTES}


def bend_signature(camera: Camera, which: int) -> None:
    """Only the signature's last byte: name and key id stay the right ones."""
    entry = camera.segments[-1].entries[-1]
    signed = note.parse(entry.note)
    bent = list(signed.signatures)
    bent[which] = replace(bent[which], value=bent[which].value[:-1] + bytes([bent[which].value[-1] ^ 1]))
    entry.note = note.Note(signed.text, tuple(bent)).to_bytes()


def change_leaf(camera: Camera, old: bytes, new: bytes) -> None:
    entry = camera.segments[-1].entries[-1]
    assert old in entry.leaf
    entry.leaf = entry.leaf.replace(old, new)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: bend_signature(c, 0), "session's signature"),
        (lambda c: bend_signature(c, 1), "identity's signature"),
        (lambda c: change_leaf(c, b'"source":"synchronised"', b'"source":"unverified"'), "root after leaf 12"),
    ],
    ids=["session", "identity", "root"],
)
def test_nothing_later_need_speak_of_a_change_in_the_last_entry(
    root: Path, tmp_path: Path, change: Callable[[Camera], None], says: str
) -> None:
    camera = simple_camera()
    change(camera)
    place = written(camera, tmp_path / "seg")
    assert failures(place)
    assert says in verdicts(root, place)[place]


OF_THE_SAME_BYTES = {
    # What follows the last whole member is no trailer: half of one, with something else in it.
    ("altered-bytes", "truncated-segment"),
    # What stands where a header belongs is none: it was put in, as ours sees from the header behind it.
    ("altered-bytes", "inserted-bytes"),
}
"""(name of theirs, name of ours) of the first bytes that are wrong in a segment, where the page lets them differ: only
who reads on learns what these are.
"""


@pytest.mark.campaign
def test_both_agree_on_random_changes(root: Path, tmp_path: Path) -> None:
    """Bits flipped, bytes cut out and put in, blocks swapped, segments left out, swapped and doubled; seeded, and each
    changes something. Both find each, but where the newest segment is left out and nothing else is changed: without a
    later head the page calls that unproven, and no failure (8). Theirs stops where a segment's bytes are wrong, as the
    page lets it, and says no name that ours does not say but for these.
    """
    campaign = campaigns.Campaign("independent-verifier")
    count, dice, kinds = campaigns.size(full=1500, sample=60), random.Random(11), Counter[str]()
    camera = long_life()
    origin = written(camera, tmp_path / "sound")
    sound, places = contents(origin), []
    unproven = {name: data for name, data in sound.items() if name != f"{camera.segments[-1].name}.tar"}
    for number in range(count):
        place = tmp_path / f"{number}"
        shutil.copytree(origin, place)
        while contents(place) == sound:
            kind = change(place, dice)
        kinds[kind] += 1
        places.append(place)
    alike, ends, otherwise = 0, 0, Counter[str]()
    for start in range(0, count, 200):
        for place, said in verdicts(root, *places[start : start + 200]).items():
            ours, theirs = {(f.what.value, f.segment) for f in failures(place)}, names_in(said)
            ends += contents(place) == unproven
            assert bool(ours) == (contents(place) != unproven), (place, ours)
            assert (said == "verified") == (not ours), (place, said)
            alike += theirs == ours
            for what, where in theirs - ours:
                (named,) = {name for name, segment in ours - theirs if segment == where}
                assert (what, named) in OF_THE_SAME_BYTES, (place, said, ours)
                otherwise[f"{what} for {named}"] += 1
    campaign.finish(
        changes=count,
        by_kind=dict(kinds),
        newest_left_out=ends,
        disagreed=0,
        named_alike=alike,
        named_by_theirs_alone=dict(otherwise),
    )


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.glob("*.tar")}


def change(place: Path, dice: random.Random) -> str:
    paths = sorted(place.glob("*.tar"))
    path, kind = dice.choice(paths), dice.choice(["bit", "bit", "cut", "insert", "blocks", "tail", "gone", "swapped"])
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data))
    block = at // 512 * 512
    if kind == "bit":
        data[at] ^= 1 << dice.randrange(8)
    elif kind == "cut":
        del data[at : at + dice.choice([1, 512, 1536])]
    elif kind == "insert":
        data[at:at] = dice.randbytes(dice.choice([1, 512]))
    elif kind == "blocks":
        data[block : block + 512], data[:512] = data[:512], data[block : block + 512]
    elif kind == "tail":
        del data[block:]
    elif kind == "gone":
        path.unlink()
        return kind
    else:
        other = dice.choice(paths)
        kept = other.read_bytes()
        other.write_bytes(data)
        data = bytearray(kept)
    path.write_bytes(data)
    return kind


# -- epochs --------------------------------------------------------------------------------------------------------


def two_epochs(place: Path, follows: note.Checkpoint | None = None, drop: int = 0) -> Path:
    first = long_life()
    second = first.next_epoch(follows=follows)
    second.start()
    second.part()
    second.stop()
    second.shutdown()
    if drop:
        del first.segments[-drop:]
    return written(second, written(first, place))


def test_both_accept_two_epochs_with_a_receipt_for_each(root: Path, tmp_path: Path) -> None:
    place = two_epochs(tmp_path / "seg")
    assert verdicts(root, place) == {place: "verified"}
    assert failures(place) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda place: two_epochs(place, drop=1), "does not lead to"),
        (lambda place: two_epochs(place, follows=long_life().head(5)), "does not lead to"),
        (lambda place: two_epochs(place, follows=replace(long_life().head(), root=bytes(32))), "does not lead to"),
        (lambda place: written(simple_camera().next_epoch().shutdown(), place), "is missing"),
    ],
    ids=["its end is missing", "another log", "another root", "no old log"],
)
def test_both_name_what_is_wrong_between_two_epochs(
    root: Path, tmp_path: Path, damage: Callable[[Path], Path], words: str
) -> None:
    place = damage(tmp_path / "seg")
    assert failures(place)
    assert words in verdicts(root, place)[place]
