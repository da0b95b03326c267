"""Both verifiers say alike what a card that began a second log lacks of the first, and who has it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.evidence.findings import Sure, What
from agent.formats import receipt
from agent.formats.leaf import Kind
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import report_of
from tests.evidence.receipts import receipted
from tests.evidence.test_spools import lived, spool_of
from tests.independent.kit import names_in, verdicts

ALL = "0123456"


def harmed(segment: Segment) -> bytes:
    data = bytearray(segment.to_bytes())
    data[len(data) // 2] ^= 1
    return bytes(data)


def shorter(segment: Segment) -> bytes:
    """As it was before its last entry."""
    return replace(segment, entries=segment.entries[:-1]).to_bytes()


def other(segment: Segment) -> bytes:
    return b"what somebody put into the card's record"


class Left(NamedTuple):
    """Segments of the first log, E0 to E3, are `gone` from the spool of a camera that began a second one. Of them the
    second log's receipt has lines (`kept`), its deletion leaf names (`deleted`), and the first log's receipt names
    (`stored`), or of one of the second log, `next`, where `kept_next`. `leaf` makes the bytes of the one `marked`, the
    last but one, that a `kept` leaf of the second log names, `says` what it says of them otherwise, item by item,
    `there` those that lie on the card now, in open/ where `lies_open`. A note says that it was `purged`. Whether any
    leaf or segment is `held` elsewhere, and any `missing`; and how `sure` that is of what the `kept` leaf names. Where
    `in_third`, all that the second log has to say is in a third one, and 7, 8 and 9 are the segments of the second.
    """

    name: str
    held: bool
    missing: bool
    gone: str = ""
    kept: str = ""
    deleted: str = ""
    stored: str = ""
    leaf: Callable[[Segment], bytes] | None = None
    there: Callable[[Segment], bytes] | None = None
    deletes_leaf: bool = False
    keeps_leaf: bool = False
    kept_next: bool = False
    says: tuple[dict[str, Any], ...] = ({},)
    lies_open: bool = False
    marked: int = 5
    purged: bool = False
    sure: Sure = Sure.PROVEN
    in_third: bool = False


LATER = {"epoch": 2, "sha256": "ab" * 32}
"""Of the second log itself, which is no earlier one."""
NOT_WHOLE = ({"whole": False},)
OF_SECOND = ({"epoch": 2},)
"""As the record says it of a segment that is of the first log."""
OF_SECOND_NOT_WHOLE = ({"epoch": 2, "whole": False},)


def misplaced(name: str, held: bool, missing: bool, gone: str = "", **otherwise: Any) -> Left:
    """Said to be of the second log, by a third, if nothing else: the number of the epoch is changed too."""
    return Left(name, held, missing, gone, **({"leaf": other, "says": OF_SECOND, "in_third": True} | otherwise))


LEFT = [
    Left("nothing is gone", False, False),
    Left("one, and nobody has it", False, True, "1"),
    Left("one, which the second log's receipt kept", True, False, "1", kept="1"),
    Left("one, of which that keeps another", False, True, "1", kept="3"),
    Left("two in a row, which it kept", True, False, "12", kept="12"),
    Left("two in a row, of which it kept one", True, True, "12", kept="1"),
    Left("one, which a deletion leaf of the second log names", True, False, "1", deleted="1"),
    Left("two in a row, which that names", True, True, "12", deleted="12"),
    Left("the whole first log, and nobody has it", False, True, ALL),
    Left("the whole first log, which the second one's receipt kept", True, False, ALL, kept=ALL),
    Left("the whole first log, which its own receipt names", True, False, ALL, stored=ALL),
    Left("the whole first log, of which that lacks one", True, True, ALL, stored="012456"),
    Left("the whole first log, which a deletion leaf of the second one names", False, True, ALL, deleted=ALL),
    Left("one of the second log, which its own receipt kept", False, True, kept_next=True),
    Left("a harmed one, as it was", False, True, leaf=harmed, there=harmed),
    Left("a harmed one, mended since", False, False, leaf=harmed),
    Left("a harmed one that is gone", False, True, "5", leaf=harmed),
    Left("a harmed one that is gone, and was kept", True, True, "5", leaf=harmed, keeps_leaf=True),
    Left("a harmed one that is gone, and was deleted", True, True, "5", leaf=harmed, deletes_leaf=True),
    Left("one that was shorter", False, False, leaf=shorter),
    Left("one of which the card's record said other bytes", False, False, leaf=other),
    Left("one of which it said other bytes, and that is gone", False, True, "5", leaf=other),
    Left("one of which it said other bytes, and that was harmed since", False, True, leaf=other, there=harmed),
    Left("one that was as it is", False, False, leaf=Segment.to_bytes),
    Left("one that was as it is, is gone, and was kept", True, False, "5", leaf=Segment.to_bytes, keeps_leaf=True),
    Left("one of which it said other bytes, and that it is damaged", False, False, leaf=other, says=NOT_WHOLE),
    Left("one of which it said other bytes, in open/", False, False, leaf=other, lies_open=True),
    Left("one that was as it is, in open/", False, False, leaf=Segment.to_bytes, lies_open=True),
    Left("one said other bytes of twice", False, False, leaf=other, says=({}, {})),
    Left("once said whole, and once not", False, False, leaf=other, says=({}, {"whole": False})),
    Left("once said not whole, and once so", False, False, leaf=other, says=({"whole": False}, {})),
    Left("one that is as it was, said with another size", False, False, leaf=Segment.to_bytes, says=({"size": 5},)),
    Left("such a one said not whole", False, False, leaf=Segment.to_bytes, says=({"size": 5, "whole": False},)),
    Left(
        "other bytes of one that is gone, which the first log's receipt names", True, False, "5", leaf=other, stored="5"
    ),
    Left("the same, said not whole", True, False, "5", leaf=other, stored="5", says=NOT_WHOLE),
    Left("the same, of which the receipt names another", False, True, "5", leaf=other, stored="3"),
    Left("other bytes of one that is gone, and its own were kept", True, False, "5", leaf=other, kept="5"),
    Left("the same, said not whole and kept", True, False, "5", leaf=other, kept="5", says=NOT_WHOLE),
    Left("other bytes of one that was purged", False, False, "5", leaf=other, purged=True),
    Left("the same, said not whole and purged", False, False, "5", leaf=other, purged=True, says=NOT_WHOLE),
    Left("other bytes of the last, which no seal leaf names", False, False, leaf=other, marked=6),
    Left("the same, said not whole and here", False, True, leaf=other, marked=6, says=NOT_WHOLE, sure=Sure.OPEN),
    Left("the same in open/", False, True, leaf=other, marked=6, lies_open=True, sure=Sure.OPEN),
    Left("the same, and that is gone", False, True, "6", leaf=other, marked=6),
    Left("the same, and its own bytes were kept", False, True, "6", leaf=other, marked=6, kept="6", sure=Sure.OPEN),
    Left("of its own log, which is no earlier one", False, True, leaf=other, says=(LATER,)),
    Left("the same, and behind it bytes that are not here", False, True, leaf=other, says=(LATER, {"whole": False})),
    Left("the same, and before it bytes that are not here", False, True, leaf=other, says=({"whole": False}, LATER)),
    misplaced("of another epoch", False, False, leaf=Segment.to_bytes),
    misplaced("of another epoch, gone, and its receipt names it", True, False, "5", leaf=Segment.to_bytes, stored="5"),
    misplaced("of another epoch, gone, and nobody has it", False, True, "5", leaf=Segment.to_bytes),
    misplaced("other bytes, of another epoch", False, False),
    misplaced("other bytes, of another epoch and not whole", False, False, says=OF_SECOND_NOT_WHOLE),
    misplaced("other bytes, of another epoch, in open/", False, False, lies_open=True),
    misplaced("other bytes, of another epoch, harmed since", False, True, there=harmed),
    misplaced("other bytes, of another epoch, gone, and its receipt names its own", True, False, "5", stored="5"),
    misplaced("the same, and not whole", True, False, "5", stored="5", says=OF_SECOND_NOT_WHOLE),
    misplaced("other bytes, of another epoch, gone, and its own were kept", True, False, "5", kept="5"),
    misplaced("other bytes, of another epoch, gone, and its own were deleted", True, False, "5", deleted="5"),
    misplaced("other bytes, of another epoch, purged", False, False, "5", purged=True),
    misplaced("other bytes, of another epoch, gone", False, True, "5"),
    misplaced("other bytes of the last, of another epoch", False, False, marked=6),
    misplaced("the same and not whole", False, True, marked=6, says=OF_SECOND_NOT_WHOLE, sure=Sure.OPEN),
    misplaced("the same and gone", False, True, "6", marked=6),
    misplaced("other bytes of one of the second log, said of the first", False, False, marked=8, says=({},)),
    misplaced("such, said not whole", False, False, marked=8, says=NOT_WHOLE),
]


def line(name: str, data: bytes) -> receipt.Stored:
    return receipt.Stored(hashlib.sha256(data).hexdigest(), len(data), name, f"disk:{name}", 0)


def lives_on(camera: Camera) -> None:
    """A recording, and off."""
    camera.start()
    camera.part()
    camera.stop()
    camera.shutdown()


def laid(place: Path, left: Left) -> Path:
    first = lived()
    second = last = first.next_epoch()
    if left.in_third:
        lives_on(second)
        last = second.next_epoch()
    marked = [*first.segments, *second.segments][left.marked]
    held = left.leaf(marked) if left.leaf else b""
    kept = [line(s.name, s.to_bytes()) for n, s in enumerate(first.segments) if str(n) in left.kept]
    named = [line(s.name, s.to_bytes()) for n, s in enumerate(first.segments) if str(n) in left.deleted]
    if left.leaf:
        was = line(marked.name, held)
        whole = left.leaf is not harmed
        facts = {"segment": was.segment, "epoch": 1, "size": was.size, "sha256": was.sha256, "whole": whole}
        last.event(Kind.KEPT, facts={"segments": [facts | otherwise for otherwise in left.says]})
        kept += [was] if left.keeps_leaf else []
        named += [was] if left.deletes_leaf else []
    if named:
        gone = [{"segment": one.segment, "sha256": one.sha256, "receipt": "ab" * 32} for one in named]
        last.event(Kind.DELETION, facts={"segments": gone})
    lives_on(last)
    spool = spool_of(first, place, [int(n) for n in left.gone])
    for segment in [*(second.segments if left.in_third else []), *last.segments[left.kept_next :]]:
        segment.write(spool / "sealed")
    if left.purged:
        (spool / "a.purge").write_bytes(first.purge([marked]))
    if left.kept_next:
        kept += [line(last.segments[0].name, last.segments[0].to_bytes())]
    if left.lies_open:
        (spool / "delivered" / f"{marked.name}.tar").rename(spool / "open" / f"{marked.name}.tar")
    if left.there:
        (spool / "delivered" / f"{marked.name}.tar").write_bytes(left.there(marked))
    if kept:
        (spool / "receipts" / "b.receipt").write_bytes(receipted(last, [], kept))
    if left.stored:
        stored = [s for n, s in enumerate(first.segments) if str(n) in left.stored]
        (spool / "receipts" / "a.receipt").write_bytes(receipted(first, stored, []))
    return spool


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[Path, str]]:
    base = tmp_path_factory.mktemp("epochs")
    places = [laid(base / f"{number}", left) for number, left in enumerate(LEFT)]
    return places, verdicts(agency().write_trust(base)[0], *places)


@pytest.mark.wide
@pytest.mark.parametrize("number", range(len(LEFT)), ids=lambda number: LEFT[number].name)
def test_both_say_alike_what_is_left_of_the_first_log(number: int, judged: tuple[list[Path], dict[Path, str]]) -> None:
    (places, said), left = judged, LEFT[number]
    found = report_of(places[number]).findings
    fails = {(f.what.value, f.segment) for f in found if f.fails}
    assert names_in(said[places[number]]) == fails, said[places[number]]
    sure = {f.sure for f in found if f.fails and f.text.startswith("the bytes that kept leaf")}
    assert sure == {left.sure} or (not sure and left.sure is Sure.PROVEN)
    assert (What.HELD_ELSEWHERE in {f.what for f in found}, bool(fails)) == (left.held, left.missing), fails


def test_it_is_told_of_the_log_that_it_is_of_and_not_of_the_one_that_the_record_names(tmp_path: Path) -> None:
    [left] = [left for left in LEFT if left.name == "other bytes, of another epoch"]
    found = report_of(laid(tmp_path, left)).findings
    [of] = [f.of for f in found if "says other bytes of it" in f.text]
    assert [origin[-2:] for origin in of] == ["/3", "/1"]
