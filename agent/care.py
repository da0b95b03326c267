"""How the camera looks after itself, in each turn: battery, heat, and what of the picture is given up for either, or
for an encoder or a disk that is too slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import durable, events
from agent.capture.choose import sized
from agent.clock import Clock
from agent.config import Config, VideoConfig
from agent.controls.lag import Lag
from agent.errors import DeviceError
from agent.events import Actor
from agent.journal import Faults, Journal
from agent.ladder import Cause, Footing, Pace, Stance, Strain, stand
from agent.lens import Lens
from agent.loop import Loop
from agent.model import NS
from agent.power.watch import PowerWatch
from agent.recording import Recording
from agent.status import Life
from agent.takes import Takes
from agent.vault import Vault

BEHIND_NS = NS
"""So long pictures must wait for the encoder before that is more than a hiccup."""
SETTLED_NS = NS
"""What is captured so long after a step was taken is coded as it wants, and waits behind nothing from before it: our
queue holds 0.25 s, that of a camera which encodes by itself a few pictures.
"""
DISK_NS = 2 * NS
"""A part that waits so long is one that a healthy disk would have taken: 0.5 s of media, 0.3 s to write. Unless what
waits is the ring of a press, and becomes less (controls/lag.py). A recording of which no more waits ends soon.
"""
REQUEST = "poweroff"
"""The file beside the control socket that systemd/bodycam-poweroff.path waits for."""

ASK_AGAIN_NS = 60 * NS
"""How long after a request that was taken the machine may still be on before it is asked for again."""

AT_ITS_END = "the battery is at its end"
FEWEST_PIXELS = (160, 120)


class Care:
    """In the loop's turn. `reopen` takes lens and microphone again, `changed` is called when the state has changed."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        loop: Loop,
        faults: Faults,
        journal: Journal,
        life: Life,
        lens: Lens,
        takes: Takes,
        reopen: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._config, self._clock, self._loop, self._faults = config, clock, loop, faults
        self._journal, self._life, self._lens, self._takes = journal, life, lens, takes
        self._reopen, self._changed = reopen, changed
        self._watch = PowerWatch(config.power)
        self._shares = config.ladder.shares()
        self._pace = Pace(len(self._shares) - 1, config.ladder.down_s * NS, config.ladder.up_s * NS)
        self._stance = Stance()
        self._so: tuple[Cause, ...] = ()
        self._behind_ns: int | None = None
        self._lag, self._lag_of = Lag(), ""
        self._asked_ns: int | None = None
        self._reason = ""

    def tick(self, vault: Vault) -> None:
        """In each turn."""
        now = self._clock.monotonic_ns()
        for event in self._watch.look(now):
            self._journal.say(event)
        for what, words in self._watch.warnings().items():
            self._faults.show(what, words)
        self._life.drains = self._watch.drains
        self._loop.act("power", self._tell_trouble)
        if self._config.power.power_off:
            self._loop.step("power.off", lambda: self._at_its_end(vault))
        self._loop.attempt("care", lambda: self._step(vault))

    def shown(self) -> dict[str, Any]:
        """For `ctl status`, from any thread."""
        video, footing = self._lens.video, self._stance.lead
        ladder = {
            "step": footing.step,
            "steps": self._pace.steps,
            # Where none is so any more, what led there: until it was calm for long enough.
            "causes": [cause.value for cause in self._so or footing.causes] if footing.step else [],
            "bitrate_kbps": video.bitrate_kbps,
            "fps": video.fps,
            "size": f"{video.width}x{video.height}",
        }
        utc = self._clock.utc()
        clock = {"source": utc.source, "bound_ms": utc.bound_ms}
        return {"power": self._watch.shown(), "ladder": ladder, "clock": clock}

    def _tell_trouble(self) -> None:
        if self._watch.trouble:
            raise DeviceError(self._watch.trouble)

    # -- the end of a battery ------------------------------------------------------------------------------------------

    def _at_its_end(self, vault: Vault) -> None:
        """Once for each time: end and seal what there is, say it, and ask to be switched off, until that is done."""
        request = self._config.control.socket.parent / REQUEST
        if not self._watch.at_its_end:
            if self._asked_ns is not None:
                self._asked_ns = None
                durable.remove(request)
            return
        now = self._clock.monotonic_ns()
        if self._asked_ns is not None:
            # It was taken, and nothing came of it. Whoever pressed since wants what is left.
            idle = not (self._life.recording or self._life.wanted)
            if idle and now - self._asked_ns >= ASK_AGAIN_NS and not request.exists():
                self._ask(request, now)
            return
        words = self._watch.warnings()["battery"] or AT_ITS_END
        if self._life.recording or self._life.wanted:
            self._takes.stop(vault, words, Actor.RECORDER)
        self._journal.say(events.PowerOff(words, Actor.RECORDER, self._clock.monotonic_ns()))
        vault.sealer.seal_open()
        self._ask(request, now)

    def _ask(self, request: Path, now: int) -> None:
        words = self._watch.warnings()["battery"] or AT_ITS_END
        durable.write_file(request, words.encode() + b"\n", 0o644)
        self._asked_ns = now

    # -- the ladder ----------------------------------------------------------------------------------------------------

    def _step(self, vault: Vault) -> None:
        now, before = self._clock.monotonic_ns(), self._stance
        strain = self._strain(now)
        self._so = strain.causes()
        self._stance = after = stand(before, strain, now, self._pace)
        if moves := after.moves(before):
            self._stand(before, after, moves)
        if self._lens.rate_is_due:
            self._loop.step("ladder", self._lens.set_rate)
        if self._lens.size_is_due and not self._life.ends and self._ends_soon():
            self._resize(vault)

    def _ends_soon(self) -> bool:
        """Whether what is recorded could end at once. Nothing is recorded until the disk has all of it: rather the size
        that it has, for as long as that takes.
        """
        recording = self._life.recording
        behind_ns = self._unwritten_ns(recording) if recording else None
        return behind_ns is None or behind_ns < DISK_NS

    def _unwritten_ns(self, recording: Recording) -> int | None:
        """So much of it waits for the disk; None where no picture came yet."""
        tally = self._life.pictures
        return recording.behind_ns(tally.newest_ns) if tally else None

    def _strain(self, now: int) -> Strain:
        intake, recording = self._lens.intake, self._life.recording
        self._behind_ns = (self._behind_ns or now) if intake and intake.behind else None
        return Strain(
            heat=self._watch.heat_level,
            battery=self._watch.battery_level,
            encoder=self._waits_for_encoder(now) or self._loses(self._stance),
            disk=recording is not None and self._waits_for_disk(recording, now),
        )

    def _waits_for_encoder(self, now: int) -> bool:
        return self._behind_ns is not None and now - self._behind_ns >= BEHIND_NS

    def _loses(self, at: Stance) -> bool:
        """Pictures are lost on the step that the camera is on. The fault lasts for a while after the last of them, and
        what was lost before a step, or of what waited then, asks for none behind it.
        """
        intake = self._lens.intake
        if intake is None or "overload" not in self._faults:
            return False
        moved_ns = [there.moved_ns for there in (at.rate, at.size) if there.moved_ns is not None]
        return not moved_ns or intake.lost_ns >= max(moved_ns) + SETTLED_NS

    def _waits_for_disk(self, recording: Recording, now: int) -> bool:
        """A part of it does, longer than it should, and not because the ring came before it. Asked in each turn."""
        if recording.name != self._lag_of:
            self._lag, self._lag_of = Lag(), recording.name
        progress, behind_ns = recording.progress(), self._unwritten_ns(recording)
        late = behind_ns is not None and self._lag.is_late(now, behind_ns, progress.parts > 0)
        oldest_ns = None if progress.refused else progress.oldest_mono_ns
        return late and oldest_ns is not None and now - oldest_ns >= DISK_NS

    def _stand(self, before: Stance, after: Stance, moves: list[tuple[Footing, Footing]]) -> None:
        """The log first: what it says begins at this instant."""
        live, wanted = self._lens.intake is None or self._lens.intake.live, self._lens.video
        step, now = after.lead.step, self._clock.monotonic_ns()
        bitrate, rate, _ = self._shares[step]
        video = scaled(sized(self._config).video, (bitrate, rate, self._shares[after.size.step][2]), live)
        if step == before.lead.step and video == wanted:
            return
        whys = [
            self._why(there, before, now) if there.step > was.step else f"back up: {_over(was, self._so)}"
            for was, there in moves
        ]
        reason = "; ".join(dict.fromkeys(whys))
        if (video.width, video.height) != (wanted.width, wanted.height):
            self._reason = reason
        told = events.Ladder(
            step, self._pace.steps, reason, video.bitrate_kbps, video.fps, video.width, video.height, now
        )
        self._journal.say(told, self._life.recording.name if self._life.recording else None)
        self._lens.code(video)

    def _why(self, footing: Footing, before: Stance, now: int) -> str:
        words = self._watch.warnings()
        lost = self._faults.shown().get("overload") if self._loses(before) else None
        late = ["encoder: pictures wait for it"] if self._waits_for_encoder(now) else []
        told = {
            Cause.HEAT: f"heat: {words['heat']}",
            Cause.ENCODER: "; ".join([*late, *([f"pictures are lost: {lost}"] if lost else [])]),
            Cause.DISK: "disk: parts wait for it",
            Cause.BATTERY: f"battery: {words['battery']}",
        }
        return "; ".join(told[cause] for cause in footing.causes)

    def _resize(self, vault: Vault) -> None:
        """Another size is another recording: this one ends, and the next one names it."""
        reason = f"another size of the picture: {self._reason}"
        self._life.resting = (events.State.STARTING, reason, Actor.RECORDER)
        try:
            self._takes.go_on_as_another(vault, reason)
            self._changed()
            self._reopen()
        finally:
            self._life.resting = None
            self._changed()


def scaled(video: VideoConfig, shares: tuple[int, int, int], resizable: bool) -> VideoConfig:
    """What is configured, less these shares in percent; sizes even, and never too small to be a picture."""
    bitrate, rate, size = shares
    width, height = video.width, video.height
    if resizable and size != 100:
        width, height = (max(f, v * size // 200 * 2) for f, v in zip(FEWEST_PIXELS, (width, height), strict=True))
    return replace(
        video,
        bitrate_kbps=max(1, video.bitrate_kbps * bitrate // 100),
        fps=max(1, round(video.fps * rate / 100)),
        width=width,
        height=height,
    )


def _over(was: Footing, so: tuple[Cause, ...]) -> str:
    """Of what led to that step down, what is over; where all of it is `so` still, it asks for less than it did."""
    told = {Cause.ENCODER: "picture late or lost"}
    over = [told.get(cause, cause.value) for cause in was.causes if cause not in so]
    if over:
        return f"no {' and '.join(over)} for a while"
    return f"less is asked for by {' and '.join(cause.value for cause in was.causes)}" if was.causes else "calm"
