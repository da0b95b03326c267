"""Flash against beep through real V4L2 and ALSA: vivid's brightness and snd-aloop, by one process in the guest.

vivid's pictures have a pace of their own, so a light is seen at the first picture after it went on: a film says only
that it did so after the last dark picture and not after the first bright one. A beep is held to that in each event:
95 % no more than 10 ms outside of it, the worst 20 ms, and one that is not heard is missed. What all events have in
common is told more finely: each meets the pictures elsewhere, and the ranges they leave lie upon each other in a few
ms. Those have to be within 10 ms; so an error of 15 ms, planted both ways, is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.model import NS
from tests import avsync, campaigns
from tests.lab import vivid_flasher
from tests.vm.bodycam import FPS, ROOT, BodyCamera
from tests.vm.conftest import KINDS, Make, campaign
from tests.vm.logged import held_by, said
from tests.vm.test_vm_faults import NO_LADDER, STEADY, begin, delivered, end

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
STATUS = "/proc/asound/Loopback/pcm0p/sub0/status"
TOLD = "/run/vivid-flasher.log"
PICTURE_MS = 1000 / FPS["uml"]
LATENCY_MS = 0
"""vivid is told to stamp as a webcam does, as it makes a picture. By itself it stamps the end of one, 0.9 of its period
later (vivid-kthread-cap.c): at this rate 60 ms into the future, near what the recorder believes of no picture
(agent/intake/stamps.py), and whether that is taken out hangs on how busy this machine is.
"""
PLANTED_MS = 15
PLANTED_S = 120
"""The pictures of a minute leave too wide a range to tell where in it the error is."""
UNHEARD_MS = vivid_flasher.BEEP_S * 500
"""A beep of which less is silent is heard."""
NEAR_NS = NS
"""A gap is told when it is noticed."""


@dataclass(frozen=True)
class Take:
    """One recording: its film, and where in it the camera's log says that silence stands in for sound."""

    film: Path
    silence_ms: float
    silences_s: tuple[tuple[float, float], ...]

    def events(self, seen: avsync.Seen) -> tuple[list[avsync.Event], int]:
        """All of them, but for beeps that are not heard where the log says so; and how many those are."""
        found = avsync.find(self.film, vivid_flasher.EVENT_S, seen)
        owned = [event for event in found if event.beep_s is None and self._silent(event.flash.until_s)]
        assert len(owned) * UNHEARD_MS <= self.silence_ms
        return [event for event in found if event not in owned], len(owned)

    def _silent(self, at_s: float) -> bool:
        return any(begin <= at_s <= end for begin, end in self.silences_s)


def take(camera: BodyCamera, seconds: int, into: Path) -> Take:
    camera.wait(STEADY, 60)
    silence_ms = camera.status()["intake"]["silence_ms"]
    recording = begin(camera)
    camera.machine.rest(seconds)
    end(camera)
    silence_ms = camera.status()["intake"]["silence_ms"] - silence_ms
    into.mkdir()
    delivered(camera, into)
    zero_ns = next(leaf.zero_mono_ns for leaf in held_by(camera).media if leaf.recording == recording)
    film = camera.evidence(recording, into / "film")
    camera.dock(docked=False)
    camera.wait("not status['docked']", 30)
    silences = tuple(((a - zero_ns) / NS, (b - zero_ns) / NS) for a, b in silences_ns(camera))
    return Take(film, silence_ms, silences)


def silences_ns(camera: BodyCamera) -> list[tuple[int, int]]:
    """As its log has them: the microphone lost, or gaps that were filled; what is not said to be over lasts."""
    found = []
    for begins, ends, word in (("lost", "back", ""), ("irregular", "regular", "silence")):
        over = said(camera, f"microphone.{ends}")
        for body in said(camera, f"microphone.{begins}"):
            begin_ns = body["mono_ns"]
            last = next((end for end in over if end["mono_ns"] >= begin_ns), {"mono_ns": 1 << 62, "detail": word})
            if word in body["detail"] + last["detail"]:
                found.append((begin_ns - NEAR_NS, last["mono_ns"] + NEAR_NS))
    return found


def flash_and_beep(camera: BodyCamera) -> None:
    """From now on, in place of the tone."""
    run = camera.machine.run
    # The loopback's capture side is opened after its player.
    run("systemctl stop bodycam-recorder loopback-tone", 60)
    run("mkdir -p /mnt/here && mount -t hostfs none /mnt/here -o /")
    flasher = f"/mnt/here{ROOT}/tests/lab/vivid_flasher.py"
    run(
        f"systemd-run --unit vivid-flasher -p StandardOutput=file:{TOLD} -p CPUSchedulingPolicy=fifo "
        f"-p CPUSchedulingPriority=1 python3 {flasher} /dev/video0 {STATUS}"
    )
    camera.machine.wait_for(f"[ -s {TOLD} ]", 60)
    run("systemctl start bodycam-recorder", 120)


@pytest.mark.campaign
def test_flash_and_beep_of_kernel_devices_stay_in_step_as_far_as_its_pictures_tell(
    make_camera: Make, tmp_path: Path
) -> None:
    figures, seconds = campaign("vm-avsync", "uml", "-k avsync"), campaigns.size(20, 180)
    camera = make_camera("uml", {"video": {"latency_ms": LATENCY_MS}, **NO_LADDER})
    camera.wait_ready(60)
    flash_and_beep(camera)
    whole = take(camera, seconds, tmp_path / "whole")
    events, unheard = whole.events(avsync.Seen.BETWEEN)
    outside, common = avsync.offsets(events), avsync.narrowed(events)
    planted = {}
    for planted_ms in (PLANTED_MS, -PLANTED_MS):
        # What the configuration takes off too much makes the picture early, and the sound late.
        camera.reconfigure({"video": {"latency_ms": LATENCY_MS + planted_ms}})
        wrong = take(camera, PLANTED_S, tmp_path / f"planted{planted_ms:+d}")
        planted[planted_ms] = avsync.narrowed(wrong.events(avsync.Seen.BETWEEN)[0])
    told = camera.machine.run(f"cat {TOLD} && systemctl is-active -q vivid-flasher").splitlines()
    # An underrun of its player would be told here too.
    assert all(line.endswith((" lit", " dark")) for line in told), told[-5:]
    lit = [int(line.split()[1]) for line in told if line.endswith(" lit")]
    figures.finish(
        seconds=seconds,
        picture_ms=round(PICTURE_MS, 1),
        latency_ms=LATENCY_MS,
        **outside.figures(),
        unheard_in_silence_of_the_log=unheard,
        possible_low_ms=round(common.low_ms, 2),
        possible_high_ms=round(common.high_ms, 2),
        possible_by_events=common.agree,
        planted={f"{ms:+d} ms": found.figures() for ms, found in planted.items()},
        against_the_first_bright_picture=avsync.offsets(whole.events(avsync.Seen.AT_ONCE)[0]).figures(),
        silence_ms=whole.silence_ms,
        flashes_left_out=len(told) - len(lit),
        light_late_us_worst=max(lit),
    )
    # As many as there were, but for those that the flasher itself left out.
    assert outside.flashes + unheard >= seconds / vivid_flasher.EVENT_S - 3 - (len(told) - len(lit))
    assert outside.flashes >= seconds / vivid_flasher.EVENT_S / 2
    assert common.verdict() == []
    for planted_ms, found in planted.items():
        assert found.verdict()
        assert abs(found.middle_ms - common.middle_ms - planted_ms) <= avsync.MOST_MS / 2
    if campaigns.FULL:
        assert outside.verdict() == []
