"""The light says what is durable, and a camera that waits says ready only while it is: at each stage that stalls or
fails, light, alarm and log say so; and all is well again when the cause goes.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import events
from agent.controls.machine import State
from agent.controls.patterns import ALARM, STATUS, Levels
from agent.formats import leaf as leaves
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.fault.running import CONTENT, IN_THE_CLEAR, Running, now_s, running
from tests.media.test_parts import encoded, mux

DISK = ("fault:durable", "fault:storage", "fault:loop")


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


CASES = (
    Case("disk stalls", DISK),
    Case("lens stalls", ("camera.lost", "fault:pictures")),
    Case("loop hangs", ("fault:loop",)),
    Case("card slow", DISK, lasts_s=8.0),
    Case("disk fails", ("fault:durable", "fault:storage")),
    Case("write stalls", DISK),
    Case("write fails", ("fault:durable", "fault:storage")),
    Case("signer fails", ("fault:durable", "fault:storage")),
    Case("signer stalls", DISK),
    Case("encryption stalls", DISK),
    Case("encryption fails", ("fault:encryption",)),
    Case("random source stalls", DISK),
    Case("random source fails", ("fault:encryption",)),
    Case("recipient stalls", DISK),
    Case("recipient fails", ("fault:encryption",)),
    Case("muxer stalls", ("fault:durable", "fault:pictures")),
    Case("muxer fails", ("sink.failed",)),
    Case("encoder stalls", ("fault:durable", "fault:pictures", "camera.lost", "overload.begin")),
    Case("encoder fails", ("camera.lost",)),
    Case("sound encoder stalls", ("microphone.lost",)),
    Case("sound encoder fails", ("microphone.lost",)),
    Case("resampler stalls", ("microphone.lost",)),
    Case("resampler fails", ("microphone.lost",)),
    Case("lens fails", ("camera.lost",)),
    Case("lens ends", ("camera.lost",)),
    Case("microphone stalls", ("microphone.lost",)),
    Case("microphone fails", ("microphone.lost",)),
    Case("next segment stalls", DISK, rotates=True),
    Case("next segment fails", ("fault:storage", "fault:durable"), rotates=True),
    Case("closing stalls", DISK, rotates=True),
    Case("closing fails", ("fault:sealing",), lit=True, rotates=True),
    Case("log tile stalls", DISK, rotates=True),
    Case("log tile fails", ("fault:sealing",), lit=True, rotates=True),
    Case("seal leaf stalls", DISK, rotates=True),
    Case("seal leaf fails", ("fault:sealing",), lit=True, rotates=True),
    Case("inbox stalls", ("fault:loop",)),
    Case("inbox fails", ("fault:delivery",), lit=True),
    Case("panel gone", ("fault:panel",), dark=True),
    Case("microphone deaf", ("microphone.deaf",)),
    Case("lens covered", ("lens.covered",)),
    Case("picture frozen", ("picture.frozen",)),
    Case("disk stalls", DISK, muted=True),
    Case("encryption fails", ("fault:encryption",), muted=True),
    Case("lens fails", ("camera.lost",), muted=True),
    Case("microphone stalls", ("microphone.lost",), muted=True),
    Case("sound encoder fails", ("microphone.lost",), muted=True),
    Case("lens stalls", ("camera.lost", "fault:pictures"), ready=True),
    Case("lens fails", ("camera.lost",), ready=True),
    Case("lens ends", ("camera.lost",), ready=True),
    Case("encoder stalls", ("fault:pictures", "camera.lost", "overload.begin"), ready=True),
    Case("encoder fails", ("camera.lost",), ready=True),
    Case("loop hangs", ("fault:loop",), ready=True),
    Case("inbox stalls", ("fault:loop",), ready=True),
    Case("encryption stalls", ("fault:loop",), ready=True),
    Case("encryption fails", ("fault:encryption",), ready=True),
    Case("random source stalls", ("fault:loop",), ready=True),
    Case("random source fails", ("fault:encryption",), ready=True),
    Case("recipient stalls", ("fault:loop",), ready=True),
    Case("recipient fails", ("fault:encryption",), ready=True),
    Case("signer stalls", ("fault:loop",), ready=True),
    Case("signer fails", ("fault:storage",), ready=True),
    Case("card stalls", ("fault:loop",), ready=True),
    Case("card slow", ("fault:loop",), ready=True, lasts_s=8.0),
    Case("card fails", ("fault:storage",), ready=True),
    Case("resampler stalls", ("microphone.lost",), ready=True),
    Case("resampler fails", ("microphone.lost",), ready=True),
    Case("microphone stalls", ("microphone.lost",), ready=True),
    Case("microphone fails", ("microphone.lost",), ready=True),
    Case("microphone deaf", ("microphone.deaf",), ready=True),
    Case("lens covered", ("lens.covered",), ready=True),
    Case("picture frozen", ("picture.frozen",), ready=True),
)
SAMPLE = campaigns.size(sample=2, full=len(CASES))
LIMIT_S, CONTENT_LIMIT_S = 2.0, 5.0
SILENT = ("microphone", "sound encoder", "resampler")
"""A press would record without sound: an alarm, but the camera is ready."""
FREE = ("lens", "picture", "encoder", "muxer", "microphone", "sound encoder", "resampler", "panel")
"""What keeps no leaf from the log: neither disk nor key nor loop. Its leaf has to be durable as soon as it is told."""
NOT_TOLD = ("well_again", "lag")


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
        time.sleep(1.0)
        assert camera.is_well() and camera.status()["muted"] is case.muted, camera.status()
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


def test_the_marks_that_are_looked_for_stand_in_what_is_recorded() -> None:
    info, packets = encoded()
    init, parts = mux(info, list(packets))
    body, _ = leaves.seal_body(events.Seal().body(), bytes(leaves.SALT_SIZE))
    assert all(mark in plain for mark, plain in zip(IN_THE_CLEAR, (parts[0].data, init, body), strict=True))


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(SAMPLE), ids=[case.name for case in CASES[:SAMPLE]])
def test_light_alarm_and_log_tell_in_time_and_it_recovers(agency: AgencyPaths, tmp_path: Path, part: int) -> None:
    case = CASES[part]
    campaign = campaigns.Campaign("light-tells", part, SAMPLE)
    with running(agency, tmp_path, case.ready, case.rotates) as camera:
        suffering = Suffering(camera, case)
        seconds = suffering.seconds()
        assert camera.in_the_clear() == []
        assert camera.status()["parts_lost"] == 0
    figures = {what: round(s, 2) for what, s in (seconds | suffering.logged()).items()}
    content = case.cause in CONTENT
    free = case.cause.startswith(FREE)
    told = {what: s for what, s in figures.items() if what not in NOT_TOLD and (free or what != "leaf")}
    assert max(told.values()) <= (CONTENT_LIMIT_S if content else LIMIT_S), f"{case.name}: {figures}"
    campaign.finish(
        causes=1,
        causes_not_recording=int(case.ready),
        **{"worst_content_s" if content else "worst_s": max(told.values())},
        **({"worst_content_leaf_s" if content else "worst_leaf_s": figures["leaf"]} if free else {}),
        causes_leaf_free=int(free),
        worst_well_again_s=figures["well_again"],
        worst_lag_s=figures["lag"],
        seconds={case.name: figures},
    )
