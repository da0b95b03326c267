"""The uploader's part in time and orders: it carries, and believes nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.dock.services import AGAIN_NS, MAX_ASK, ORDERS_NS, SPREAD, Question, Services, read_question
from agent.dock.station import HaltedError, RefusedError, TryAgainError
from agent.errors import StationError
from agent.formats import age
from agent.formats.order import ENCRYPTED, MAX_ORDER, MAX_SEALED, Kind
from agent.model import NS

BOOT = "11111111-2222-3333-4444-555555555555"
ME = age.X25519Identity(bytes([7]) * 32)


class Twin:
    """A station that answers whatever the test wants."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.time: bytes | Exception = b"time"
        self.orders: dict[Kind, bytes | Exception] = {}

    def signed_time(self, nonce: str) -> bytes:
        self.asked.append(nonce)
        return given(self.time)

    def order(self, kind: Kind, asked: Question) -> bytes:
        assert asked.to == ME.recipient.to_string()
        self.asked.append(kind.value)
        return given(self.orders.get(kind, RefusedError("no order of this kind", 404)))


def given(answer: bytes | Exception) -> bytes:
    if isinstance(answer, Exception):
        raise answer
    return answer


class Side:
    """An uploader's services, with what the recorder asks and what lies in the inbox."""

    def __init__(self, root: Path) -> None:
        self.root, self.station, self.now, self.late = root, Twin(), ORDERS_NS, 0.0
        for name in ("inbox", "outbox"):
            (root / name).mkdir()
        self.services = Services(root, self.station, BOOT, lambda: self.now, lambda least, most: self.late * most)

    def ask(self, nonce: str = "0f" * 32, **changed: Any) -> None:
        value = {"v": 1, "boot": BOOT, "nonce": nonce, "recipient": ME.recipient.to_string(), **changed}
        (self.root / "outbox" / "ask.json").write_text(json.dumps(value))

    def left(self, kind: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.root / "inbox").glob(f"*.{kind}"))]


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


def test_each_question_is_answered_once(side: Side) -> None:
    side.ask()
    for _ in range(3):
        side.services.step()
    assert side.station.asked.count("0f" * 32) == 1
    assert side.left("time") == [b"time"]
    side.ask("ab" * 32)
    side.services.step()
    assert side.station.asked[-1] == "ab" * 32


def test_what_the_station_encrypted_is_left_as_it_came(side: Side) -> None:
    side.ask()
    came = sealed(b"no. 4711")
    side.station.orders = {Kind.ASSIGNMENT: came, Kind.TAGS: ENCRYPTED.ljust(MAX_SEALED + 1)}
    side.services.step()
    assert side.left("order") == [came]


def sealed(text: bytes) -> bytes:
    return age.encrypt(text, [ME.recipient]).data


def test_an_order_that_nobody_encrypted_is_not_left_on_the_card(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    """The uploader holds nothing that encrypts."""
    caplog.set_level("INFO", "bodycam.uploader")
    side.ask()
    side.station.orders = {Kind.ASSIGNMENT: b"no. 4711"}
    side.services.step()
    assert side.left("order") == []
    assert not [path for path in (side.root / "inbox").iterdir() if b"4711" in path.read_bytes()]
    assert "not encrypted" in caplog.text and "4711" not in caplog.text
    side.now += ORDERS_NS
    side.station.orders = {Kind.ASSIGNMENT: (whole := sealed(b"no. 4711"))}
    side.services.step()
    assert side.left("order") == [whole]


def test_orders_are_asked_for_once_a_minute(side: Side) -> None:
    side.ask()
    side.station.orders = {Kind.ASSIGNMENT: sealed(b"no. 4711"), Kind.TAGS: sealed(b"tags")}
    side.services.step()
    found = side.left("order")
    assert sorted(age.decrypt(data, [ME]) for data in found) == [b"no. 4711", b"tags"]
    asked = len(side.station.asked)
    side.services.step()
    assert len(side.station.asked) == asked
    side.now += ORDERS_NS
    side.services.step()
    assert len(side.station.asked) == asked + len(Kind)


def test_the_largest_order_still_fits_a_message(side: Side) -> None:
    side.ask()
    side.station.orders = {Kind.CONFIGURATION: sealed(b"x" * MAX_ORDER)}
    side.services.step()
    assert len(side.left("order")[0]) <= 64 << 10


@pytest.mark.parametrize(
    ("error", "after_ns"),
    [
        (TryAgainError("away", away=True), AGAIN_NS),
        (RefusedError("no", 403), ORDERS_NS),
        (HaltedError("undocked"), AGAIN_NS),
    ],
)
def test_a_station_that_does_not_answer_is_asked_again_later(side: Side, error: StationError, after_ns: int) -> None:
    side.ask()
    side.station.time = error
    for _ in range(5):
        side.services.step()
    assert side.station.asked.count("0f" * 32) == 1
    side.station.time = b"time"
    side.now += after_ns - 1
    side.services.step()
    assert side.left("time") == []
    side.now += 1
    side.services.step()
    assert side.left("time") == [b"time"]


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_station_that_says_when_to_come_back_is_left_alone_until_then_and_by_each_camera_a_little_longer(
    side: Side, late: float
) -> None:
    side.ask()
    side.late = late
    side.station.time = TryAgainError("busy", retry_after_s=77)
    side.services.step()
    assert side.station.asked == ["0f" * 32]
    waits_ns = round(77 * NS * (1 + SPREAD * late))
    side.now += waits_ns - 1
    side.services.step()
    assert side.station.asked == ["0f" * 32]
    side.now += 1
    side.services.step()
    assert side.station.asked[1] == "0f" * 32


def test_what_many_cameras_ask_for_at_intervals_is_asked_for_at_different_moments(tmp_path: Path) -> None:
    due = set()
    for number in range(20):
        (root := tmp_path / str(number)).mkdir()
        side = Side(root)
        side.services = Services(root, side.station, BOOT, lambda side=side: side.now)
        side.ask()
        side.services.step()
        asked = len(side.station.asked)
        while len(side.station.asked) == asked:
            side.now += NS
            side.services.step()
        due.add(side.now)
    assert len(due) > 5


def test_an_order_that_fails_keeps_no_time_away(side: Side) -> None:
    side.ask()
    side.station.orders = {Kind.ASSIGNMENT: TryAgainError("away")}
    side.services.step()
    assert side.left("time") == [b"time"]


@pytest.mark.parametrize(
    "error",
    [
        TryAgainError("500"),
        TryAgainError("507", retry_after_s=30, overrun=True),
        RefusedError("no", 403),
        StationError("too long"),
        ValueError("a surrogate"),
    ],
)
@pytest.mark.parametrize("bad", Kind)
def test_a_kind_of_order_that_fails_keeps_no_other_away(side: Side, bad: Kind, error: Exception) -> None:
    """Nor is a station that said when to come back asked anything before; then the others have their turn first."""
    side.ask()
    side.station.orders = {kind: sealed(kind.value.encode()) for kind in Kind} | {bad: error}
    side.services.step()
    retry_s = getattr(error, "retry_after_s", 0)
    if retry_s:
        asked = len(side.station.asked)
        assert side.station.asked[-1] == bad.value
        side.now += retry_s * NS - 1
        side.services.step()
        assert len(side.station.asked) == asked
        side.now += 1
        side.services.step()
    assert {age.decrypt(data, [ME]).decode() for data in side.left("order")} == {k.value for k in Kind} - {bad.value}
    # What came is asked for once a minute all the same, and the bad one again and again.
    for _ in range(60):
        side.now += NS
        side.services.step()
    asked_of = {kind: side.station.asked.count(kind.value) for kind in Kind}
    assert all(count == 2 for kind, count in asked_of.items() if kind is not bad)
    assert asked_of[bad] == 2 if isinstance(error, RefusedError) else asked_of[bad] >= 3


@pytest.mark.parametrize("of", [RefusedError, StationError, ValueError])
def test_what_fails_again_and_again_is_in_the_journal_once_each_with_its_own_words(
    side: Side, of: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """As of a camera that was revoked."""
    caplog.set_level("INFO", "bodycam.uploader")
    side.ask()
    side.station.time = of("403 to POST /time")
    side.station.orders = {kind: of(f"403 to GET /orders/{kind.value}") for kind in Kind}
    for _ in range(600):
        side.now += NS
        side.services.step()
    assert len(caplog.records) == 1 + len(Kind)
    if of is RefusedError:
        assert len(side.station.asked) == 10 * (1 + len(Kind))


def test_one_that_nobody_answers_ends_the_round(side: Side) -> None:
    side.ask()
    side.station.orders = {next(iter(Kind)): TryAgainError("no answer", away=True)}
    for _ in range(3):
        side.services.step()
    assert side.station.asked == ["0f" * 32, next(iter(Kind)).value]


def test_an_endless_answer_is_not_left(side: Side) -> None:
    side.ask()
    side.station.time = b"x" * 5000
    side.services.step()
    side.now += AGAIN_NS
    side.station.time = b"time"
    side.station.orders = {Kind.TAGS: ENCRYPTED.ljust(MAX_SEALED + 1)}
    side.services.step()
    assert (side.left("time"), side.left("order")) == ([b"time"], [])


@pytest.mark.parametrize(
    "changed",
    [
        {"boot": "another"}, {"nonce": "0F" * 32}, {"nonce": 5}, {"nonce": "0f" * 33}, {"recipient": "age1x"},
        {"recipient": None}, {"recipient": "age1" + "q" * 58}, {"pinned": 5}, {"pinned": [5]}, {"pinned": None},
    ],
)  # fmt: skip
def test_a_question_that_is_none_is_not_asked(side: Side, changed: dict[str, Any]) -> None:
    side.ask(**changed)
    side.services.step()
    assert side.station.asked == []


@pytest.mark.parametrize("data", [b"", b"[]", b"5", b"{" * MAX_ASK, b"\xff"])
def test_a_damaged_question_is_none(side: Side, data: bytes) -> None:
    (side.root / "outbox" / "ask.json").write_bytes(data)
    assert read_question(side.root / "outbox", BOOT) is None


def test_without_a_question_nobody_is_asked(side: Side) -> None:
    side.services.step()
    assert side.station.asked == []
