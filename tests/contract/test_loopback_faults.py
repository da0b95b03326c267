"""The faults of test_faults.py, asked of a microphone that the kernel has: snd-aloop, as root. Run where
BODYCAM_TEST_LOOPBACK=hw:0,1 names its other end (tests/vm); for a stall, BODYCAM_TEST_CLOCK=hw:1,0 a card that gives it
its pace (`timer_source`), which stands still where nothing plays into that.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from agent.capture.base import DeliverSound, Signal
from agent.capture.microphone import BLOCK_SAMPLES, Microphone
from agent.capture.reviving import Reviving
from agent.capture.synthetic import SyntheticCamera
from agent.intake import IntakeEventKind
from agent.model import AUDIO_HZ, NS, AudioBlock
from tests.contract.test_faults import check_continuous, told
from tests.test_intake import FAST, Take

DEVICE = os.environ.get("BODYCAM_TEST_LOOPBACK", "")
CLOCK = os.environ.get("BODYCAM_TEST_CLOCK", "")
CARD, DRIVER = Path("/proc/asound/Loopback"), Path("/sys/bus/platform/drivers/snd_aloop")
PATIENCE_S = 60
LATE_S = 1.0

pytestmark = pytest.mark.skipif(not DEVICE, reason="BODYCAM_TEST_LOOPBACK=hw:0,1 names no snd-aloop")
plain = pytest.mark.skipif(bool(CLOCK), reason="another card gives it its pace")
clocked = pytest.mark.skipif(not CLOCK, reason="BODYCAM_TEST_CLOCK names no card that gives it its pace")


class Heard:
    """The driver, and when what it gave was captured and came; before block `late` it is kept waiting."""

    live = True

    def __init__(self, late: int = -1) -> None:
        self._source, self._late = Reviving(f"microphone {DEVICE}", lambda: Microphone(DEVICE)), late
        self.stamps_ns: list[int] = []
        self.samples: list[int] = []
        self.arrived_ns: list[int] = []

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def dropped_blocks(self) -> int:
        return self._source.dropped_blocks

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        def hear(block: AudioBlock) -> None:
            if len(self.stamps_ns) == self._late:
                time.sleep(LATE_S)
            self.stamps_ns.append(block.mono_ns)
            self.arrived_ns.append(time.monotonic_ns())
            self.samples.append(len(block.pcm) // 2)
            deliver(block)

        self._source.start(hear, signal)

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._source.stop(deadline_s)


def take_of(microphone: Heard) -> Take:
    return Take(SyntheticCamera(64, 64, 15), microphone, FAST)


def ended(take: Take) -> None:
    take.intake.detach(time.monotonic_ns(), 5)
    check_continuous(take)


def plays(card: str, rate: int, channels: int, *more: str) -> subprocess.Popen[bytes]:
    """Silence, without an end."""
    form = ("-t", "raw", "-f", "S16_LE", "-r", str(rate), "-c", str(channels))
    return subprocess.Popen(["aplay", "-q", "-D", card, *form, *more, "/dev/zero"])


def ends(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait(PATIENCE_S)


@pytest.fixture
def clock() -> Iterator[subprocess.Popen[bytes]]:
    one = plays(CLOCK, AUDIO_HZ, 2, f"--period-size={BLOCK_SAMPLES}", f"--buffer-size={4 * BLOCK_SAMPLES}")
    yield one
    ends(one)


@clocked
def test_a_stall_is_announced_within_two_seconds_and_taken_back(clock: subprocess.Popen[bytes]) -> None:
    microphone = Heard()
    with take_of(microphone) as take:
        take.attach()
        take.wait_seconds(1.5)
        assert len(microphone.stamps_ns) > 30
        clock.send_signal(signal.SIGSTOP)
        lost = take.wait_event(IntakeEventKind.MICROPHONE_LOST)
        assert time.monotonic_ns() - lost.mono_ns < 2 * NS
        take.wait_seconds(4.5)
        assert not told(take, IntakeEventKind.MICROPHONE_BACK)
        clock.send_signal(signal.SIGCONT)
        back = take.wait_event(IntakeEventKind.MICROPHONE_BACK)
        take.wait_seconds((back.mono_ns - lost.mono_ns) / NS + 2.5)
        ended(take)
    assert take.intake.counters().silence_ms > 2000


@pytest.fixture
def shift() -> Iterator[None]:
    yield
    set_shift(100_000)


def set_shift(to: int) -> None:
    """Each sample takes so many 100,000ths of its time."""
    control = "iface=PCM,name='PCM Rate Shift 100000',device=1,subdevice=0"
    subprocess.run(["amixer", "-q", "-c", "Loopback", "cset", control, str(to)], check=True, timeout=30)


@plain
@pytest.mark.parametrize("to", [80_000, 120_000])
def test_at_the_wrong_rate_it_stays_in_step_and_says_so(shift: None, to: int) -> None:
    microphone = Heard()
    with take_of(microphone) as take:
        take.attach()
        take.wait_seconds(1)
        set_shift(to)
        begin = len(microphone.stamps_ns) + 10
        usual_ns = BLOCK_SAMPLES * NS / AUDIO_HZ

        def paces() -> list[float]:
            """How long a block lasts, from one whose stamp was measured to the next, where a busy machine lost none: of
            those that were fetched together only the first one's was, and the others lie behind it by the rate that was
            asked for.
            """
            stamps = microphone.stamps_ns[begin:]
            steps = [b - a for a, b in itertools.pairwise(stamps)]
            measured = [at for at, step in enumerate(steps, 1) if abs(step - usual_ns) > 1000]
            found = [(stamps[b] - stamps[a]) / (b - a) for a, b in itertools.pairwise(measured)]
            return [pace for pace in found if pace < usual_ns * 1.6]

        take.wait(lambda _: len(paces()) >= 30)
        ended(take)
    assert median(paces()) == pytest.approx(usual_ns * to / 100_000, rel=0.14)
    over = told(take, IntakeEventKind.MICROPHONE_REGULAR)[-1]
    assert "jumps to stay in step" in over.detail or "overlaps left out" in over.detail or "gaps" in over.detail


@plain
def test_a_burst_is_kept_and_what_it_costs_is_counted(shift: None) -> None:
    """What waits for a slow receiver comes at once; the driver's buffer holds less than that."""
    microphone = Heard(late=60)
    with take_of(microphone) as take:
        take.attach()
        take.wait_seconds(5)
        ended(take)
        counters = take.intake.counters()
    at = microphone.arrived_ns
    together = [b - a < NS // 200 for a, b in itertools.pairwise(at[60:65])]
    assert any(together)
    assert counters.sound_blocks_dropped >= 1
    assert counters.silence_ms >= (LATE_S - 0.5) * 1000


@plain
def test_one_that_comes_back_with_another_format_is_refused_until_it_has_the_right_one() -> None:
    """What plays into one end decides what the other can be opened with."""
    microphone = Heard()
    with take_of(microphone) as take:
        take.attach()
        take.wait_seconds(1)
        other = comes_back(playing=96_000)
        lost = take.wait_event(IntakeEventKind.MICROPHONE_LOST)
        before = len(microphone.stamps_ns)
        take.wait(lambda _: "cannot be opened" in microphone.name)
        assert len(microphone.stamps_ns) == before
        ends(other)
        back = take.wait_event(IntakeEventKind.MICROPHONE_BACK)
        take.wait(lambda _: len(microphone.stamps_ns) > before + 20)
        ended(take)
        silence_ms = take.intake.counters().silence_ms
    assert silence_ms * 1_000_000 > (back.mono_ns - lost.mono_ns) * 0.9


@plain
def test_one_that_comes_back_at_44100_hz_is_taken_and_each_block_begins_where_the_last_ended() -> None:
    microphone = Heard()
    with take_of(microphone) as take:
        take.attach()
        take.wait_seconds(1)
        other = comes_back(playing=44_100)
        take.wait_event(IntakeEventKind.MICROPHONE_LOST)
        before = len(microphone.stamps_ns)
        take.wait(lambda _: microphone.name.endswith(" at 44100 Hz") and len(microphone.stamps_ns) > before + 60)
        stamps, samples = microphone.stamps_ns[before:], microphone.samples[before:]
        ended(take)
        ends(other)
    # A busy machine may lose some; at the rate that was not asked for each would be off by 1.7 ms.
    pairs = zip(itertools.pairwise(stamps), samples, strict=False)
    assert median(abs(b - a - count * NS / AUDIO_HZ) for (a, b), count in pairs) < 100_000


def comes_back(playing: int) -> subprocess.Popen[bytes]:
    """Pulled out and put back, with something that plays into it before the recorder has it again."""
    for _ in range(8):
        # The kernel waits until it was let go of.
        with subprocess.Popen(["sh", "-c", f"echo snd_aloop.0 > {DRIVER}/unbind"]) as out:
            out.wait(PATIENCE_S)
        assert not CARD.exists()
        (DRIVER / "bind").write_text("snd_aloop.0")
        other = plays("hw:Loopback,0", playing, 2)
        try:
            other.wait(0.7)
        except subprocess.TimeoutExpired:
            return other
    raise AssertionError("the recorder had it again before anything could play into it")
