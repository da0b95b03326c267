"""A station that is overrun or full, and says so for as long as the storm lasts: one uploader lives through it, asks no
more often than it may, and delivers all when the storm is over. The waits are spent in simulated time.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent.dock import visit
from agent.dock.outgoing import Outgoing
from agent.dock.presence import AlwaysPresence
from agent.dock.report import Inbox
from agent.dock.transport import HttpStation
from agent.dock.wire import Credentials
from agent.model import NS, SegmentState
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from agent.station.web import Refused, request_of
from agent.uploader import Uploader
from tests import campaigns
from tests.camera_kit import CAMERA, Desk, FakeClock
from tests.dock.spaces import filled
from tests.station.kit import own_agency
from tests.test_uploader import check_delivered, progress, until
from tests.uploader_child import PARALLEL

LASTS_S = 900.0
"""As the uploader's clock has it."""
RETRY_AFTER_S = 30
BEGINS = {"log": "/log/", "segments": "/files", "receipt": "/attest"}
"""With the first request whose path begins so."""
STORMS = [
    (503, RETRY_AFTER_S, "segments"), (429, RETRY_AFTER_S, "log"), (507, RETRY_AFTER_S, "receipt"), (503, 0, "log"),
    (503, RETRY_AFTER_S, "log"), (503, RETRY_AFTER_S, "receipt"), (503, 0, "segments"), (503, 0, "receipt"),
    (429, RETRY_AFTER_S, "segments"), (429, RETRY_AFTER_S, "receipt"), (429, 0, "segments"),
    (507, RETRY_AFTER_S, "log"), (507, RETRY_AFTER_S, "segments"), (507, 0, "segments"),
]  # fmt: skip
"""What is answered, the seconds of Retry-After (0: none is sent), with what it begins."""
ROWS = campaigns.size(sample=3, full=len(STORMS))
SEED = 20_263


class Hourglass(FakeClock):
    """Time passes by being waited for."""

    def halt(self) -> threading.Event:
        return _Halt(self)


class _Halt(threading.Event):
    def __init__(self, glass: Hourglass) -> None:
        super().__init__()
        self._glass = glass

    def wait(self, timeout: float | None = None) -> bool:
        self._glass.now_ns += round((timeout or 0.0) * NS)
        return self.is_set()


class Storm:
    """Stands before a station's application: from a first request on, and for so long, all are refused."""

    def __init__(self, app: Callable[..., Any], answer: tuple[int, int, str], glass: Hourglass) -> None:
        self._app, self._glass = app, glass
        self._status, self._retry_after_s, begins = answer
        self._begins = BEGINS[begins]
        self._ends_ns: int | None = None
        self._lock = threading.Lock()
        self.refused_ns: list[int] = []
        self.served: Counter[str] = Counter()

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Any:
        path, now_ns = str(environ["PATH_INFO"]), self._glass.now_ns
        with self._lock:
            if self._ends_ns is None and path.startswith(self._begins):
                self._ends_ns = now_ns + round(LASTS_S * NS)
            if raging := self._ends_ns is not None and now_ns < self._ends_ns:
                self.refused_ns.append(now_ns)
            else:
                self.served[path.split("/")[1]] += 1
        if not raging:
            return self._app(environ, start_response)
        headers = {"Retry-After": str(self._retry_after_s)} if self._retry_after_s else {}
        request_of(environ, CAMERA).body.drain()
        return Refused(self._status, "come back later", headers).response().start(start_response)


class Docked:
    """One uploader at the dock, with the connections it made: it is begun once, and never again."""

    def __init__(self, paths: AgencyPaths, desk: Desk, url: str, glass: Hourglass) -> None:
        keys, self.visits, self._stop = paths.camera(CAMERA), 0, threading.Event()
        self._credentials, self._url = Credentials(paths.trust_root, keys.tls_chain, keys.tls_key), url
        made = Uploader(
            Outgoing(desk.root),
            Inbox(desk.spool.inbox_dir, glass.monotonic_ns),
            AlwaysPresence(),
            self._connect,
            glass,
            PARALLEL,
            halts=glass.halt,
        )
        self._thread = threading.Thread(target=made.run, args=(self._stop,))

    def _connect(self, halt: threading.Event) -> HttpStation:
        self.visits += 1
        return HttpStation(self._url, self._credentials, halt)

    def __enter__(self) -> Docked:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def stormy(paths: AgencyPaths, answer: tuple[int, int, str], glass: Hourglass) -> Iterator[tuple[str, Storm]]:
    """The embedded station, over TLS, and the storm before it."""
    station = Station(paths.root)
    server: Any = station._server
    server.wsgi_app = storm = Storm(server.wsgi_app, answer, glass)
    url = station.start()
    try:
        yield url, storm
    finally:
        station.stop()


@pytest.mark.campaign
@pytest.mark.parametrize("row", range(ROWS))
def test_one_uploader_lives_through_a_storm_asks_no_more_than_it_may_and_then_delivers_all(
    agency: AgencyPaths,
    desk: Desk,
    tmp_path: Path,
    row: int,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    campaign = campaigns.Campaign("networks-storms", row, ROWS)
    request.addfinalizer(partial(random.setstate, random.getstate()))
    random.seed(SEED + row)
    status, retry_after_s, _ = STORMS[row]
    paths, glass = own_agency(agency, tmp_path / "agency"), Hourglass()
    filled(desk)
    caplog.set_level("INFO", "bodycam.uploader")
    with stormy(paths, STORMS[row], glass) as (url, storm), Docked(paths, desk, url, glass) as docked:
        until("delivered", lambda: progress(desk).get("state") == "delivered")
    assert docked.visits == 1
    check_delivered(desk, paths)
    told = [record.getMessage() for record in caplog.records]
    assert any(t.startswith("waiting: ") and f"answers {status} to" in t for t in told), told
    assert not any(t.startswith(("refused", "unreachable")) for t in told), told
    at_once, gaps = _gaps(storm.refused_ns)
    assert max(at_once) <= PARALLEL
    least_s = retry_after_s or 0.0
    most_s = least_s * (1 + visit.SPREAD) + 2 * visit.MAX_WAIT_S
    assert least_s <= min(gaps) and max(gaps) <= most_s, gaps
    # Full jitter: no two waits are alike.
    assert len(set(gaps)) == len(gaps) >= 10
    # A wait takes least_s and more at random; without a Retry-After half of MAX_WAIT_S on the average.
    bound = PARALLEL * (LASTS_S / (least_s or visit.MAX_WAIT_S / 4) + 1)
    assert len(storm.refused_ns) <= bound
    # And beside it no more is asked about segments than each takes, and one more time for each that a refusal cut off.
    segments = len(desk.spool.records(SegmentState.SEALED))
    assert storm.served["files"] <= 1 + 3 * segments + PARALLEL
    campaign.finish(
        storms=1, refusals=len(storm.refused_ns), worst_refusals=len(storm.refused_ns), uploaders=docked.visits,
        segments=segments, simulated_s=round(LASTS_S),
    )  # fmt: skip


def _gaps(moments_ns: list[int]) -> tuple[list[int], list[float]]:
    """How many came at each moment, and the seconds between moments. (A reading of the clock moves it by
    a microsecond.)
    """
    at_once, gaps = [1], list[float]()
    for before, after in pairwise(sorted(moments_ns)):
        if after - before < NS // 100:
            at_once[-1] += 1
        else:
            at_once.append(1)
            gaps.append((after - before) / NS)
    return at_once, gaps
