"""One trouble of a running recorder, looked at from outside: how long until light, alarm and log tell of it, and until
all is well again.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

from agent.controls.machine import State
from agent.controls.patterns import ALARM, STATUS, Levels
from agent.model import NS
from tests.fault.running import CONTENT, Running, now_s

LIMIT_S, CONTENT_LIMIT_S = 2.0, 5.0
SILENT = ("microphone", "sound encoder", "resampler")
"""A press would record without sound: an alarm, but the camera is ready."""
FREE = ("lens", "picture", "encoder", "muxer", "microphone", "sound encoder", "resampler", "panel")
"""What keeps no leaf from the log: neither disk nor key nor loop. Its leaf has to be durable as soon as it is told."""
NOT_TOLD = ("well_again", "lag")


@dataclass(frozen=True)
class Case:
    """One cause, what of it the log may say, and what of the camera tells: the light goes out and an alarm starts,
    but where the parts still become durable (`lit`), or where light and motor are what is gone (`dark`). `rotates`: it
    is met only where one segment follows another. `ready`: nothing is recorded. `muted`: without sound. It goes on for
    `lasts_s` once all of it was told.
    """

    cause: str
    says: tuple[str, ...]
    lit: bool = False
    dark: bool = False
    rotates: bool = False
    ready: bool = False
    muted: bool = False
    lasts_s: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.cause}{', not recording' * self.ready}{', muted' * self.muted}"

    @property
    def limit_s(self) -> float:
        return CONTENT_LIMIT_S if self.cause in CONTENT else LIMIT_S

    @property
    def free(self) -> bool:
        """Nothing keeps the leaf that says so from the log."""
        return self.cause.startswith(FREE)

    def told_within_s(self, figures: dict[str, float]) -> float:
        """Until the last of all that has to tell of it did, as `Suffering` measured it."""
        return max(s for what, s in figures.items() if what not in NOT_TOLD and (self.free or what != "leaf"))


def is_alarm(seen: list[tuple[float, Levels]], since_s: float) -> float | None:
    """How long after it the first pulse began that is as long as an alarm's, not a hand's answer."""
    least_s = ALARM.ms[0] / 1000 - 0.1
    changes = [(at_s, levels.buzz) for at_s, levels in seen]
    changes = [one for one, before in zip(changes, [(0.0, False), *changes], strict=False) if one[1] is not before[1]]
    for (at_s, is_on), (end_s, _) in zip(changes, [*changes[1:], (now_s(), False)], strict=True):
        if is_on and end_s - at_s > least_s and at_s > since_s:
            return at_s - since_s
    return None


def blinks_fault(seen: list[tuple[float, Levels]], since_s: float) -> float | None:
    """Two pulses of the second light that follow each other as those of a fault do."""
    beats = STATUS[State.FAULT]
    assert beats
    begun = [at_s for (at_s, now), (_, before) in zip(seen[1:], seen, strict=False) if now.status and not before.status]
    for at_s, next_s in itertools.pairwise(begun):
        if at_s > since_s and next_s - at_s < (beats.ms[0] + beats.ms[1]) / 1000 + 0.15:
            return at_s - since_s
    return None


class Suffering:
    """One case on one camera, looked at from outside."""

    def __init__(self, camera: Running, case: Case) -> None:
        self._camera, self._case = camera, case
        self.begun_s = 0.0

    def seconds(self) -> dict[str, float]:
        """Until light, alarm and status told, and until all was well after it was over."""
        camera, case = self._camera, self._case
        if case.muted:
            camera.recorder._answer({"do": "mute"})
        parts = camera.status()["parts"]
        camera.until(lambda: self._lives_on(parts))
        self._begin()
        told_s = camera.until(lambda: bool(camera.status()["faults"] or camera.status()["officer"]["troubles"]))
        if case.dark:
            camera.until(lambda: self._light() is not None)
        elif not case.lit:
            camera.until(lambda: self._light() is not None and self._alarm() is not None)
        parts = camera.status()["parts"]
        self._goes_on(case.lasts_s)
        self._still_told(parts)
        over_s = now_s()
        camera.gate.open()
        camera.panel.gone = ""
        well_s = camera.until(camera.is_well)
        # What was found meanwhile is said in the loop's turn, which may come after that.
        camera.recorder._loop.ask("controls", dict)
        told = {"light": self._light(), "alarm": self._alarm()}
        seconds = {what: s for what, s in told.items() if s is not None and not case.lit}
        return seconds | {"status": told_s - self.begun_s, "well_again": well_s - over_s}

    def _lives_on(self, parts: int) -> bool:
        """It is as the case wants it, and goes on: two parts more than so many; not recording, a ring of a second."""
        camera, case = self._camera, self._case
        status = camera.status()
        goes_on = status["intake"]["ring_s"] >= 1 if case.ready else status["parts"] >= parts + 2
        return goes_on and camera.is_well() and status["muted"] is case.muted

    def _begin(self) -> None:
        camera, cause = self._camera, self._case.cause
        self.begun_s = now_s()
        camera.gate.close(cause)
        if cause == "loop hangs":
            camera.hang_loop()
        if cause == "panel gone":
            camera.panel.gone = "it was pulled off"
        if self._case.rotates:
            # Until then there is nothing to tell.
            camera.until(lambda: camera.gate.met_s is not None)
            self.begun_s = camera.gate.met_s or 0.0

    def _goes_on(self, seconds: float) -> None:
        """All the time, and not now and then."""
        camera, case, begun_s = self._camera, self._case, now_s()
        while now_s() < begun_s + seconds:
            time.sleep(0.05)
            alarm = camera.status()["officer"]["alarm"]
            assert case.lit or case.dark or alarm, f"{case.name}: it goes on, and the alarm comes and goes"
        lit = [levels.light for seen_s, levels in camera.panel.seen if seen_s > begun_s]
        assert case.lit or not any(lit), f"{case.name}: it goes on, and the light comes and goes"

    def _still_told(self, parts: int) -> None:
        camera, case = self._camera, self._case
        status = camera.status()
        if case.lit:
            assert camera.panel.levels.light and self._light() is None, f"{case.name}: parts are durable: {status}"
            assert status["parts"] > parts and status["faults"], status
        elif case.ready:
            assert status["officer"]["alarm"], f"{case.name}: it goes on, and nothing says so: {status}"
        else:
            assert not camera.panel.levels.light, f"{case.name}: it goes on, and the light is lit: {status}"
        if case.ready and not case.cause.startswith(SILENT) and case.cause not in CONTENT:
            assert status["officer"]["state"] != "ready", f"{case.name}: a press would not record: {status}"

    def _light(self) -> float | None:
        """The light for recording goes out; while nothing is recorded the second one blinks as it does for a fault."""
        if self._case.ready:
            return blinks_fault(self._camera.panel.seen, self.begun_s)
        return self._camera.panel.since(self.begun_s, lambda levels: not levels.light)

    def _alarm(self) -> float | None:
        return is_alarm(self._camera.panel.seen, self.begun_s)

    def logged(self) -> dict[str, float]:
        """Seconds until the recorder had found what the log says, until the leaf that says it was durable, and how much
        later that was than the instant which the leaf names.
        """
        for stamp_s, durable_s, body in self._camera.events():
            name = body["type"] + (f":{body['what']}" if body["type"] == "fault" else "")
            if stamp_s > self.begun_s and name in self._case.says:
                named_s = body["mono_ns"] / NS
                found_s = named_s if body["type"] == "fault" else stamp_s
                return {
                    "log": found_s - self.begun_s,
                    "leaf": durable_s - self.begun_s,
                    "lag": durable_s - named_s,
                }
        raise AssertionError(f"{self._case.name}: the log says nothing of it: {list(self._camera.events())}")
