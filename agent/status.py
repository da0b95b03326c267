"""What the recorder knows of itself, and shows: its state, its faults in words, and how far everything is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from agent import events
from agent.controls.patterns import Delivery
from agent.diary import Standing, standing
from agent.errors import StationError, StorageError
from agent.eventbody import Event
from agent.events import Actor, Level
from agent.intake import Intake, IntakeEvent, Tally
from agent.journal import Faults
from agent.model import NS, SegmentState
from agent.recording import Recording
from agent.spool.inbox import message
from agent.spool.room import Room
from agent.vault import Vault

_COUNTS = ("segments_done", "segments_total", "bytes_done", "bytes_total", "eta_s", "mono_ns")
_TEXTS = ("state", "error", "refused", "lacks")


class State(Enum):
    """What the camera does, as `ctl status` and systemd tell it. READY: a press would record now. FAULT: it would not,
    as the log's account of this instant says too; what is wrong stands beside it, in words. STOPPING: nor would it, and
    what was recorded, or the log's last leaf, is still being written.
    """

    STARTING = "starting"
    READY = "ready"
    RECORDING = "recording"
    SLEEPING = "sleeping"
    DOCKED = "docked"
    FAULT = "fault"
    STOPPING = "stopping"
    STOPPED = "stopped"


REASONS_KEPT = 16
CONTINUED = "continued"
"""The trigger of a recording that goes on with another."""


class Reason(NamedTuple):
    """What else wanted a recording, by whom, and when: a mark in it, with its tag where it has one."""

    text: str
    actor: Actor
    mono_ns: int
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A recording that is to begin by itself, not before `at_ns`: at boot, because somebody pressed when nothing could
    be recorded, at `pressed_ns`, or because another, which it `continues`, broke off. It reaches back to `since_ns`,
    else as far as any. `reasons`: what else wanted it meanwhile; marks, once it has begun. `sound`:
    on (True) or off, by whom, and when, since it broke off; the first as it was then, where it was off.
    """

    trigger: str
    continues: str | None = None
    since_ns: int | None = None
    at_ns: int = 0
    actor: Actor = Actor.RECORDER
    pressed_ns: int | None = None
    reasons: tuple[Reason, ...] = ()
    sound: tuple[tuple[bool, Actor, int], ...] = ()

    @property
    def what(self) -> str | int | None:
        """As what it waits: the recording that it continues, or the instant of the press; None: neither."""
        return self.pressed_ns if self.continues is None else self.continues

    def also(self, reason: Reason) -> Wanted:
        """Of more than a few, as of a contact that is loose, the first are kept."""
        return replace(self, reasons=(*self.reasons, reason)[:REASONS_KEPT])

    @property
    def meanwhile(self) -> tuple[Event, ...]:
        """What the log says of it once it has begun."""
        sound = (events.turned(on, by, at_ns, "before this one began") for on, by, at_ns in self.sound)
        return (*sound, *(events.Mark(*reason) for reason in self.reasons))

    def forgone(self, reason: str, actor: Actor, at_ns: int) -> events.RecordForgone:
        """It does not begin, and who let go of it."""
        return events.RecordForgone(reason, actor, at_ns, self.trigger, self.continues)


@dataclass(frozen=True, slots=True)
class Ending:
    """The recording ends at `at_ns`: somebody stopped it, and it goes on for a while."""

    at_ns: int
    reason: str
    actor: Actor


SENDING = frozenset({"uploading", "attesting"})
"""What the uploader calls it while it works."""
ANSWERED = SENDING | {"delivered", "waiting"}
"""And where a station answers it, be it that it is to come again. What is no station of ours is refused, too."""


@dataclass(slots=True)
class Life:
    """What the loop remembers between two turns."""

    faults: Faults
    over: State | None = None
    """STOPPING, then STOPPED: the recorder ends, and nothing has a turn any more. From any thread."""
    docked: bool = False
    visits: bool = False
    """The uploader found the station by itself (`dock.presence`). That is its word alone: nothing ends by it."""
    sends: bool = False
    """And sends to it."""
    delivery: Delivery = Delivery.WAITING
    recording: Recording | None = None
    recordings: list[str] = field(default_factory=list)
    pictures: Tally | None = None
    captured: int = 0
    encoded: int = 0
    left_out: int = 0
    frames: int = 0
    samples: int = 0
    media_ns: int = 0
    parts: int = 0
    lost_parts: int = 0
    durable_bytes: int = 0
    delivered: int = 0
    deleted: int = 0
    source_ended: bool = False
    end_reason: str = ""
    camera_lost: bool = False
    sink_failed: str | None = None
    wanted: Wanted | None = None
    room: Room | None = None
    room_edge: int | None = None
    drains: Level = Level.NORMAL
    """How bad it is with a battery that nobody charges. From any thread."""
    resting: Standing | None = None
    begun_ns: int = 0
    pressed_ns: int = 0
    """The press of what is recorded, or was."""
    begins_ns: int | None = None
    """The press of what is being begun, until that is over. From any thread."""
    muted_ns: int | None = None
    muted_by: Actor = Actor.RECORDER
    rested_ns: int | None = None
    ends: Ending | None = None
    closing: bool = False
    """All that was recorded becomes durable in one turn of the loop, then the stop leaf. From any thread."""
    settled: int = 0
    """What of stop leaf and sealing the disk took, piece by piece, once all that was recorded was durable."""
    minute_ns: int = 0
    rotated_ns: int = 0
    freed_ns: int = 0
    probing_ns: int | None = None
    """Since when what a press would need is asked for, and has not answered. From any thread."""
    answer_ns: int = 0
    """How long the last answer took."""
    begins: bool = True
    """The disk was not asked yet, or has not answered, whether it takes the log."""
    loading: bool = True
    """No lens was opened yet: its libraries are loaded when one is."""
    sees: Callable[[], int | None] = lambda: None
    """How many pictures came into the ring so far; None while no lens is open. From any thread."""
    hold_clock: Callable[[], None] = lambda: None
    """A recording begins: from here on nobody steps the clock."""

    def standing(self) -> Standing:
        """The state while nothing is being recorded, why, and by whom."""
        broke_off = self.wanted.continues if self.wanted else None
        return standing(self.docked, self.faults.shown(), self.source_ended, self.resting, broke_off)

    @property
    def at_station(self) -> bool:
        """In the dock by its contact or a command, or by what else the uploader finds it by."""
        return self.docked or self.visits

    @property
    def records(self) -> bool:
        """What comes now is recorded: what is only being ended takes in no more. From any thread."""
        return self.recording is not None and not self.closing

    @property
    def silence(self) -> tuple[tuple[bool, Actor, int], ...]:
        """As `Wanted.sound` begins with it: who turned the sound off, and when, where it is off."""
        return () if self.muted_ns is None else ((False, self.muted_by, self.muted_ns),)

    @property
    def asleep(self) -> bool:
        """Lens and microphone are closed because somebody wanted that."""
        return self.resting is not None and self.resting[0] is events.State.SLEEPING

    @property
    def reopening(self) -> bool:
        """A lens is being opened again on purpose: woken, or for another size of the picture. From any thread."""
        resting = self.resting
        return resting is not None and resting[0] is events.State.STARTING

    @property
    def goes_on(self) -> bool:
        """What is being ended goes on as another in the same turn, in another size of the picture, or as soon as there
        is another muxer: whoever has a hand on the camera means that. Not where the lens went. From any thread.
        """
        wanted = self.wanted
        turns = (self.closing or self.reopening) and not self.source_ended
        return turns and wanted is not None and wanted.continues is not None

    @property
    def starting(self) -> bool:
        """Whether a press records is not known yet. Where the disk refused the life before this one, it no longer is:
        that is a fault until the disk takes something. From any thread.
        """
        return self.begins and "storage" not in self.faults

    def shown(self, stands_still: bool = False) -> State:
        """`stands_still`: pictures or the loop do, as the panel's thread sees: the loop may not have heard of it."""
        if self.records:
            return State.RECORDING
        if self.over:
            return self.over
        if self.starting:
            return State.FAULT if stands_still else State.STARTING
        state = State(standing(self.docked, self.faults.shown(), self.source_ended, self.resting)[0].value)
        if state is not State.READY:
            return state
        if stands_still:
            return State.FAULT
        if self.closing or self.sees() is None:
            return State.STARTING
        # What broke off could be recorded now, and is not: its account says so from its end on.
        wanted = self.wanted
        return State.READY if wanted is None else State.FAULT if wanted.continues is not None else State.STARTING

    def hear(self, event: IntakeEvent, live: bool) -> None:
        """From now on no picture comes, if that is what it says. What is not live does not come back: begun again it
        would be another take of the same clip.
        """
        if event.ends_source or event.fault == "camera":
            self.source_ended = True
            self.end_reason = event.detail if event.fault else "source ended"
            self.camera_lost = bool(event.fault) and live
        elif event.fails_sink and self.recording:
            self.sink_failed = event.detail

    def settle(self) -> None:
        """One more piece of what ends a recording. Where parts of it are not durable, only these count."""
        if self.recording and self.recording.whole:
            self.settled += 1

    def begun(self, recording: Recording, now_ns: int, pressed_ns: int) -> None:
        """Something is being recorded."""
        self.begun_ns, self.pressed_ns = now_ns, pressed_ns
        self.recording, self.sink_failed, self.ends = recording, None, None
        self.recordings.append(recording.name)

    def ended(self, recording: Recording) -> None:
        """What it was is counted with the others; nothing is being recorded."""
        progress = recording.progress()
        if self.pictures:
            self.captured += self.pictures.captured
            self.encoded += self.pictures.encoded
            self.left_out += self.pictures.left_out
        self.recording = self.pictures = self.ends = None
        self.closing = False
        self.frames += progress.video_frames
        self.samples += progress.audio_samples
        self.media_ns += progress.media_ns
        self.parts += progress.parts
        self.lost_parts += recording.offered - progress.pieces


def snapshot(state: State, life: Life, intake: Intake | None, vault: Vault | None, mono_ns: int) -> dict[str, Any]:
    """What `ctl status` answers; safe from any thread, and waits for no disk that stalls in a write."""
    recording = life.recording
    progress = recording.progress() if recording else None
    faults = life.faults.shown()
    trouble = progress.trouble(mono_ns) if progress else None
    # The loop may itself be waiting for this disk.
    if trouble and progress and progress.unencrypted:
        faults.setdefault("encryption", trouble)
    elif trouble:
        faults.setdefault("storage", trouble)
    pictures = life.pictures
    captured = life.captured + (pictures.captured if pictures else 0)
    encoded = life.encoded + (pictures.encoded if pictures else 0)
    left_out = life.left_out + (pictures.left_out if pictures else 0)
    told: dict[str, Any] = {
        "state": state.value,
        "recording": recording.name if recording else None,
        "recordings": list(life.recordings),
        "ends_in_s": max(0, life.ends.at_ns - mono_ns) / NS if life.ends else None,
        "muted": life.muted_ns is not None,
        "sleeping": life.asleep,
        "wanted": life.wanted.trigger if life.wanted else None,
        "docked": life.docked,
        "room_percent": life.room.percent if life.room else None,
        "room_minutes": life.room.minutes if life.room else None,
        "faults": faults,
        "source_ended": life.source_ended,
        "parts": life.parts + (progress.parts if progress else 0),
        "parts_waiting": progress.waiting if progress else 0,
        "parts_lost": life.lost_parts + (progress.lost_parts if progress else 0),
        "media_s": (life.media_ns + (progress.media_ns if progress else 0)) / NS,
        "frames_captured": captured,
        "frames_encoded": encoded,
        "frames_left_out": left_out,
        "frames_dropped": captured - encoded - left_out,
        "video_frames": life.frames + (progress.video_frames if progress else 0),
        "audio_samples": life.samples + (progress.audio_samples if progress else 0),
        "durable_bytes": life.durable_bytes,
        "delivered": life.delivered,
        "deleted": life.deleted,
    }
    if intake:
        told["intake"] = intake.counters().to_dict()
    if vault:
        try:
            told |= _of_spool(vault)
        except StorageError as err:
            faults.setdefault("spool", err.message)
    return told


def _of_spool(vault: Vault) -> Mapping[str, Any]:
    counts = {s.value: len(vault.spool.segments(s)) for s in SegmentState}
    upload = _upload_progress(vault)
    if upload.get("state") == "delivered" and (counts[SegmentState.SEALED.value] or vault.sealer.owes):
        # That was so of the last visit; what was recorded since waits, whether or not an uploader lives.
        upload["state"] = "waiting"
    return {"segments": counts, "upload": upload}


def _upload_progress(vault: Vault) -> dict[str, Any]:
    """The uploader's own word, shown as such; hostile like all of inbox/."""
    data = message(vault.spool.inbox_dir, "progress.json")
    return {} if data is None else progress_of(data)


def visits(vault: Vault) -> bool:
    """Whether the uploader says that a station answers it, be it with what of the log it wants and the card lacks."""
    told = _upload_progress(vault)
    return told.get("state") in ANSWERED or (told.get("state") == "refused" and bool(told.get("lacks")))


def sends(vault: Vault) -> bool:
    """Whether the uploader says that it sends."""
    return _upload_progress(vault).get("state") in SENDING


def delivery(vault: Vault) -> Delivery:
    """How far a camera at the station has got: all is done where the uploader says so and the spool agrees."""
    state = _upload_progress(vault).get("state")
    if state in SENDING:
        return Delivery.SENDING
    # What a failing disk does not let into sealed/ is not handed over either.
    done = state == "delivered" and not vault.sealer.owes and not vault.spool.segments(SegmentState.SEALED)
    return Delivery.DONE if done else Delivery.WAITING


def refusal(vault: Vault) -> StationError | None:
    """What the station will not take, as the uploader says: that needs a person, and is shown until it is delivered."""
    told = _upload_progress(vault).get("refused")
    return StationError(str(told)) if told else None


def lacking(vault: Vault) -> str:
    """The tile that the uploader says the card lacks; "" where there is none. Hostile."""
    return str(_upload_progress(vault).get("lacks", ""))


def progress_of(data: bytes) -> dict[str, Any]:
    """Of the uploader's report, what has the kinds it should have; texts short, and unable to steer a terminal."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    told: dict[str, Any] = {k: value[k] for k in _COUNTS if type(value.get(k)) is int and value[k] >= 0}
    for key in _TEXTS:
        if isinstance(value.get(key), str):
            told[key] = "".join(c if c.isprintable() else "?" for c in value[key][:500])
    return told
