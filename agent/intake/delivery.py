"""The ring and its one reader: encoded packets in, and from a wanted instant on to whoever is attached.

The flush of the ring and the live stream are one: the reader's place in the ring is a serial number, so nothing can be
lost or doubled at a seam. A sink that is slow is carried by the ring until that is full.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.errors import AgentError, DeviceError, reason
from agent.headway import waited
from agent.media.prebuffer import MAX_SECONDS, Prebuffer, Start
from agent.model import NS, VIDEO_HZ, EncodedPacket, Track

Sink = Callable[[EncodedPacket], None]
BATCH = 64
FIRST_KEY_S = 5.0
GIVEN = 256
"""More pictures than lie between now and the furthest stamp in the future that is believed."""


@dataclass(slots=True)
class Tally:
    """Pictures between the first one that a sink is to have and its stop: those that came out of the encoder and are
    the sink's to have, those that did not get there or that a slow sink has cost, and those left out on purpose, at a
    lower rate. `first_pts` is that first one's; `newest_ns` is when the last was that came out of the encoder. Of what
    the sink was to have at its end, it did not take `untaken_ns`.
    """

    first_pts: int
    encoded: int
    dropped: int
    left_out: int = 0
    newest_ns: int = 0
    untaken_ns: int = 0

    @property
    def captured(self) -> int:
        return self.encoded + self.dropped + self.left_out

    def lose(self, pictures: int) -> None:
        """So many that were encoded do not come to the sink."""
        self.encoded -= pictures
        self.dropped += pictures

    def miss(self, pictures: int, on_purpose: bool) -> None:
        """So many more, or fewer, that did not get to the encoder."""
        if on_purpose:
            self.left_out += pictures
        else:
            self.dropped += pictures


@dataclass(frozen=True, slots=True)
class _Missed:
    """Pictures that did not get to the encoder."""

    pts_ns: int
    pictures: int
    on_purpose: bool


@dataclass(slots=True)
class _Reader:
    """Where the attached sink is in the ring."""

    sink: Sink
    tally: Tally
    start: Start
    cursor: int
    until_ns: int | None = None
    last_call: bool = False
    lost_video: bool = False
    skipped: int = 0
    skipped_ns: int = -(1 << 62)
    """When the last picture was that was left out up to a key frame, and is counted as lost."""
    handled: int = 0
    """Pictures that were read from the ring, or are known to be lost."""
    published: int = 0
    """Those that were to be read, so far."""
    error: AgentError | None = None
    closed: bool = False
    given: deque[int] = field(default_factory=lambda: deque(maxlen=GIVEN))
    """When the last pictures were that the sink has, in nanoseconds."""
    in_sink: threading.Lock = field(default_factory=threading.Lock)
    done: threading.Event = field(default_factory=threading.Event)

    def reaches(self, pts_ns: int) -> bool:
        return self.until_ns is None or pts_ns < self.until_ns


class Delivery:
    """Two encoders publish, one thread delivers. `on_lost` hears how many packets a sink that was too slow has cost,
    and then how many pictures were left out after those, up to the next key frame; `on_caught_up` that it is no longer
    behind after that, or is let go of, `on_failed` that it raised; all on the delivery thread.
    """

    def __init__(
        self,
        ring: Prebuffer,
        tracks: set[Track],
        on_lost: Callable[[int], None],
        on_caught_up: Callable[[], None],
        on_failed: Callable[[AgentError], None],
    ) -> None:
        self._ring, self._on_lost, self._on_caught_up, self._on_failed = ring, on_lost, on_caught_up, on_failed
        self._behind = False
        self._changed = threading.Condition()
        self._reached_ns: dict[Track, int] = dict.fromkeys(tracks, -(1 << 62))
        self._open = set(tracks)
        self._missed: deque[_Missed] = deque()
        self._reader: _Reader | None = None
        self._kept: tuple[int, int] | None = None
        """Since when nothing is too old for the ring, and the serial that this begins with."""
        self._stopping = self._wiped = False
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, deadline_s: float) -> bool:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def wipe(self) -> None:
        """The ring's memory becomes zero, and takes in nothing more."""
        with self._changed:
            self._wiped = True
            self._ring.wipe()

    def ring_state(self) -> tuple[float, int]:
        """Seconds and bytes in the ring."""
        with self._changed:
            return self._ring.seconds, self._ring.bytes_used

    def publish(self, packets: list[EncodedPacket], may_wait: bool) -> None:
        """Append to the ring. Where the sink lags by a whole ring: wait for it if `may_wait` (a clip can), else go on;
        the reader finds out what it lost.
        """
        with self._changed:
            for packet in packets:
                if may_wait:
                    self._changed.wait_for(lambda p=packet: self._has_room(p))  # type: ignore[misc]
                if self._wiped:
                    return
                self._ring.append(packet, self._keep_from())
                self._reached_ns[packet.track] = packet.pts_ns + 1
                if self._reader and packet.track is Track.VIDEO:
                    self._reader.published += 1
                    self._count(self._reader, packet.pts_ns)
            self._changed.notify_all()

    def keep(self, since_ns: int | None) -> None:
        """What comes from this instant on, and what the ring has of it, does not become too old for the ring, as long
        as there is room; None: as ever. Again is no change.
        """
        with self._changed:
            if since_ns is None:
                self._kept = None
            elif self._kept is None or self._kept[0] != since_ns:
                start = self._ring.start_at(since_ns)
                self._kept = since_ns, start.serial if start else self._ring.next_serial

    def _keep_from(self) -> int | None:
        kept = [self._kept[1]] if self._kept else []
        return min([*kept, *([self._reader.cursor] if self._reader else [])], default=None)

    @staticmethod
    def _count(reader: _Reader, pts_ns: int) -> None:
        """One more picture, which the sink is to have where it wants that far."""
        if reader.reaches(pts_ns):
            reader.tally.encoded += 1
            reader.tally.newest_ns = pts_ns

    def missed(self, pictures: int, pts_ns: int, on_purpose: bool = False) -> None:
        """So many pictures of that time did not reach the encoder. Remembered as long as the ring may reach back."""
        with self._changed:
            self._missed.append(_Missed(pts_ns, pictures, on_purpose))
            while pts_ns - self._missed[0].pts_ns > MAX_SECONDS * NS:
                self._missed.popleft()
            if self._reader and self._reader.reaches(pts_ns):
                self._reader.tally.miss(pictures, on_purpose)

    def finish(self, track: Track) -> None:
        """No more packets of this track will come."""
        with self._changed:
            self._open.discard(track)
            self._changed.notify_all()

    def attach(self, sink: Sink, since_ns: int) -> Tally:
        """Deliver from the key frame at or before `since_ns`; returns the count of its pictures, which goes on.

        Raises DeviceError where no key frame comes in time, AgentError where a sink is attached already.
        """
        with self._changed:
            if self._reader:
                raise AgentError("the intake already feeds a recording", "end that one first")
            if not self._changed.wait_for(lambda: self._ring.start_at(since_ns) is not None, FIRST_KEY_S):
                raise DeviceError("the camera gives no picture", "check its cable, then try again")
            start = self._ring.start_at(since_ns)
            assert start is not None
            first_ns = start.video_pts * NS // VIDEO_HZ
            newest_ns = max(first_ns, self._reached_ns[Track.VIDEO])
            tally = Tally(start.video_pts, self._ring.pictures_from(first_ns), 0, newest_ns=newest_ns)
            self._count_missed(tally, first_ns, 1)
            self._reader = _Reader(sink, tally, start, start.serial)
            self._reader.published = self._ring.pictures_in(start.serial)
            self._changed.notify_all()
            return tally

    def begins(self, since_ns: int) -> int | None:
        """When the picture is that `attach` would begin with now; None while there is none."""
        with self._changed:
            start = self._ring.start_at(since_ns)
        return start.video_pts * NS // VIDEO_HZ if start else None

    def detach(self, until_ns: int, deadline_s: float, still_s: float) -> bool:
        """Deliver everything captured before `until_ns`, then let go of the sink. Waits `deadline_s` for sources that
        do not get that far, then for a sink that is behind, as long as it takes something at least each `still_s`.
        False where it did not take all there was; it is not called again in any case. Raises what the sink raised.
        """
        with self._changed:
            reader = self._reader
            if reader is None:
                return True
            reader.until_ns = until_ns
            reader.tally.encoded -= self._ring.pictures_from(until_ns)
            self._count_missed(reader.tally, until_ns, -1)
            self._changed.notify_all()
        if not reader.done.wait(deadline_s):
            with self._changed:
                reader.last_call = True
                self._changed.notify_all()
            waited(reader.done.wait, lambda: reader.cursor, still_s)
        # What the sink feeds may be closed next: not while it is being called, and it must not be called again.
        free = reader.in_sink.acquire(timeout=deadline_s)
        reader.closed = True
        if free:
            reader.in_sink.release()
        with self._changed:
            # A driver may stamp a little in the future: what was recorded before the stop was known is recorded.
            reader.tally.encoded += sum(pts_ns >= until_ns for pts_ns in list(reader.given))
            if reader.error or not reader.done.is_set():
                self._leave(reader, until_ns)
            self._reader = None
            self._changed.notify_all()
        if reader.error:
            raise reader.error
        return reader.done.is_set()

    def _leave(self, reader: _Reader, until_ns: int) -> None:
        """What is captured and not with the sink does not come to it. Where it failed, another one may have it."""
        given, tally = list(reader.given), reader.tally
        from_ns = given[-1] + 1 if given else tally.first_pts * NS // VIDEO_HZ
        if self._pictures(from_ns, until_ns):
            tally.untaken_ns = min(until_ns, self._reached_ns[Track.VIDEO]) - from_ns
            if not reader.error:
                tally.lose(self._pictures(max(from_ns, reader.skipped_ns + 1), until_ns))

    def _pictures(self, from_ns: int, until_ns: int) -> int:
        """So many between these are in the ring."""
        return max(0, self._ring.pictures_from(from_ns) - self._ring.pictures_from(until_ns))

    def _count_missed(self, tally: Tally, from_ns: int, sign: int) -> None:
        for missed in self._missed:
            if missed.pts_ns >= from_ns:
                tally.miss(sign * missed.pictures, missed.on_purpose)

    def _has_room(self, packet: EncodedPacket) -> bool:
        reader = self._reader
        if self._stopping or reader is None or reader.done.is_set():
            return True
        return self._ring.would_evict(len(packet.data)) <= reader.cursor

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                reader = self._reader
                if self._stopping:
                    break
                assert reader is not None
                batch = list(self._ring.read(reader.cursor, BATCH))
                ended = not batch
                before = self._published_before(reader, batch[0][0]) if batch else 0
            try:
                self._deliver(reader, batch, before)
            except Exception as err:
                told = f"{type(err).__name__}: {reason(err)}"
                reader.error = err if isinstance(err, AgentError) else AgentError(told)
                self._on_failed(reader.error)
            # One that was let go of while it stood still is behind no more, either.
            over = ended or reader.error is not None or reader.closed
            if over or reader.cursor == self._ring.next_serial:
                self._catch_up(reader, over)
            if ended or reader.error:
                reader.done.set()
            with self._changed:
                self._changed.notify_all()
        self._catch_up(reader, over=True)

    def _catch_up(self, reader: _Reader | None, over: bool) -> None:
        """Nothing more waits for it; or `over`, so that nothing more comes to it."""
        if reader and over:
            self._find_again(reader)
        if self._behind and not (reader and reader.lost_video):
            self._behind = False
            self._on_caught_up()

    def _has_work(self) -> bool:
        reader = self._reader
        if self._stopping:
            return True
        if reader is None or reader.done.is_set():
            return False
        return self._ring.next_serial > reader.cursor or self._is_complete(reader)

    def _is_complete(self, reader: _Reader) -> bool:
        """Every track has passed the wanted end, or has ended, or is not waited for any longer."""
        if reader.last_call:
            return True
        until = reader.until_ns
        return until is not None and all(self._reached_ns[track] > until for track in self._open)

    def _deliver(self, reader: _Reader, batch: list[tuple[int, EncodedPacket]], before: int) -> None:
        """`before`: how many pictures were published before the first of the batch, as that was read."""
        for serial, packet in batch:
            if serial > reader.cursor:
                reader.lost_video = self._behind = True
                self._count_lost(reader, before)
                self._on_lost(serial - reader.cursor)
            reader.cursor = serial + 1
            reader.handled += packet.track is Track.VIDEO
            with reader.in_sink:
                if reader.closed:
                    return
                if self._is_wanted(reader, packet):
                    reader.sink(packet)
                    if packet.track is Track.VIDEO:
                        reader.given.append(packet.pts_ns)

    def _published_before(self, reader: _Reader, serial: int) -> int:
        """Counted only where the ring had to give some up."""
        lost = serial > reader.cursor
        return reader.published - self._ring.pictures_in(serial) if lost else reader.handled

    def _count_lost(self, reader: _Reader, before: int) -> None:
        """The pictures that the ring had to give up before the sink had them: a batch has none missing within."""
        lost = before - reader.handled
        reader.handled += lost
        with self._changed:
            reader.tally.lose(lost)

    def _is_wanted(self, reader: _Reader, packet: EncodedPacket) -> bool:
        if not reader.reaches(packet.pts_ns):
            return False
        if reader.lost_video and packet.track is Track.VIDEO:
            # Pictures that refer to lost ones would decode to rubbish: go on at the next key frame.
            if not packet.key:
                with self._changed:
                    reader.tally.lose(1)
                reader.skipped += 1
                reader.skipped_ns = packet.pts_ns
                return False
            self._find_again(reader)
        return reader.start.wants(packet)

    def _find_again(self, reader: _Reader) -> None:
        """Pictures go on, or come no more: what was left out until here is told in one."""
        reader.lost_video = False
        skipped, reader.skipped = reader.skipped, 0
        if skipped:
            self._on_lost(skipped)
