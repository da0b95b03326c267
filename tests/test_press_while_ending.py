"""A press while the recording before it is still being written to a slow card: the next one begins with it, and nothing
says meanwhile that what is in front of the lens is recorded. Simulated time, a real ring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import headway
from agent.configcontrols import GesturesConfig
from agent.controls.base import Line
from agent.controls.machine import Deed, Effect
from agent.controls.patterns import Cue
from agent.controls.presses import Presses
from agent.errors import UnheardError
from agent.events import Actor
from agent.model import NS, StreamInfo
from agent.station.layout import AgencyPaths
from agent.status import State
from agent.words import Words
from tests.test_held_button import STEP_NS, Held, RingIntake, held, picture
from tests.test_officer import officer
from tests.test_officer_waiting import last_cue

PRE_S, SLOW_S = 2, 12


class Ending:
    """The card takes so long for the end of what is recorded; after `press_at_s` of it somebody presses."""

    def __init__(self, made: Held, patch: pytest.MonkeyPatch) -> None:
        self.made, self.camera, self.pressed_ns = made, made.camera, 0
        self.press_at_s, self.press_s, self.slow_s = 2.0, 0.15, SLOW_S
        self.each: Callable[[], None] = lambda: None
        self.shown, self.cues = set[tuple[object, ...]](), list[Cue]()
        self._stop = self.camera.vault.sealer.stop_recording
        patch.setattr(self.camera.vault.sealer, "stop_recording", self._slow)
        made.turns(PRE_S + 3)
        self.camera.recorder._record("button")
        made.turns(2)
        ready = RingIntake.wait_ready

        def first(intake: RingIntake, deadline_s: float) -> StreamInfo:
            if not intake.delivery.ring_state()[0]:
                intake.delivery.publish([picture(self.camera.clock.now_ns // NS * NS)], may_wait=False)
            return ready(intake, deadline_s)

        patch.setattr(RingIntake, "wait_ready", first)

    def _slow(self, *told: Any) -> tuple[int, int]:
        self.camera.vault.sealer.stop_recording = self._stop
        clock, press_at = self.camera.clock, round(self.press_at_s * NS / STEP_NS)
        let_go = press_at + round(self.press_s * NS / STEP_NS)
        for number in range(self.slow_s * NS // STEP_NS):
            clock.now_ns += STEP_NS
            self.made.see()
            if number in (press_at, let_go):
                self.pressed_ns = self.pressed_ns or clock.now_ns
                self.camera.panel.pull(Line.BUTTON, number == press_at, clock.now_ns)
            self.camera.recorder.officer.step()
            self.each()
        return self._stop(*told)  # type: ignore[no-any-return]

    def look(self) -> None:
        """What is shown, and what was felt, at each piece that is written."""
        headway.gone_on()
        told = self.camera.recorder.status()
        panel = officer(self.camera)
        self.shown.add((self.camera.panel.levels.light, told["state"], panel["state"], panel["alarm"]))
        if last_cue(self.camera) not in self.cues:
            self.cues.append(last_cue(self.camera))

    def end(self) -> None:
        self.camera.recorder._loop.attempt("stop", lambda: self.camera.recorder._stop("ctl"))

    def resize(self) -> None:
        """As the ladder does; the lens that is opened again has a picture before it is ready."""
        care = self.camera.recorder._care
        self.camera.recorder._loop.attempt("care", lambda: care._resize(self.camera.vault))


@contextmanager
def ending(agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch, **wanted: Any) -> Iterator[Ending]:
    with held(agency, root, patch, pre_event_s=PRE_S, **wanted) as made:
        yield Ending(made, patch)


def test_a_press_while_the_recording_before_is_still_being_written_loses_nothing_after_it(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ending(agency, tmp_path, monkeypatch) as slow:
        slow.end()
        slow.made.turns(1)
        assert slow.camera.is_(State.RECORDING) and not slow.camera.faults()
        given = slow.camera.intake.given
        assert given[0] <= slow.pressed_ns - PRE_S * NS
        assert given == list(range(given[0], given[0] + len(given) * STEP_NS, STEP_NS)), "and none is missing"
        start = slow.camera.said("record.start")[-1]
        assert (start["mono_ns"], start["pre_event_ns"]) == (slow.pressed_ns, PRE_S * NS)


def test_a_hand_that_was_there_before_it_began_to_be_written_loses_nothing_either(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its press had no turn yet."""
    with ending(agency, tmp_path, monkeypatch) as slow:
        slow.press_at_s = SLOW_S + 1.0
        slow.camera.recorder._takes.reach.hear(pressed_ns := slow.camera.clock.now_ns)
        slow.end()
        slow.made.record(pressed_ns)
        slow.made.turns(0.5)
        assert slow.camera.intake.given[0] <= pressed_ns


def test_what_the_ring_has_no_room_for_meanwhile_is_told_as_lost(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 MiB is less than six seconds of such pictures."""
    with ending(agency, tmp_path, monkeypatch, picture_bytes=10_000, ring_mib=1) as slow:
        slow.end()
        slow.made.turns(1)
        gone_ns = slow.camera.intake.given[0] - slow.pressed_ns
        assert 4 * NS < gone_ns < 6 * NS
        slow.camera.recorder._stop("ctl")
        (told,) = [body for body in slow.camera.said("fault") if body["what"] == "media"]
        assert "no room" in told["detail"]
        assert slow.camera.said("record.stop")[-1]["lost_parts"] == round(gone_ns * 2 / NS)
        assert "no room" in slow.camera.faults()["media"]


def test_a_lost_beginning_is_shown_for_as_long_as_its_recording_lasts_and_the_light_tells_of_what_comes_now(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ending(agency, tmp_path, monkeypatch, picture_bytes=10_000, ring_mib=1) as slow:
        camera = slow.camera

        def look() -> tuple[bool, bool, bool]:
            return "media" in camera.faults(), camera.panel.levels.light, bool(officer(camera)["alarm"])

        slow.end()
        slow.made.turns(0.5)
        for _ in range(4):
            camera.muxers[-1].give(1)
            camera.until_sealed()
            slow.made.turns(0.5)
            assert look() == (True, True, False)
        camera.recorder._stop("ctl")
        slow.made.turns(1)
        assert look() == (True, False, True)
        camera.recorder._record("ctl")
        camera.muxers[-1].give(1)
        camera.until_sealed()
        slow.made.turns(0.5)
        assert look() == (False, True, False), "this one is whole"


def test_nothing_says_that_it_records_while_the_end_of_what_was_recorded_is_written(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a card that gets on; and a press is answered at once."""
    with ending(agency, tmp_path, monkeypatch) as slow:
        camera, words = slow.camera, set[str]()
        camera.recorder.officer.step()
        assert camera.panel.levels.light

        def look() -> None:
            slow.look()
            assert officer(camera)["waits"] is bool(slow.pressed_ns and Cue.LATER in slow.cues)
            words.add(camera.recorder.status()["words"][0])

        slow.each = look
        slow.end()
        assert slow.shown == {(False, "starting", "starting", False)} and slow.cues == [Cue.ENDED, Cue.LATER]
        assert words == {Words("en").say(key) for key in ("state.starting", "waits.writing")}
        slow.made.turns(1)
        assert camera.is_(State.RECORDING) and camera.panel.levels.light and last_cue(camera) is Cue.BEGUN


@pytest.mark.parametrize(("press_s", "said"), [(0.15, "mark"), (1.6, "stop")])
def test_a_hand_while_another_size_is_begun_means_the_recording_as_it_does_before_and_after(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, press_s: float, said: str
) -> None:
    """It marks, or ends, what goes on by itself at once. Meanwhile nothing becomes durable, and nothing is wrong."""
    with ending(agency, tmp_path, monkeypatch) as slow:
        camera = slow.camera
        slow.press_s, slow.slow_s, slow.each = press_s, 5, slow.look
        slow.resize()
        assert slow.shown == {(False, "starting", "starting", False)} and slow.cues == [Cue.ENDED, Cue.HEARD]
        slow.made.turns(1)
        marks = [body["text"] for body in camera.said("mark")]
        ends = [body["reason"] for body in camera.said("record.stop")]
        assert (marks, ends[1:]) == ((["button: press"], []) if said == "mark" else ([], ["button: hold"]))
        assert camera.is_(State.RECORDING if said == "mark" else State.READY)
        assert [body["trigger"] for body in camera.said("record.start")] == ["button", "continued"]


def test_while_a_lens_is_opened_for_another_size_it_is_shown_as_starting(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the one before it still gives pictures."""
    with ending(agency, tmp_path, monkeypatch) as slow:
        slow.press_at_s = SLOW_S + 1.0
        recorder, shown = slow.camera.recorder, list[tuple[str, str, bool]]()
        reopen = recorder._care._reopen

        def look() -> None:
            recorder.officer.step()
            told = officer(slow.camera)
            shown.append((recorder.status()["state"], told["state"], told["alarm"]))
            reopen()

        monkeypatch.setattr(recorder._care, "_reopen", look)
        slow.resize()
        assert shown == [("starting", "starting", False)]


@pytest.mark.parametrize(("goes_on", "answer"), [(False, Cue.ENDED), (True, Cue.LATER)])
def test_a_gesture_that_asks_is_told_of_what_comes_and_not_of_what_is_being_written(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_on: bool, answer: Cue
) -> None:
    asks = GesturesConfig(idle_press="tell", recording_press="tell")
    with ending(agency, tmp_path, monkeypatch, sections={"gestures": asks}) as slow:
        slow.slow_s, cues = 3, list[Cue]()
        slow.each = lambda: cues.append(last_cue(slow.camera)) if slow.pressed_ns else None
        slow.resize() if goes_on else slow.end()
        assert cues[-1] is answer and Cue.BEGUN not in cues


def test_a_shutdown_is_no_stop_before_its_end_is_written_and_a_press_meanwhile_is_refused_and_logged(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads `stopped` may take the battery out; whoever reads "not yet" waits for what never comes."""
    with ending(agency, tmp_path, monkeypatch) as slow:
        recorder, shown, told = slow.camera.recorder, list[tuple[str, str, Cue, bool]](), list[str]()

        def look() -> None:
            headway.gone_on()
            so = recorder.status()
            now = so["state"], so["words"][0].split(":")[0], last_cue(slow.camera), so["officer"]["waits"]
            shown.extend([now] if now not in shown else [])

        slow.slow_s, close = 4, slow.camera.vault.close
        monkeypatch.setattr(slow.camera.vault, "close", lambda clean: (look(), close(clean)))
        monkeypatch.setattr("agent.recorder.notify", told.append)
        slow.each = look
    stopping = "stopping", "Stopping"
    assert shown == [(*stopping, Cue.ENDED, False), (*stopping, Cue.REFUSED, False)]
    assert [word for word in told if "STATUS" in word] == ["STATUS=stopping", "STATUS=stopped"]
    assert recorder.status()["state"] == "stopped"
    (forgone,) = slow.camera.said("record.forgone")
    assert (forgone["reason"], forgone["trigger"], forgone["mono_ns"]) == ("shutdown", "button", slow.pressed_ns)
    assert not recorder._resume.presses._path.exists()


def test_a_press_in_a_turn_that_outlasts_the_order_to_stop_is_refused(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the last recording is being written when the order comes: no other one is begun after it."""
    with ending(agency, tmp_path, monkeypatch) as slow:
        slow.each = lambda: (slow.camera.recorder.stop(), slow.look())[1]
        slow.press_at_s, slow.slow_s = 1.0, 3
        slow.end()
        assert {(state, alarm) for _, state, _, alarm in slow.shown} == {("stopping", False)}
        assert slow.cues[-1] is Cue.REFUSED and Cue.LATER not in slow.cues
    (forgone,) = slow.camera.said("record.forgone")
    assert (forgone["reason"], forgone["mono_ns"]) == ("shutdown", slow.pressed_ns)


def test_a_press_after_the_log_is_closed_is_not_done_by_the_next_start(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ending(agency, tmp_path, monkeypatch) as slow:
        recorder, close, clock, pressed = slow.camera.recorder, slow.camera.vault.close, slow.camera.clock, list[int]()
        slow.end()

        def closed(clean: bool) -> None:
            close(clean)
            pressed.append(clock.now_ns)
            recorder.officer._do(Effect(Deed.RECORD, mono_ns=clock.now_ns, reason="button"), Actor.OFFICER)

        monkeypatch.setattr(slow.camera.vault, "close", closed)
    presses = Presses(recorder._resume.presses._path.parent, clock.boot_id)
    assert not presses.left
    (gone,) = presses.forgone
    assert gone.let_go and (gone.mono_ns, gone.let_go.reason) == (pressed[-1], "shutdown")


def test_a_command_while_the_recorder_stops_is_told_at_once_that_it_is_not_done(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ending(agency, tmp_path, monkeypatch) as slow:
        recorder, told = slow.camera.recorder, list[str]()

        def ask() -> None:
            slow.each = headway.gone_on
            for do in ("record", "stop", "mark", "stealth"):
                with pytest.raises(UnheardError, match="is stopping"):
                    recorder._answer({"do": do, "text": "on"})
            told.extend(recorder._answer({"do": "press"})["does"])
            told.append(
                recorder.officer._do(Effect(Deed.STEALTH, recorder._clock.monotonic_ns(), ""), Actor.OFFICER).what
            )

        slow.each, slow.slow_s = ask, 1
    assert told == ["refused", "refused"]
    assert not officer(slow.camera)["stealth"]


def test_a_press_while_the_recorder_begins_anew_for_its_disk_waits_for_the_next_one(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ending(agency, tmp_path, monkeypatch) as slow:
        recorder = slow.camera.recorder
        slow.end()
        vault, recorder._vault = recorder._vault, None
        recorder._leave()
        assert recorder._answer({"do": "press"})["does"] == ["later"]
        recorder._leaving.refused, recorder._vault = None, vault
