"""Evidence is hostile, and may hold as many of anything as fit into it: what twice as many cost is twice as much, or
little more. Counted in lines that Python executes, so that no busy machine judges.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import events
from agent.errors import UnreadableError
from agent.events import State
from agent.evidence import purged
from agent.evidence.accounts import Powered
from agent.evidence.blobs import Blob
from agent.evidence.bylog import ByLog
from agent.evidence.cosigned import tell_cosigned
from agent.evidence.epochs import heads_of, tell_epochs
from agent.evidence.epochwatch import EpochWatch
from agent.evidence.findings import Finding, What
from agent.evidence.gaps import tell_recordings
from agent.evidence.given import Given
from agent.evidence.heads import Head
from agent.evidence.held import Deleted, Elsewhere, Of
from agent.evidence.histories import Beside
from agent.evidence.loghashes import LogHashes
from agent.evidence.logview import LogView
from agent.evidence.offtime import bound_by_receipts
from agent.evidence.purged import CheckedPurge, Purged
from agent.evidence.silence import Silence, settle, tell_unsigned
from agent.evidence.sources import Scope
from agent.evidence.tail import tell_tail
from agent.evidence.trust import Trust
from agent.evidence.unreadfiles import UnreadFiles
from agent.evidence.unreadnotes import UnreadNotes
from agent.evidence.watch import Announced, LogWatch, RecordingState
from agent.formats.epoch import Link, Why
from agent.formats.leaf import Kind
from agent.formats.note import Checkpoint, Note, sign_ed25519
from agent.formats.purge import LEAST_PURGE, Gone, Purge
from agent.formats.receipt import LEAST_RECEIPT
from agent.formats.span import LEAST_ENTRY
from agent.model import NS
from tests.builders import agency
from tests.evidence.kit import only
from tests.evidence.test_accounts import HEX, Log

EVIDENCE = str(Path(__file__).parents[2] / "agent" / "evidence")
MANY = 80
MOST = 2.3
"""Of n log n with twice as many. It is 4 for a square; `MANY` are enough that what does not grow is little."""


def steps(action: Callable[[], object]) -> int:
    """How many lines of the readers it executes, each turn of a comprehension counted."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(EVIDENCE):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def grows_as_it_should(make: Callable[[int], Callable[[], object]]) -> None:
    """`make` gives, for so many, what is to be measured."""
    few, many = steps(make(MANY)), steps(make(2 * MANY))
    assert many <= MOST * few, f"{few} lines for {MANY}, {many} for {2 * MANY}"


def gaps(log: Log, number: int) -> None:
    log.beat(62 * (number + 1))


def late(log: Log, number: int) -> None:
    at = 200 * (number + 1)
    log.beat(at, late=True, boottime_ns=(at - 70) * NS, mono_ns=(at - 70) * NS)


def suspends(log: Log, number: int) -> None:
    log.slept_s += 1
    log.beat(20 * (number + 1))


def holes(log: Log, number: int) -> None:
    """Each explained by a fault of its own, and each other one by none."""
    at = 100 + 20 * number
    log.part(at)
    if number % 2:
        log.add(at + 8, Kind.EVENT, events.CameraLost("unplugged", (at + 8) * NS))
        log.add(at + 9, Kind.EVENT, events.CameraBack("there", (at + 9) * NS))


@pytest.mark.parametrize("grow", [gaps, late, suspends, holes])
def test_the_accounts_of_a_boot(grow: Callable[[Log, int], None]) -> None:
    def make(count: int) -> Callable[[], object]:
        log = Log().session(5).state(6, State.READY)
        if grow is holes:
            log.start(50)
        for number in range(count):
            grow(log, number)
        return lambda: log.book.close()[0].accounts[count // 2]

    grows_as_it_should(make)


# -- one log -------------------------------------------------------------------------------------------------------


def gone(number: int) -> str:
    return f"e{3 * number:010d}-{number:08x}"


def view_of(origin: str = "log/cam/2", **given: Any) -> LogView:
    return LogView(origin, [], LogWatch(EpochWatch(origin)), [], [], Scope.WHOLE, **given)


def deletions(count: int) -> Elsewhere:
    named = {gone(number): Deleted(f"{number:064x}", HEX, "leaf 1") for number in range(count)}
    return Elsewhere(list, lambda: [(named, Of.OWN)])


def test_gaps_of_a_spool_and_what_deletion_leaves_name() -> None:
    def make(count: int) -> Callable[[], object]:
        elsewhere = deletions(count)
        spans = [(3 * n, 3 * n + 2) for n in range(count)]
        return lambda: [list(elsewhere.runs(*span, None, "e0000000000-00000000", ())) for span in spans]

    grows_as_it_should(make)


def recording(number: int) -> RecordingState:
    return RecordingState(f"r{2 * number:010d}-{number:08x}", 2 * number, last_index=2 * number)


@pytest.mark.parametrize("settled", [True, False])
def test_recordings_without_an_end_and_sessions(settled: bool) -> None:
    def make(count: int) -> Callable[[], object]:
        view = view_of()
        view.watch.recordings = {one.recording: one for one in map(recording, range(count))}
        view.watch.session_leaves = [2 * number + 1 for number in range(count)]
        view.watch.settled = {2 * count - 1: 2 * count} if settled else {}
        return lambda: list(tell_recordings(view))

    grows_as_it_should(make)


def test_recordings_without_a_start_and_seal_leaves() -> None:
    def make(count: int) -> Callable[[], object]:
        view = view_of()
        view.scope = Scope.PICKED
        for number in range(count):
            state = replace(recording(number), started=None, last_index=-1)
            view.watch.recordings[state.recording] = state
            view.watch.announced.append(Announced(gone(number), 512, HEX, 2 * number, 2 * number + 1, 1))
            result: Any = SimpleNamespace(
                first=3 * count, end=3 * count, recording=state.recording, seq=1, lost=False, silence=Silence("")
            )
            view.results.append(result)
        return lambda: list(tell_recordings(view))

    grows_as_it_should(make)


def test_segments_without_the_identity_key_and_heads() -> None:
    def make(count: int) -> Callable[[], object]:
        results: list[Any] = [
            SimpleNamespace(
                first=number, end=number + 1, before=number, frontier=number + 1, silence=Silence("", last=number),
                session=None, findings=[], fails=False, proven=True, name="", recording=None,
            )
            for number in range(count)
        ]  # fmt: skip
        heads = [Head("log/cam/2", number + 1, b"", "", False, signer=b"") for number in range(count)]
        roots = {number + 1: b"" for number in range(count)}
        unvouched = {number + count + 1: b"" for number in range(count)}

        def run() -> None:
            settle(results, [], heads, roots)
            list(tell_unsigned(results, [], heads, roots))
            list(tell_unsigned(results, [], heads, unvouched))

        return run

    grows_as_it_should(make)


def test_leaves_that_are_not_here_and_purge_notes() -> None:
    def make(count: int) -> Callable[[], object]:
        notes: list[Any] = [
            CheckedPurge(
                Purge("s", "log/cam/2", "cam", f"r{n:010d}", 1, 2, (Gone(HEX, 512, gone(n), 3 * n, 2),), ()),
                cast(Any, SimpleNamespace(name=f"{n}")),
            )
            for n in range(count)
        ]
        of_log = Purged(notes, [], [])
        return lambda: [of_log.deleted(3 * n, 3 * n + 2) for n in range(count)]

    grows_as_it_should(make)


def test_purge_notes_and_receipts_of_one_segment() -> None:
    def make(count: int) -> Callable[[], object]:
        line: Any = SimpleNamespace(segment=gone(0), sha256=HEX, until_s=count + 1)
        told: Any = [
            SimpleNamespace(receipt=SimpleNamespace(station="s", stored=(line,), kept=(), issued_s=n))
            for n in range(count)
        ]
        note: Any = SimpleNamespace(station="s", purged_s=count + 1)
        promised = purged._promised(told)
        return lambda: [purged._broken(note, line, promised) for _ in range(count)]

    grows_as_it_should(make)


def test_kept_leaves_and_files() -> None:
    def make(count: int) -> Callable[[], object]:
        items = [
            {"segment": gone(n), "epoch": 1, "size": 512, "sha256": f"{n:064x}", "whole": False} for n in range(count)
        ]
        view = view_of(elsewhere=deletions(0))
        view.watch.epochs.link = Link(Why.BEHIND, Checkpoint("log/cam/1", 0, b""), None)
        view.watch.deleted = {gone(n): Deleted(f"{n:064x}", HEX, "leaf 1") for n in range(count)}
        files = [Blob(Path(__file__), gone(n), 0, 1) for n in range(count)]

        def run() -> None:
            assert not list(view.watch.epochs.hear_kept(0, items))
            list(tell_epochs([view], [], [], [], files, set()))

        return run

    grows_as_it_should(make)


def test_boots_and_heads_that_stations_cosigned() -> None:
    def make(count: int) -> Callable[[], object]:
        log: Any = SimpleNamespace(
            origin="log/cam/1",
            receipts=[],
            heads=[Head("log/cam/1", n + 1, b"", "", False, n) for n in range(count)],
            watch=SimpleNamespace(roots={n + 1: b"" for n in range(count)}),
        )
        stamp: Any = None
        boots = [Powered(f"{n}", stamp, stamp, n, origins=["log/cam/1"]) for n in range(count)]
        return lambda: bound_by_receipts(boots, [log])

    grows_as_it_should(make)


def test_segments_and_heads_beyond_them() -> None:
    def make(count: int) -> Callable[[], object]:
        view = view_of()
        view.heads += [Head(view.origin, count + n, b"", "", False) for n in range(count)]
        results: list[Any] = [
            SimpleNamespace(first=n, end=n + 1, proven=n % 2, name="", findings=[], silence=Silence(""))
            for n in range(count)
        ]

        def run() -> None:
            for result in results:
                view.place(result)
                assert view.end == result.end
            list(tell_tail(view))

        return run

    grows_as_it_should(make)


def test_exports_and_the_heads_in_them() -> None:
    """Each head of more leaves than any segment given has: of one log, exported recording by recording."""

    explained = Beside().without

    def make(count: int) -> Callable[[], object]:
        spans = [(3 * n, 3 * n + 2) for n in range(count)]
        head = SimpleNamespace(told="it")
        ones: list[Any] = [
            SimpleNamespace(extension=SimpleNamespace(old=3 * n + 3), name=f"{n}", head=head) for n in range(count)
        ]
        return lambda: [list(tell_cosigned(one, {}, spans, explained)) for one in ones]

    grows_as_it_should(make)
    (span,) = [(3, 5)]
    one: Any = SimpleNamespace(name="", head=SimpleNamespace(told="it"))
    whats = []
    for old in (2, 3, 4, 5, 6):
        one.extension = SimpleNamespace(old=old)
        found = only(list(tell_cosigned(one, {}, [span], explained)))
        whats.append((found.what.value, found.first, found.last))
    nothing, hidden = ("bad-head", None, None), ("unchecked", None, None)
    assert whats == [nothing, nothing, hidden, hidden, ("missing-segment", 5, 5)]


def test_leaves_of_many_segments_for_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogHashes, "_learn_head", lambda *_: None)
    monkeypatch.setattr(LogHashes, "_learn_leaves", lambda self, r: self._nodes.update({(r.first, r.end): b""}))

    def make(count: int) -> Callable[[], object]:
        results: list[Any] = [SimpleNamespace(first=n, end=n + 1, name=f"{n}", frontier=None) for n in range(count)]
        hashes = LogHashes(results)
        return lambda: [hashes.subtree(n, n + 1) for n in range(count)]

    grows_as_it_should(make)


# -- over all logs -------------------------------------------------------------------------------------------------


def test_epochs_and_heads_of_each() -> None:
    def make(count: int) -> Callable[[], object]:
        views, heads = [], []
        for number in range(1, count + 1):
            view, before = view_of(f"log/cam/{number}"), f"log/cam/{number - 1}"
            view.watch.epochs.link = Link(Why.BEHIND, Checkpoint(before, 0, b""), None) if number > 1 else None
            views.append(view)
            heads.append(Head(view.origin, 1, b"", "", False))

        def run() -> None:
            given = ByLog(Given(heads=heads))
            for view in views:
                given.follows(view)
                assert heads_of(given.of(view.origin).following) == []
            assert not list(tell_epochs(views, heads, [], [], [], set()))

        return run

    grows_as_it_should(make)


def logs_that_kept(count: int) -> list[LogView]:
    """By epoch: each begins with a `kept` leaf of a whole segment of the one before it, and has a sealed one itself, of
    which its next one says other bytes.
    """
    views = []
    for number in range(1, count + 1):
        view, before = view_of(f"log/cam/{number}"), f"log/cam/{number - 1}"
        closed = SimpleNamespace(is_open=False)
        sealed: Any = SimpleNamespace(name=gone(number), sealed=True, blob=closed, marks=[], first=0, end=0)
        view.results.append(sealed)
        if number > 1:
            named = {"segment": gone(number - 1), "epoch": number - 1, "size": 30720, "sha256": HEX, "whole": True}
            view.watch.epochs.link = Link(Why.BEHIND, Checkpoint(before, 0, b""), None)
            assert not list(view.watch.epochs.hear_kept(0, [named]))
        views.append(view)
    return views


def test_logs_that_kept_something_and_segments_of_each() -> None:
    def make(count: int) -> Callable[[], object]:
        views = logs_that_kept(count)

        def run() -> None:
            whats = [finding.what for finding in tell_epochs(views, [], [], [], [], set())]
            assert whats == [What.EPOCH] * (count - 1)

        return run

    grows_as_it_should(make)


@pytest.mark.parametrize(("sha256", "told"), [(HEX, What.HELD_ELSEWHERE), ("cd" * 32, What.EPOCH)])
def test_logs_that_kept_something_and_receipts_of_each(sha256: str, told: What) -> None:
    def make(count: int) -> Callable[[], object]:
        views, receipts = logs_that_kept(count), list[Any]()
        for number, view in enumerate(views, 1):
            view.results.clear()
            view.elsewhere = Elsewhere(list, list)
            line = SimpleNamespace(segment=gone(number), sha256=sha256, size=9, entries=0)
            said = SimpleNamespace(station="s", camera="cam", origin=view.origin, stored=(line,), kept=())
            receipts.append(SimpleNamespace(receipt=said, at_home=False, head=SimpleNamespace(size=9)))

        def run() -> None:
            whats = [finding.what for finding in tell_epochs(views, [], [], receipts, [], set())]
            assert whats == [told] * (count - 1)

        return run

    grows_as_it_should(make)


@pytest.mark.parametrize("gone_too", [False, True])
def test_kept_leaves_of_one_segment_and_what_logs_and_receipts_say_of_it(gone_too: bool) -> None:
    def make(count: int) -> Callable[[], object]:
        views, receipts = [view_of(f"log/cam/{number}") for number in range(1, count + 1)], list[Any]()
        last = views[-1]
        last.watch.epochs.link = Link(Why.BEHIND, Checkpoint("log/cam/1", 0, b""), None)
        last.elsewhere = Elsewhere(list, list)
        whole = {"segment": gone(0), "epoch": 1, "size": 30720, "whole": True}
        items = [whole | {"sha256": f"{n:064x}"} for n in range(count)]
        assert not list(last.watch.epochs.hear_kept(0, items))
        for number, view in enumerate(views[:-1]):
            line = SimpleNamespace(segment=gone(0), sha256=f"a{number:063x}", size=9, entries=0)
            lines = () if gone_too else (line,)
            said = SimpleNamespace(station="s", camera="cam", origin=view.origin, stored=lines, kept=(line,))
            receipts.append(SimpleNamespace(receipt=said, at_home=gone_too, head=SimpleNamespace(size=9)))

        def run() -> None:
            whats = [finding.what for finding in tell_epochs(views, [], [], receipts, [], set())]
            assert whats == [What.MISSING_SEGMENT if gone_too else What.EPOCH] * count

        return run

    grows_as_it_should(make)


def test_heads_and_sessions_of_a_camera() -> None:
    key = Ed25519PrivateKey.generate()
    signature = sign_ed25519("text\n", "log/cam/1", key)

    def make(count: int) -> Callable[[], object]:
        trust, signed = Trust(agency().root), Note("text\n", (signature,))
        others = [Ed25519PrivateKey.generate() for _ in range(count - 1)]
        trust._of_camera["cam"] = [cast(Any, SimpleNamespace(key=one.public_key())) for one in [*others, key]]
        return lambda: [trust.signers("log/cam/1", signed) for _ in range(count)]

    grows_as_it_should(make)


@pytest.mark.parametrize("kind", ["x{}", "e{:010d}-00000000", "r{:010d}-00000000-0000"])
def test_what_lacks_and_files_that_cannot_be_read(kind: str) -> None:
    def make(count: int) -> Callable[[], object]:
        files, view = UnreadFiles(set()), view_of()
        for number in range(count):
            name = kind.format(3 * number)
            files.add(Blob(Path(name), f"{name}.tar", 0, LEAST_ENTRY), UnreadableError("cannot read"))
        lacks = [Finding(What.MISSING_SEGMENT, "gone", first=3 * n, last=3 * n + 1) for n in range(count)]
        files.place(view)
        return lambda: files.of_log(view, lacks)

    grows_as_it_should(make)


def test_what_lacks_and_notes_that_cannot_be_read() -> None:
    def make(count: int) -> Callable[[], object]:
        unread, view = UnreadNotes(), view_of(elsewhere=deletions(0))
        for number in range(count):
            unread.add_purge(Blob(Path("x"), f"{number}.purge", 0, LEAST_PURGE))
            unread.add_receipt(Blob(Path("x"), f"{number}.receipt", 0, LEAST_RECEIPT))
        lacks = [Finding(What.MISSING_SEGMENT, "gone", gone(n), of=(view.origin,)) for n in range(count)]
        return lambda: list(unread.left_open(lacks, [view]))

    grows_as_it_should(make)
