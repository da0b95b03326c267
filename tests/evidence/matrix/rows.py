"""The tamper matrix: all rows, and the page that shows them (docs/tamper-matrix.md).

python -m tests.evidence.matrix.rows > docs/tamper-matrix.md
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.evidence.findings import NOTES, Sure
from tests.evidence.matrix import beside, later, leaf, outside, places, purges, sealed, signed
from tests.evidence.matrix.case import Expect, Row
from tests.evidence.shown_kit import COLOURED, OTHER_PACKETS, SHOWN
from tests.evidence.test_cosigned import TABLE as COSIGNED
from tests.evidence.test_films import CHANGES as MP4_CHANGES
from tests.evidence.test_ranges import TABLE
from tests.evidence.test_rewrap import TABLE as REWRAPPED

ROWS: list[Row] = [
    *sealed.ROWS, *leaf.ROWS, *signed.ROWS, *places.ROWS, *outside.ROWS, *beside.ROWS, *later.ROWS, *purges.ROWS,
]  # fmt: skip

HEAD = """# The tamper matrix

Each row is a change to evidence, what it takes, and everything that `bodycam-evidence verify` says against it: the
finding's name, the segment, the leaves, the part, and how sure it is where that is less than proven. No other failure
is told. Every failure also says when, and which parts its leaves are: `tests/evidence/test_matrix_when.py` holds that
against the life itself, and names the few that cannot, with reasons. The rows are data (`tests/evidence/matrix/`).
`tests/evidence/test_matrix.py` makes each change, holds the verifier to its row, and holds this page to the rows;
`tests/independent/` shows the same files to the verifier written in another language. Of each row, also of a range, it
says the same names, of the same segments, and no other, but for one: of `archive: end: another archive after it` it
says `inserted-bytes` and stops, as the page lets it (`tests/independent/test_agreement.py`). It is given the key and
the MP4 where a row needs them;
`tests/evidence/test_matrix_campaign.py` makes changes at random, `tests/evidence/test_gone_campaign.py` such to purge
notes, kept lines and receipts that say which leaves a segment holds. `tests/evidence/test_verify_sh_matrix.py` runs
docs/verify.sh over the rows without a key: it refuses what is refused here, but for the rows listed there, each about
something that the script's own head says it does not look at.

The life that is changed: E0, events (leaf 0 session, 1 start); A0, the recording A (2 seal, 3 to 5 parts 0 to 2); A1
(6 seal, 7 to 9 parts 3 to 5, 10 stop); E1 (11 seal, 12 a mark, 13 start); B0, the recording B (14 seal, 15 and 16 parts
0 and 1, 17 stop); E2 (18 seal, 19 shutdown). N0 is the first segment of an epoch that begins after it. S3 is the first
segment of the second session of another life, of as many recordings as its hardware counted.

"Nothing" stands where the evidence verifies and no finding is due: what was asked for is proven, and whatever came
later is not asked. A note is no failure. `unreadable` has no row: no change of a byte makes it, but a disk that does
not give one (`tests/evidence/test_unread.py`).
"""
WHOLE = """
## The proof of a whole recording

What leads from its segments to a head that a station cosigned, in an export whose recording ended before that head
(`tests/evidence/test_cosigned.py`). Each is found by the verifier in another language too.

| change | finding |
| --- | --- |
"""
RANGES = """
## The proof of a range

What an export of some parts holds, changed member by member (`tests/evidence/test_ranges.py`, which also changes every
proving member at its first, middle and last byte; `tests/evidence/test_range_when.py` holds when and which part against
the life).

| change | finding |
| --- | --- |
"""
FILM = """
## The MP4 of an export

Against the SHA-256 in the proof beside it, whichever of the two files is given; with the agency's key every packet is
compared too, so that a film and a report made to fit each other are found (`tests/evidence/test_films.py`). The
verifier in another language finds each too, and has `ffprobe` take both films apart.

| change | finding |
| --- | --- |
"""
SHOWN_HEAD = """
### With the key, and a report made to fit

The same packets, shown otherwise (`tests/evidence/test_shown.py`, of a whole recording and of a piece, and
`test_shown_colours.py`; `tests/independent/test_wholes.py`), and other packets (`tests/independent/test_ranges.py`).

| change | finding |
| --- | --- |
"""
COURT = """
## A range rewrapped for a court

What its holder may change without the agency's key (`tests/evidence/test_rewrap.py`). What is found with a key only is
what the new header and its file key give away to a holder of one; given it, the verifier in another language finds each
too.

| change | found | finding |
| --- | --- | --- |
"""


def page() -> str:
    """The whole page."""
    things = list(dict.fromkeys(row.thing for row in ROWS))
    parts = [HEAD]
    for thing in things:
        parts.append(f"\n## {thing[0].upper()}{thing[1:]}\n\n| change | takes | findings |\n| --- | --- | --- |\n")
        parts += [f"| {r.change} | {r.takes} | {'; '.join(map(_told, r.finds)) or 'nothing'} |\n" for r in of(thing)]
    whole = [f"| {change} | `{what.value}`: {text} |\n" for change, _, what, text in COSIGNED]
    whole.append("| all of it removed, with the receipts | note `tail-unproven` |\n")
    ranges = [f"| {change} | `{what.value}`: {text} |\n" for change, _, what, text in TABLE]
    rewrapped = [
        f"| {change.__name__.replace('_', ' ')} | {'without a key' if bare else 'with a key'} | {text} |\n"
        for change, bare, text in REWRAPPED
    ]
    films = [f"| {change} | `altered-export` |\n" for change, _ in MP4_CHANGES]
    films.append("| that of a piece beside the proof of the whole, whose report says so | `altered-export` |\n")
    shown = [f"| {change} | `altered-export`: {words} |\n" for change, _, words in (*OTHER_PACKETS, *SHOWN, *COLOURED)]
    return "".join([*parts, WHOLE, *whole, RANGES, *ranges, COURT, *rewrapped, FILM, *films, SHOWN_HEAD, *shown])


def of(thing: str) -> Iterator[Row]:
    return (row for row in ROWS if row.thing == thing)


def _told(expect: Expect) -> str:
    words = [f"{'note ' if expect.what in NOTES else ''}`{expect.what.value}`"]
    if expect.at:
        words.append("another segment" if expect.at == "any" else expect.at)
    if expect.first is not None:
        one = expect.last in (None, expect.first)
        words.append(f"leaf {expect.first}" if one else f"leaves {expect.first} to {expect.last}")
    if expect.part is not None:
        words.append(f"part {expect.part}")
    if expect.sure is not Sure.PROVEN:
        words.append(expect.sure.value)
    return ", ".join(words)


if __name__ == "__main__":
    print(page(), end="")
