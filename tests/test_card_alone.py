"""The card is changed by who has no key, while the camera is off; then the honest camera starts, records and signs.

Whatever was changed: nothing forged verifies, by whole card or by range, and no honest part is accused as proven.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agent.evidence.findings import What
from agent.formats import merkle, note, pack
from agent.model import SegmentState
from agent.vault import Vault
from tests import builders
from tests.camera_kit import CAMERA, FakeClock, make_agency, read
from tests.card_alone import Film, Thief, accused, believed, findings, live, root_of
from tests.independent.kit import names_in, verdicts
from tests.test_epochs import STEM, Card

BOOT, LATER_BOOT = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "ef")
STRAY = "x"
Change = Callable[[Thief], object]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, Path]:
    """Two lives, of whose first a station has all; each recorded something, and the newest was switched off."""
    card = Card(make_agency(tmp_path_factory.mktemp("agency")), tmp_path_factory.mktemp("camera"))
    live(card.open())
    vault = card.open()
    vault.sealer.seal_open()
    (card.spool / "inbox" / "one.receipt").write_bytes(card.receipt(vault))
    assert vault.accept_receipts()[0]
    live(vault)
    assert not accused(findings(card))
    return card, card.image()


@pytest.fixture
def thief(honest: tuple[Card, Path]) -> Thief:
    card, image = honest
    card.put_back(image)
    return Thief(card)


def blamed(thief: Thief) -> list[str]:
    """What is accused beside the files, of another kind than evidence's leaves, that are not the camera's any more."""
    own = (What.BAD_HEAD, What.BAD_RECEIPT)
    return [f.line() for f in accused(findings(thief.card)) if f.what not in own and f.segment != STRAY]


def start(card: Card, boot_id: str = BOOT) -> Vault:
    return Vault(card._config, FakeClock(boot_id=boot_id))


# -- films that never were -----------------------------------------------------------------------------------------


def signed_by_his_own(thief: Thief, film: Film) -> None:
    """The checkpoint bears the signatures of a camera of this name that he made, and its chain lies beside it."""
    thief.film = film
    camera, hashes = builders.Camera(builders.make_agency(), name=CAMERA).new_session(), thief.hashes()
    camera.origin = f"{STEM}/1"
    signed = note.parse(camera.sign(note.Checkpoint(camera.origin, len(hashes), root_of(hashes)).text(), True))
    thief.put_into_tiles(film, signed.signatures)
    (thief.log / "chain.pem").write_bytes(camera.chain)


FILMS: dict[str, Change] = {
    "every part another one": lambda t: t.put_into_tiles(t.other_film()),
    "one more behind the end": lambda t: t.put_into_tiles(t.one_more()),
    "signed by none": lambda t: t.put_into_tiles(t.other_film(), ()),
    "another one, signed by his own": lambda t: signed_by_his_own(t, t.other_film()),
    "one more, signed by his own": lambda t: signed_by_his_own(t, t.one_more()),
    "with no segment left beside it": lambda t: (t.put_into_tiles(t.other_film()), remove(t, "*/*.tar", "*/*.seal")),
}


@pytest.mark.wide
@pytest.mark.parametrize("change", FILMS.values(), ids=FILMS.keys())
def test_a_film_that_never_was_does_not_verify(thief: Thief, tmp_path: Path, change: Change) -> None:
    change(thief)
    vault = start(thief.card)
    live(vault)
    assert not believed(thief, tmp_path / "range")
    assert blamed(thief) == []


# -- everything else -----------------------------------------------------------------------------------------------


def remove(thief: Thief, *patterns: str) -> None:
    for pattern in patterns:
        for path in thief.files(pattern):
            path.unlink()


def older_tiles(thief: Thief) -> None:
    """As they were when the log had half of its leaves, under what was signed then."""
    half = thief.size // 2
    thief.put_tiles(thief.hashes()[:half], thief.notes[half - 1])


def opening(thief: Thief, epoch: int, size: int) -> None:
    """An epoch that never began, after so many leaves of log 1."""
    directory = thief.spool / "log" / str(epoch)
    directory.mkdir(exist_ok=True)
    follows = {"origin": f"{STEM}/1", "size": size, "root": note.b64(root_of(thief.hashes()[:size]))}
    told = {"reason": "damaged", "follows": follows, "left": None}
    (directory / "epoch.json").write_text(json.dumps({"v": 1, "epoch": told, "detail": "a tile was lost"}))


def stray_epoch(thief: Thief, name: str) -> None:
    (thief.spool / "log" / name).mkdir()
    (thief.spool / "log" / name / "x").write_bytes(b"")


def copied_log(thief: Thief) -> None:
    shutil.copytree(thief.log, thief.spool / "log" / "2")


def renamed_segment(thief: Thief) -> None:
    """One whose seal leaf is owed, under another name."""
    path = thief.newest("sealed/e*.tar")
    other = path.with_name(f"{path.stem[:12]}deadbeef.tar")
    path.rename(other)
    path.with_suffix(".seal").rename(other.with_suffix(".seal"))
    thief.change(other.with_suffix(".seal"), segment=other.stem)


def moved(thief: Thief, pattern: str, state: str) -> None:
    for path in [*thief.files(f"{pattern}.tar"), *thief.files(f"{pattern}.seal")]:
        path.rename(thief.spool / state / path.name)


def cut_short_in_open(thief: Thief) -> None:
    """A sealed segment once more, as if it was being written when the power went."""
    path = thief.newest("sealed/r*.tar")
    shutil.copy(path, thief.spool / "open")
    os.truncate(thief.spool / "open" / path.name, path.stat().st_size // 2)


def receipt_of_his_own(thief: Thief, name: str) -> None:
    (thief.spool / "receipts" / f"{name}.receipt").write_bytes(b"bodycam-receipt/v1\n")
    (thief.spool / "log" / "newest-receipt").write_text(f"{name}\n")


def exchanged_seals(thief: Thief) -> None:
    one, two = thief.files("sealed/*.seal")[:2]
    a, b = json.loads(one.read_text()), json.loads(two.read_text())
    thief.change(one, sha256=b["sha256"], size=b["size"])
    thief.change(two, sha256=a["sha256"], size=a["size"])


def damaged_log(thief: Thief) -> None:
    """The next epoch begins: the leaves that a station has are in no tile and in no segment any more."""
    remove(thief, "delivered/*")
    shutil.rmtree(thief.log)


def put_further_on(thief: Thief) -> None:
    """A copy of an earlier segment says that it stands behind the log's end."""
    source = thief.newest("sealed/r*.tar")
    data, first = source.read_bytes(), read(source)[0].first
    claimed = next(n for n in range(thief.size, 99) if n.bit_count() == first.bit_count())
    copy = source.with_name(f"r{claimed:010d}-deadbeef-0000.tar")
    copy.write_bytes(data.replace(b'"first":%d,' % first, b'"first":%d,' % claimed, 1))


def of_another_log(thief: Thief) -> None:
    path = thief.newest("sealed/e*.tar")
    path.write_bytes(path.read_bytes().replace(b'"origin":"bodycam', b'"origin":"codycam', 1))


def copied_short(thief: Thief) -> None:
    """The newest segment lies here once more, with its first leaf alone; the log has lost its first."""
    path = thief.newest("sealed/e*.tar")
    end = read(path)[2][0][0].end
    path.with_name(f"{path.stem[:12]}ffffffff.tar").write_bytes(path.read_bytes()[:end] + pack.TRAILER)
    remove(thief, "delivered/*")
    shutil.rmtree(thief.log / "tile")


def short_in_its_place(thief: Thief) -> None:
    """The same, under its name, and the whole one lies among what was delivered."""
    path = thief.newest("sealed/e*.tar")
    copied_short(thief)
    path.rename(thief.spool / "delivered" / path.name)
    path.with_name(f"{path.stem[:12]}ffffffff.tar").rename(path)


def newest_seal(**values: object) -> Change:
    return lambda t: t.change(t.newest("sealed/e*.seal"), **values)


def each_seal(**values: object) -> Change:
    return lambda t: [t.change(path, **values) for path in t.files("sealed/*.seal")]


CHANGES: Mapping[str, Change] = {
    "nothing": lambda t: None,
    "no checkpoint": lambda t: remove(t, "log/1/checkpoint"),
    "a checkpoint of noise": lambda t: (t.log / "checkpoint").write_bytes(b"\x00" * 300),
    "an older checkpoint with its tiles": older_tiles,
    "an older checkpoint": lambda t: (t.log / "checkpoint").write_bytes(t.notes[t.size // 2]),
    "no chain": lambda t: remove(t, "log/1/chain.pem"),
    "no tiles": lambda t: shutil.rmtree(t.log / "tile"),
    "tiles of noise": lambda t: t.put_tiles([bytes(merkle.HASH_SIZE)] * t.size, (t.log / "checkpoint").read_bytes()),
    "no log": lambda t: shutil.rmtree(t.log),
    "an epoch after all of it": lambda t: opening(t, 2, t.size),
    "an epoch after one leaf": lambda t: opening(t, 2, 1),
    "an epoch out of order": lambda t: opening(t, 5, 3),
    "a stray directory for an epoch": lambda t: stray_epoch(t, "7"),
    "the last number for an epoch": lambda t: stray_epoch(t, "999999"),
    "the log once more as an epoch": copied_log,
    "noise for an epoch": lambda t: (opening(t, 2, 1), (t.spool / "log/2/epoch.json").write_bytes(b"\xff" * 99)),
    "a cosigned head of noise": lambda t: (t.log / "cosigned").write_bytes(b"x"),
    "no counter": lambda t: remove(t, "log/counter.json"),
    "another digest in a record": newest_seal(sha256="ab" * 32),
    "another size in a record": newest_seal(size=512),
    "another place in a record": newest_seal(first=3),
    "fewer leaves in a record": newest_seal(entries=1),
    "another epoch in a record": newest_seal(epoch=2),
    "the last epoch in each record": each_seal(epoch=999_999),
    "another digest in each record": each_seal(sha256="ab" * 32),
    "each record kept": each_seal(kept=True),
    "records exchanged": exchanged_seals,
    "records exchanged, and the log damaged": lambda t: (exchanged_seals(t), damaged_log(t)),
    "no records": lambda t: remove(t, "sealed/*.seal", "delivered/*.seal"),
    "records of noise": lambda t: [path.write_bytes(b"{}") for path in t.files("sealed/*.seal")],
    "a segment under another name": renamed_segment,
    "what is sealed, in open": lambda t: moved(t, "sealed/*", "open"),
    "the newest, in open": lambda t: moved(t, f"sealed/{t.newest('sealed/e*.tar').stem}", "open"),
    "half of what is sealed, in open": cut_short_in_open,
    "what is delivered, in open": lambda t: moved(t, "delivered/*", "open"),
    "what is delivered, in sealed": lambda t: moved(t, "delivered/*", "sealed"),
    "what is sealed, in delivered": lambda t: moved(t, "sealed/*", "delivered"),
    "a receipt of no digest": lambda t: receipt_of_his_own(t, "abc"),
    "a receipt of another digest": lambda t: receipt_of_his_own(t, "ab" * 32),
    "a receipt of noise": lambda t: [path.write_bytes(b"x") for path in t.files("receipts/*")],
    "no receipts": lambda t: remove(t, "receipts/*", "log/newest-receipt"),
    "messages of noise": lambda t: [(t.spool / "outbox" / name).write_bytes(b"\xff{") for name in ("dock.json", "x")],
    "files of other names": lambda t: [
        (t.spool / place / f"{STRAY}{suffix}").write_bytes(b"x")
        for place in ("open", "sealed", "delivered", "log", "log/1")
        for suffix in (".tar", ".seal", "")
    ],
}


@pytest.mark.wide
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_honest_part_is_accused(thief: Thief, change: Change) -> None:
    change(thief)
    live(start(thief.card))
    assert blamed(thief) == []


@pytest.fixture(scope="module")
def renewed(honest: tuple[Card, Path]) -> tuple[Card, Path]:
    """The card after its log was damaged, in the second epoch."""
    card, image = honest
    card.put_back(image)
    damaged_log(Thief(card))
    vault = start(card)
    assert vault.epoch == 2
    live(vault)
    kept = image.with_name("renewed")
    shutil.copytree(card.spool, kept)
    return card, kept


def renamed_log(thief: Thief) -> None:
    (thief.spool / "log/2").rename(thief.spool / "log/3")


def checkpoint_of_the_first(thief: Thief) -> None:
    (thief.spool / "log/2/checkpoint").write_bytes(thief.notes[thief.size - 1])


LATER: Mapping[str, Change] = {
    "nothing": lambda t: None,
    "no second log": lambda t: shutil.rmtree(t.spool / "log/2"),
    "no first log": lambda t: shutil.rmtree(t.spool / "log/1", ignore_errors=True),
    "no logs": lambda t: [shutil.rmtree(t.spool / "log" / n, ignore_errors=True) for n in "12"],
    "the second log as the third": renamed_log,
    "the second log with a checkpoint of the first": checkpoint_of_the_first,
    "the second log with none": lambda t: remove(t, "log/2/checkpoint"),
    "why the second log began": lambda t: opening(t, 2, 1),
    "a third that never began": lambda t: opening(t, 3, 1),
    "each record of the first epoch": each_seal(epoch=1),
    "each record of the second epoch": each_seal(epoch=2),
    "each record of the second epoch, and another digest in it": each_seal(epoch=2, sha256="ab" * 32),
}


@pytest.mark.wide
@pytest.mark.parametrize("change", LATER.values(), ids=LATER.keys())
def test_no_honest_part_is_accused_in_a_later_epoch(renewed: tuple[Card, Path], change: Change) -> None:
    card, image = renewed
    card.put_back(image)
    thief = Thief(card)
    change(thief)
    vault = start(card, LATER_BOOT)
    assert vault.epoch > 1
    live(vault)
    assert blamed(thief) == []


OLDER: Mapping[str, Change] = {
    "a copy put further on": put_further_on,
    "the newest as of another log": of_another_log,
    "a short copy of the newest": copied_short,
    "a short copy in its place": short_in_its_place,
}


@pytest.mark.parametrize("change", OLDER.values(), ids=OLDER.keys())
def test_no_segment_that_was_changed_makes_the_next_log_follow_an_older_head(thief: Thief, change: Change) -> None:
    """The leaves behind that would be a fork, proven, of an honest camera."""
    remove(thief, "log/1/checkpoint")
    change(thief)
    vault = start(thief.card)
    assert vault.epoch == 2
    live(vault)
    assert [f.line() for f in accused(findings(thief.card)) if f.what is What.FORK] == []


STRANGERS: Mapping[str, tuple[int, str]] = {
    "behind the end, in open": (0, "open"),
    "within the log, in open": (4, "open"),
    "behind the end, in sealed": (0, "sealed"),
    "within the log, in sealed": (4, "sealed"),
}


@pytest.mark.wide
@pytest.mark.parametrize(("back", "place"), STRANGERS.values(), ids=STRANGERS.keys())
def test_segments_by_other_keys_are_not_taken_for_the_cameras_own(thief: Thief, back: int, place: str) -> None:
    """They are named themselves, and nothing else is."""
    before = {path.stem for path in thief.files("*/*.tar")}
    thief.own_segments(thief.size - back, place)
    strange = {path.stem for path in thief.files("*/*.tar")} - before
    live(start(thief.card))
    found = accused(findings(thief.card))
    assert found
    # Of the log as a whole, only what they say of leaves that it never had.
    others = [f.line() for f in found if f.segment not in strange and not (f.first or 0) >= thief.size]
    assert others == []


@pytest.mark.parametrize("too", [False, True], ids=["its place", "its leaves too"])
def test_what_was_taken_off_undelivered_is_missing_whatever_the_record_of_another_says(thief: Thief, too: bool) -> None:
    """The newest segment, and the tiles that lead to it; the next log begins, and names what is left over, which a
    station then has, and the card may have no longer.
    """
    card, gone, other = thief.card, thief.newest("sealed/e*.seal"), thief.newest("sealed/r*.seal")
    record, own = (json.loads(path.read_text()) for path in (gone, other))
    place = {"first": record["first"], "entries": record["entries"]}
    thief.change(other, **({"entries": own["entries"] + record["entries"]} if too else place))
    remove(thief, f"sealed/{gone.stem}.*")
    shutil.rmtree(thief.log / "tile")
    live(start(card))
    vault = start(card, LATER_BOOT)
    assert vault.epoch == 2
    vault.sealer.seal_open()
    old = tuple(one for one in vault.spool.records(SegmentState.SEALED) if one.epoch == 1)
    (card.spool / "inbox" / "two.receipt").write_bytes(card.receipt(vault, old))
    assert vault.accept_receipts()[0]
    live(vault)
    remove(thief, *(["delivered/r*"] if too else []))
    lacks = {
        index
        for f in accused(findings(card))
        if f.what is What.MISSING_SEGMENT and f.first is not None and f.last is not None
        for index in range(f.first, f.last + 1)
    }
    assert set(range(record["first"], record["first"] + record["entries"])) <= lacks
    said = names_in(verdicts(card.agency.trust_root, card.spool)[card.spool])
    assert "missing-segment" in {what for what, _ in said}
