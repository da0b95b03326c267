"""Answers made to break whoever reads them: each ends in an error of ours, whatever was asked, and nothing is kept of
them.
"""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.dock.services import Question
from agent.dock.station import RefusedError, TryAgainError
from agent.dock.transport import HttpStation
from agent.dock.uploads import Uploads
from agent.dock.wire import retry_after_s
from agent.formats.merkle import TileId
from agent.formats.order import Kind
from agent.station.layout import AgencyPaths
from tests.dock.rogue import Reply
from tests.dock.test_transport import RECORD, lying, paths, segment

__all__ = ["paths", "segment"]

MOST_BYTES = 4 << 20

ASKED: dict[str, Callable[[HttpStation, Path], object]] = {
    "log_state": lambda s, _: s.log_state(1),
    "cosigned_head": lambda s, _: s.cosigned_head(1),
    "put_tile": lambda s, _: s.put_tile(1, TileId(0, 0, 1), bytes(32)),
    "put_chain": lambda s, _: s.put_chain(1, b"chain"),
    "add_checkpoint": lambda s, _: s.add_checkpoint(0, [], b"note"),
    "send": lambda s, path: s.send(RECORD, path, lambda _: None),
    "attest": lambda s, _: s.attest(1, [RECORD]),
    "signed_time": lambda s, _: s.signed_time("0" * 64),
    "order": lambda s, _: s.order(Kind.TAGS, Question("0" * 64, "age1")),
}

BODIES = {
    "a number without end": b'{"cosigned": 1e999, "proven": -1e999, "newest": 1e999, "receipt": 1e999, "refused": {}}',
    "a huge number": b'{"cosigned": 1%s, "proven": 0, "receipt": "", "refused": {"x": 1%s}}' % (b"0" * 400, b"0" * 400),
    "a number too long to read": b'{"cosigned": %s}' % (b"9" * 5000),
    "no number": b'{"cosigned": NaN, "proven": true, "newest": "1", "receipt": NaN, "refused": NaN}',
    "nested": b'{"cosigned": %s%s, "receipt": "x", "refused": {"x": {"reason": %s%s, "permanent": true}}}'
    % (b"[" * 950, b"]" * 950, b"[" * 950, b"]" * 950),
    "nested too deep": b"[" * 100_000,
    "half a character": b'{"receipt": "\\ud800", "refused": {"\\ud800": {"reason": "\\ud800", "permanent": true}}}',
    "a list": b"[]",
    "lists": b'{"cosigned": [], "proven": [], "receipt": [], "refused": []}',
    "reasons that are none": b'{"receipt": "x", "refused": {"x": {"reason": {}, "permanent": 1}}}',
    "no text": b"\xff\xfe\x00",
    "nothing": b"",
}

HEADERS = {
    "no address": {"Location": "https://["},
    "an address of no port": {"Location": "https://127.0.0.1:x/"},
    "an address with half a name": {"Location": "https://\xff:99999999/\x01"},
    "an offset in other digits": {"Upload-Offset": "²", "Upload-Length": "²"},
    "an offset without end": {"Upload-Offset": "9" * 5000},
    "a zone that no clock has": {"Retry-After": "Mon, 01 Jan 2026 00:00:00 +999999999999"},
    "a year that no clock has": {"Retry-After": "Mon, 01 Jan 0001 00:00:00 -0000"},
    "a length that is none": {"Content-Length": "-1"},
    "a length too long to read": {"Content-Length": "9" * 5000},
}

STATUSES = (200, 201, 307, 503)


@pytest.mark.wide
@pytest.mark.parametrize("asked", ASKED)
def test_no_answer_ends_in_anything_but_a_word_or_an_error_of_ours(
    paths: AgencyPaths, segment: Path, asked: str
) -> None:
    told = Reply(200, {})
    with lying(paths, lambda method, path: told) as station:
        for headers in ({}, *HEADERS.values()):
            for status in STATUSES:
                for body in BODIES.values() if not headers and status == 200 else (b"x",):
                    told = Reply(status, {**headers, "Connection": "close"}, body)
                    with contextlib.suppress(TryAgainError, RefusedError):
                        ASKED[asked](station, segment)


def peak_bytes(station: HttpStation) -> int:
    """Of a question that gets no answer."""
    tracemalloc.start()
    try:
        with pytest.raises((TryAgainError, RefusedError)):
            station.log_state(1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("location", ["https://[", "https://127.0.0.1:9/", "/elsewhere"])
def test_a_redirect_is_not_followed_and_what_comes_with_it_not_read(paths: AgencyPaths, location: str) -> None:
    told = Reply(307, {"Location": location}, bytes(24 << 20))
    with lying(paths, lambda method, path: told) as station:
        assert peak_bytes(station) < MOST_BYTES


def test_a_chunk_of_negative_length_is_not_read_to_the_end(paths: AgencyPaths) -> None:
    told = Reply(200, {"Transfer-Encoding": "chunked", "Connection": "close"}, b"-1\r\n" + bytes(24 << 20))
    with lying(paths, lambda method, path: told) as station:
        assert peak_bytes(station) < MOST_BYTES


def test_nothing_is_remembered_for_a_station_that_wants_it(paths: AgencyPaths) -> None:
    """Each answer could leave 6 MiB of cookies, under names of its own."""
    came: list[str | None] = []

    def script(method: str, path: str, headers: dict[str, str], length: int) -> Reply:
        came.append(headers.get("Cookie"))
        return Reply(404, {"Set-Cookie": f"c{len(came)}={'x' * 60_000}; Path=/"})

    with lying(paths, script) as station:
        for _ in range(3):
            with pytest.raises(RefusedError):
                station.log_state(1)
    assert came == [None] * 3


def test_a_damaged_memory_of_where_it_was_sent_costs_a_new_upload(
    paths: AgencyPaths, segment: Path, tmp_path: Path
) -> None:
    for url in ("https://[", "\\ud800"):
        uploads = Uploads()
        with lying(paths, lambda method, path: Reply(503, {})) as station:
            station._uploads = uploads
            uploads.remember(station._wire.base, RECORD, url)
            with pytest.raises(TryAgainError):
                station.send(RECORD, segment, lambda _: None)


@pytest.mark.parametrize("text", [h["Retry-After"] for h in HEADERS.values() if "Retry-After" in h] + ["", "-1", "1e9"])
def test_a_time_to_come_back_that_is_none_is_none(text: str) -> None:
    assert retry_after_s(text, lambda: 1e12) == 0.0
