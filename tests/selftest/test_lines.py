"""Each defect fails its own line, and no other: one row for each. Everything else is whole, in simulated time."""

from __future__ import annotations

import datetime
import errno
import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gpiozero.pins.mock import MockFactory

from agent.cli import agent_main
from agent.config import AudioConfig, Config
from agent.configcontrols import PanelConfig
from agent.controls.base import Line as Input
from agent.controls.panel import GpioPanel
from agent.controls.patterns import Levels
from agent.controls.synthetic import SyntheticPanel
from agent.dock.station import RefusedError, StationLog, TryAgainError, UntrustedError
from agent.errors import DeviceError, Exit, KeyTrustError, StationError
from agent.formats import certs
from agent.identity import FileSigner
from agent.model import NS, AudioBlock, VideoFrame
from agent.mounts import Mounts
from agent.selftest.arguments import NAMES
from agent.selftest.commands import selftest, text_of
from agent.selftest.controls import Hands
from agent.selftest.inputs import MOVE_S
from agent.selftest.line import Line, Verdict
from agent.selftest.run import Options, Parts, run
from agent.selftest.storage import SpoolDisk
from agent.station.layout import AgencyPaths
from agent.vaultparts import sealer_settings
from agent.vouch import VouchedClock
from agent.words import Words
from tests.fault.running import WatchedPanel
from tests.recorder_kit import make_config
from tests.selftest.rig import SECONDS, Card, Lens, Rig

HOUSE = Path(__file__).resolve().parents[2]


class Answering:
    """A station that knows this camera, or fails as it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def log_state(self, epoch: int) -> StationLog:
        if self._error:
            raise self._error
        return StationLog(7, 7)

    def close(self) -> None:
        pass


def no_wait(seconds: float) -> None:
    assert 0.2 <= seconds <= 1, "long enough to be seen, short enough for four"


def moves(
    bench: Bench,
    panel: SyntheticPanel,
    whole: Collection[Input] = tuple(Input),
    back: Collection[Input] = tuple(Input),
    answers: Callable[[str], bool] = lambda question: True,
) -> list[str]:
    """A person who does what is asked: which lines have a wire, and which come `back` up. Returns what is told."""
    told: list[str] = []
    meant = {"button": Input.BUTTON, "trigger": Input.TRIGGER, "dock": Input.DOCK}

    def tell(what: str) -> None:
        told.append(what)
        line = next(line for word, line in meant.items() if word in what)
        if line in whole:
            panel.pull(line, True)
            if line in back:
                panel.pull(line, False)

    bench.parts |= {"open_panel": lambda config: panel, "hands": Hands(no_wait, answers, tell)}
    return told


@dataclass
class Bench:
    """Whole, until a row breaks something."""

    config: Config
    agency: AgencyPaths
    tmp: Path
    rig: Rig = field(default_factory=Rig)
    card: Card = field(default_factory=Card)
    parts: dict[str, Any] = field(default_factory=dict)
    station: Answering = field(default_factory=Answering)

    def run(self, only: tuple[str, ...] = (), events: int | None = None) -> dict[str, Line]:
        clock = self.rig.clock
        parts = Parts(
            clock=clock,
            sources=self.rig.sources,
            open_disk=self.card,
            now=self.card.now,
            rtc=lambda: clock.rtc,
            connect=lambda config: self.station,
            resolve=lambda host, port: "192.0.2.7",
            is_running=lambda socket: False,
            hands=Hands(no_wait),
            mounts=lambda: Mounts({}, frozenset({Path("/")})),
        )
        options = Options(only, events, seconds=SECONDS - 0.5, patience_s=-100)
        self.result = run(self.config, options, replace(parts, **self.parts))
        return {line.name: line for line in self.result.lines}


@pytest.fixture
def bench(agency: AgencyPaths, tmp_path: Path) -> Bench:
    config = make_config(agency, tmp_path)
    config = replace(
        config,
        video=replace(config.video, source="webcam:0", fps=30),
        audio=AudioConfig(source="default"),
        dock=replace(config.dock, presence=("always",)),
    )
    config.spool.dir.mkdir()
    return Bench(replace(config, panel=PanelConfig(chip="synthetic")), agency, tmp_path)


def moved_frames(change: Callable[[int, VideoFrame], VideoFrame | None]) -> Callable[..., Iterator[VideoFrame]]:
    def frames(whole: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for number, frame in enumerate(whole):
            changed = change(number, frame)
            if changed is not None:
                yield changed

    return frames


def moved_blocks(change: Callable[[int, AudioBlock], AudioBlock]) -> Callable[..., Iterator[AudioBlock]]:
    def blocks(whole: Iterator[AudioBlock]) -> Iterator[AudioBlock]:
        for number, block in enumerate(whole):
            yield change(number, block)

    return blocks


def half_rate(bench: Bench) -> None:
    bench.rig.frames = moved_frames(
        lambda n, frame: None if n % 2 else VideoFrame(frame.mono_ns, frame.sequence // 2, frame.picture)
    )


def a_picture_lost(bench: Bench) -> None:
    bench.rig.frames = moved_frames(lambda n, frame: None if n == 40 else frame)


def a_hole_that_nobody_counts(bench: Bench) -> None:
    bench.rig.frames = moved_frames(
        lambda n, frame: None if 40 <= n < 46 else replace(frame, sequence=n - 6 * (n >= 46))
    )


def wall_clock_pictures(bench: Bench) -> None:
    ahead_ns = bench.rig.clock.utc().ns - bench.rig.clock.monotonic_ns()
    bench.rig.frames = moved_frames(lambda n, frame: replace(frame, mono_ns=frame.mono_ns + ahead_ns))


def stamps_that_go_back(bench: Bench) -> None:
    bench.rig.frames = moved_frames(
        lambda n, frame: replace(frame, mono_ns=frame.mono_ns - NS // 10) if n == 50 else frame
    )


def no_camera(bench: Bench) -> None:
    bench.rig.missing = True


def counted_drops(bench: Bench) -> None:
    bench.rig.dropped_frames = 3


def lens_covered(bench: Bench) -> None:
    """By a hand: dark, with a sensor's noise in it."""
    noise = np.random.default_rng(3)
    bench.rig.frames = moved_frames(
        lambda n, frame: replace(frame, picture=picture_of(noise.integers(16, 24, (270, 320)).astype(np.uint8)))
    )


def picture_frozen(bench: Bench) -> None:
    """After two seconds, for good."""
    kept = []

    def freeze(number: int, frame: VideoFrame) -> VideoFrame:
        kept.extend([frame.picture] if number == 60 else [])
        return replace(frame, picture=kept[0]) if kept else frame

    bench.rig.frames = moved_frames(freeze)


def picture_of(luma: np.ndarray[Any, Any]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(
        np.vstack((luma, np.full((len(luma) // 2, luma.shape[1]), 128, np.uint8))), "yuv420p"
    )


def noise_floor_only(bench: Bench) -> None:
    """A converter without a microphone: its last bit."""
    noise = np.random.default_rng(4)
    bench.rig.blocks = moved_blocks(
        lambda n, block: AudioBlock(block.mono_ns, noise.integers(-1, 2, len(block.pcm) // 2).astype("<i2").tobytes())
    )


def silent_to_the_bit_for_a_while(bench: Bench) -> None:
    bench.rig.blocks = moved_blocks(
        lambda n, block: AudioBlock(block.mono_ns, bytes(len(block.pcm))) if n > 100 else block
    )


def no_sound(bench: Bench) -> None:
    bench.rig.blocks = lambda whole: iter(())


def silence(bench: Bench) -> None:
    bench.rig.blocks = moved_blocks(lambda n, block: AudioBlock(block.mono_ns, bytes(len(block.pcm))))


def clipped(bench: Bench) -> None:
    square = np.tile(np.array([32_767, -32_768], np.int16), 512).tobytes()
    bench.rig.blocks = moved_blocks(lambda n, block: AudioBlock(block.mono_ns, square))


def bad_crystal(bench: Bench) -> None:
    bench.rig.slow = 1.000_6


def overruns(bench: Bench) -> None:
    bench.rig.dropped_blocks = 2


def a_gap(bench: Bench) -> None:
    bench.rig.blocks = moved_blocks(
        lambda n, block: AudioBlock(block.mono_ns + (NS // 10 if n > 150 else 0), block.pcm)
    )


def wall_clock_sound(bench: Bench) -> None:
    ahead_ns = bench.rig.clock.utc().ns - bench.rig.clock.monotonic_ns()
    bench.rig.blocks = moved_blocks(lambda n, block: AudioBlock(block.mono_ns + ahead_ns, block.pcm))


def falls_silent(bench: Bench) -> None:
    bench.rig.blocks = lambda whole: islice(whole, 100)


def slow_writes(bench: Bench) -> None:
    bench.card.write_s = 5


def a_stalling_card(bench: Bench) -> None:
    bench.card.sync_s, bench.card.every = 0.8, 30


def a_card_that_stalls_once(bench: Bench) -> None:
    bench.card.sync_s, bench.card.every = 5, 60


def a_full_card(bench: Bench) -> None:
    bench.card.free = 1 << 20


def a_card_that_the_recorder_calls_full(bench: Bench) -> None:
    """A byte below what it keeps back: the floor, the log's reserve, one more segment, and what begins it."""
    bench.card.free = sealer_settings(bench.config, bench.config.spool.dir).begins_bytes - 1


def no_card_where_the_spool_was(bench: Bench) -> None:
    """What is left of it is the directory above, on the system's own card."""
    bench.config.spool.dir.rmdir()


def a_card_of_fstab_that_is_not_mounted(bench: Bench) -> None:
    """Systemd made a spool all the same, on the system's own card (systemd/tmpfiles.d)."""
    bench.parts["mounts"] = lambda: Mounts({bench.tmp: "LABEL=bodycam"}, frozenset({Path("/")}))


def a_broken_card(bench: Bench) -> None:
    bench.card.error = OSError(errno.EIO, "I/O error")


def no_spool(bench: Bench) -> None:
    def refuse(spool: Path) -> Card:
        raise OSError(errno.EROFS, "read-only")

    bench.parts["open_disk"] = refuse


def key_gone(bench: Bench) -> None:
    bench.config = replace(bench.config, sealing=replace(bench.config.sealing, identity_key=bench.tmp / "gone.key"))


def another_key(bench: Bench) -> None:
    key = bench.tmp / "keys" / "other.key"
    key.parent.mkdir(mode=0o700)
    made = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key.touch(0o600)
    key.write_bytes(made)
    bench.config = replace(bench.config, sealing=replace(bench.config.sealing, identity_key=key))


class Lying:
    """Hardware that signs something else."""

    def __init__(self, path: Path) -> None:
        self._signer = FileSigner(path)
        self.public, self.issuing_key = self._signer.public, self._signer.issuing_key

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message + b"!")


def a_chip_that_signs_wrongly(bench: Bench) -> None:
    bench.parts["open_key"] = lambda place, device: Lying(place)


def a_chip_that_fails(bench: Bench) -> None:
    def refuse(place: object, device: Path) -> None:
        raise DeviceError("the TPM does not answer", "check /dev/tpmrm0")

    bench.parts["open_key"] = refuse


def another_name(bench: Bench) -> None:
    bench.config = replace(bench.config, camera=replace(bench.config.camera, id="cam-other"))


def soon_over(bench: Bench, days: int = 10) -> None:
    """The certificate again, but with an end; its own issuer signed it."""
    chain = certs.parse_pem(bench.config.sealing.identity_chain.read_bytes())
    issuer = serialization.load_pem_private_key(bench.agency.issuing_key.read_bytes(), None)
    now = datetime.datetime.fromtimestamp(bench.rig.clock.utc().ns / NS, datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(chain[0].subject).issuer_name(chain[1].subject)
    builder = builder.public_key(chain[0].public_key()).serial_number(1)
    builder = builder.not_valid_before(chain[0].not_valid_before_utc).not_valid_after(now + datetime.timedelta(days))
    forged = builder.sign(issuer, hashes.SHA256())
    path = bench.tmp / "chain.pem"
    path.write_bytes(certs.pem([forged, chain[1]]))
    bench.config = replace(bench.config, sealing=replace(bench.config.sealing, identity_chain=path))


def over(bench: Bench) -> None:
    soon_over(bench, -1)


def not_set(bench: Bench) -> None:
    bench.rig.clock.stepped_ns = -1_900_000_000 * NS


def nobody_vouches(bench: Bench) -> None:
    """A day on, as good as any: the last file of fake-hwclock, or a guess."""
    bench.rig.clock.stepped_ns = 86_400 * NS
    bench.rig.clock.utc_source, bench.rig.clock.utc_bound_ms = "unverified", None


def another_rtc(bench: Bench) -> None:
    bench.rig.clock.rtc = bench.rig.clock.utc().ns // NS - 60


def no_panel(bench: Bench) -> None:
    bench.config = replace(bench.config, panel=PanelConfig(chip="gpiochip77", button=4))


def a_panel_that_went(bench: Bench) -> None:
    panel = SyntheticPanel()
    panel.gone = "the panel is gone"
    bench.parts["open_panel"] = lambda config: panel


def a_stuck_button(bench: Bench) -> None:
    panel = SyntheticPanel()
    panel.pull(Input.BUTTON, True)
    bench.parts["open_panel"] = lambda config: panel


def a_stuck_trigger(bench: Bench) -> None:
    panel = SyntheticPanel()
    panel.pull(Input.TRIGGER, True)
    bench.parts["open_panel"] = lambda config: panel


def a_closed_dock_contact(bench: Bench) -> None:
    panel = SyntheticPanel()
    panel.pull(Input.DOCK, True)
    bench.parts["open_panel"] = lambda config: panel


def a_motor_that_nobody_felt(bench: Bench) -> None:
    moves(bench, SyntheticPanel(), answers=lambda question: "vibration" not in question)


def a_cut_wire_of_the_button(bench: Bench) -> None:
    moves(bench, SyntheticPanel(), whole=(Input.TRIGGER, Input.DOCK))


def a_cut_wire_of_the_trigger(bench: Bench) -> None:
    moves(bench, SyntheticPanel(), whole=(Input.BUTTON, Input.DOCK))


def a_cut_wire_of_the_dock_contact(bench: Bench) -> None:
    moves(bench, SyntheticPanel(), whole=(Input.BUTTON, Input.TRIGGER))


def a_button_that_stays_down(bench: Bench) -> None:
    moves(bench, SyntheticPanel(), back=(Input.TRIGGER, Input.DOCK))


def no_button(bench: Bench) -> None:
    bench.parts["open_panel"] = lambda config: SyntheticPanel((Input.DOCK,))


def no_name(bench: Bench) -> None:
    def refuse(host: str, port: int) -> str:
        raise StationError(f"the station's name {host} cannot be resolved")

    bench.parts["resolve"] = refuse


def nobody_there(bench: Bench) -> None:
    bench.station = Answering(TryAgainError("the station does not answer", away=True))


def a_stranger(bench: Bench) -> None:
    bench.station = Answering(UntrustedError("the station's certificate is not the agency's"))


def sent_away(bench: Bench) -> None:
    bench.station = Answering(RefusedError("the station answers 403", 403))


def no_tls_key(bench: Bench) -> None:
    def refuse(config: Config) -> Answering:
        raise KeyTrustError("TLS key: not there", "enrol the camera")

    bench.parts["connect"] = refuse


def sound_behind_picture(bench: Bench) -> None:
    """By more than an eye forgives, of twins that flash and beep at one instant."""
    twins = replace(bench.config, video=replace(bench.config.video, source="synthetic"))
    bench.config = replace(twins, audio=AudioConfig(source="synthetic"))
    bench.rig.beep_late_ns = 25_000_000


def a_mistake_in_its_file(bench: Bench) -> None:
    bench.parts["notes"] = ("audio.latency_ms: -120 is out of range (milliseconds, 0 to 200); used: 0",)


TABLE: list[tuple[Callable[[Bench], None], str, Exit, str]] = [
    (a_mistake_in_its_file, "configuration", Exit.USAGE, "-120 is out of range .*; used: 0; mistakes: 1"),
    (no_camera, "camera", Exit.DEVICE, "there is no webcam 0"),
    (half_rate, "camera", Exit.DEVICE, "wrong rate"),
    (a_picture_lost, "camera", Exit.DEVICE, "pictures lost"),
    (counted_drops, "camera", Exit.DEVICE, "3 lost"),
    (a_hole_that_nobody_counts, "camera", Exit.DEVICE, "a gap between pictures"),
    (wall_clock_pictures, "camera", Exit.DEVICE, "stamps of CLOCK_REALTIME"),
    (stamps_that_go_back, "camera", Exit.DEVICE, "do not grow"),
    (lens_covered, "camera", Exit.DEVICE, "nothing can be seen"),
    (picture_frozen, "camera", Exit.DEVICE, "the same picture"),
    (noise_floor_only, "microphone", Exit.DEVICE, r"noise of a converter.*loudest -9\d"),
    (silent_to_the_bit_for_a_while, "microphone", Exit.DEVICE, "digital silence"),
    (no_sound, "microphone", Exit.DEVICE, "no sound came"),
    (silence, "microphone", Exit.DEVICE, "digital silence"),
    (clipped, "microphone", Exit.DEVICE, "clipped"),
    (bad_crystal, "microphone", Exit.DEVICE, r"crystal is off.*crystal \+600 ppm"),
    (overruns, "microphone", Exit.DEVICE, "2 overruns"),
    (a_gap, "microphone", Exit.DEVICE, "by 100 ms"),
    (wall_clock_sound, "microphone", Exit.DEVICE, "stamps of CLOCK_REALTIME"),
    (falls_silent, "microphone", Exit.DEVICE, "fell silent"),
    (sound_behind_picture, "avsync", Exit.DEVICE, r"25\.0 ms"),
    (no_panel, "controls", Exit.DEVICE, "gpiochip77"),
    (a_panel_that_went, "controls", Exit.DEVICE, "the panel is gone"),
    (a_stuck_button, "controls", Exit.DEVICE, "the button is down"),
    (a_stuck_trigger, "controls", Exit.DEVICE, "the trigger is down"),
    (a_closed_dock_contact, "controls", Exit.DEVICE, "the dock contact is closed"),
    (a_motor_that_nobody_felt, "controls", Exit.DEVICE, "no vibration came"),
    (no_button, "controls", Exit.DEVICE, "no button"),
    (a_cut_wire_of_the_button, "controls", Exit.DEVICE, "the button was not pressed; .*not pressed: button"),
    (a_cut_wire_of_the_trigger, "controls", Exit.DEVICE, "the trigger was not pulled; .*not pressed: trigger"),
    (a_cut_wire_of_the_dock_contact, "controls", Exit.DEVICE, "the dock contact was not closed; .*not pressed: dock"),
    (a_button_that_stays_down, "controls", Exit.DEVICE, "the button is down"),
    (slow_writes, "storage", Exit.STORAGE, "too slow"),
    (a_stalling_card, "storage", Exit.STORAGE, "p99 800"),
    (a_card_that_stalls_once, "storage", Exit.STORAGE, "p99 1.0 ms, longest 5000 ms"),
    (a_full_card, "storage", Exit.STORAGE, "too little room"),
    (a_card_that_the_recorder_calls_full, "storage", Exit.STORAGE, "too little room"),
    (no_card_where_the_spool_was, "storage", Exit.STORAGE, "/spool is not there, though this camera is enrolled"),
    (a_card_of_fstab_that_is_not_mounted, "storage", Exit.STORAGE, "LABEL=bodycam is not mounted at /.*, where"),
    (a_broken_card, "storage", Exit.STORAGE, "Input/output error"),
    (no_spool, "storage", Exit.STORAGE, "Read-only"),
    (key_gone, "key", Exit.KEYS, "gone.key"),
    (another_key, "key", Exit.KEYS, "for another key"),
    (a_chip_that_signs_wrongly, "key", Exit.KEYS, "does not verify"),
    (a_chip_that_fails, "key", Exit.DEVICE, "TPM does not answer"),
    (another_name, "key", Exit.KEYS, "not for cam-other"),
    (soon_over, "key", Exit.KEYS, r"ends in (9|10) days"),
    (over, "key", Exit.KEYS, "has ended"),
    (not_set, "clock", Exit.DEVICE, "not set"),
    (nobody_vouches, "clock", Exit.DEVICE, "nobody vouches for it"),
    (another_rtc, "clock", Exit.DEVICE, "disagree"),
    (no_name, "dock", Exit.NETWORK, "cannot be resolved"),
    (nobody_there, "dock", Exit.NETWORK, "does not answer"),
    (a_stranger, "dock", Exit.NETWORK, "not the agency's"),
    (sent_away, "dock", Exit.NETWORK, "403"),
    (no_tls_key, "dock", Exit.KEYS, "TLS key"),
]


def test_a_whole_camera_passes_with_a_measured_line_for_each(bench: Bench) -> None:
    lines = bench.run()
    assert tuple(lines) == NAMES
    assert bench.result.status is Exit.OK
    assert {name: line.verdict for name, line in lines.items()} == dict.fromkeys(NAMES, Verdict.OK)
    for name in NAMES:
        assert lines[name].limit and lines[name].figures and any(c.isdigit() for c in lines[name].measured), name
    assert bench.card.closed
    assert lines["camera"].figures["fps"] == pytest.approx(30, abs=0.1)
    assert lines["storage"].figures["sync_p99_ms"] == pytest.approx(4, abs=0.1)
    assert abs(lines["microphone"].figures["drift_ppm"]) < 1
    assert lines["microphone"].measured.startswith("an ear at 16000 Hz: "), "as it is called while it is open"


@pytest.mark.parametrize("breaks", [lens_covered, picture_frozen])
def test_of_a_clip_no_limit_is_named_that_it_is_not_held_to(
    bench: Bench, breaks: Callable[[Bench], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lens, "live", False)
    breaks(bench)
    line = bench.run(("camera",))["camera"]
    assert line.verdict is Verdict.OK and line.figures["watched"] is None
    assert line.limit.endswith("; content not judged: a clip") and "same picture" not in line.limit


@pytest.mark.wide
@pytest.mark.parametrize(("defect", "name", "status", "words"), TABLE, ids=[row[0].__name__ for row in TABLE])
def test_a_defect_fails_its_own_line(
    defect: Callable[[Bench], None], name: str, status: Exit, words: str, bench: Bench
) -> None:
    defect(bench)
    lines = bench.run()
    failed = {line.name for line in lines.values() if line.verdict is Verdict.FAIL}
    assert failed == {name}
    assert bench.result.status is status
    assert re.search(words, lines[name].measured), lines[name].measured
    assert name in bench.result.verdict


def test_every_line_has_a_defect_that_fails_it() -> None:
    assert {name for _, name, _, _ in TABLE} == set(NAMES)


def test_help_and_page_name_each_status_that_a_line_fails_with(capsys: pytest.CaptureFixture[str]) -> None:
    """As the defects of the table do, one by one: a line may fail with one status or another."""
    with pytest.raises(SystemExit):
        agent_main(["selftest", "--help"])
    page = (HOUSE / "docs" / "operations.md").read_text("utf-8")
    for text in (capsys.readouterr().out, page):
        (said,) = re.findall(r"what failed first: (2 [^.]+)\.", " ".join(text.split()))
        told = [
            (int(status), name) for status, names in re.findall(r"(\d) ([^;]+)", said) for name in names.split(", ")
        ]
        assert {(status, name.split(" (")[0]) for status, name in told} == {(row[2], row[1]) for row in TABLE}


def test_the_first_failure_gives_the_status(bench: Bench) -> None:
    nobody_there(bench)
    a_broken_card(bench)
    bench.run()
    assert bench.result.status is Exit.STORAGE


def test_each_output_is_driven_alone_and_a_person_must_look(bench: Bench) -> None:
    panel = WatchedPanel()
    bench.parts["open_panel"] = lambda config: panel
    line = bench.run(only=("controls",))["controls"]
    shown = [Levels(light=True), Levels(status=True), Levels(buzz=True), Levels(tone=True)]
    assert [levels for _, levels in panel.seen] == [level for on in shown for level in (on, Levels())]
    assert line.figures["driven"] == ["light", "status light", "vibration", "tone"]
    assert "look and feel whether each came" in line.measured
    asked: list[str] = []
    moves(bench, SyntheticPanel(), answers=lambda question: not asked.append(question))
    line = bench.run(only=("controls",))["controls"]
    assert line.verdict is Verdict.OK and len(asked) == 4 and "as the person says" in line.measured


def test_each_input_is_waited_for_where_somebody_is_asked_and_else_called_not_pressed(bench: Bench) -> None:
    line = bench.run(only=("controls",))["controls"]
    assert line.verdict is Verdict.OK and line.figures["pressed"] == []
    assert "not pressed: button, dock, trigger (a cut wire looks the same: --ask waits for each)" in line.measured
    told = moves(bench, SyntheticPanel((Input.BUTTON, Input.DOCK)))
    line = bench.run(only=("controls",))["controls"]
    assert line.verdict is Verdict.OK and line.figures["pressed"] == ["button", "dock"]
    assert "pressed: button, dock" in line.measured and "not pressed" not in line.measured
    assert [text.split(",")[0] for text in told] == ["Press the button", "Put the camera into the dock"]


def test_the_wait_for_a_press_ends_and_what_was_down_before_is_no_press(bench: Bench) -> None:
    panel, waited = SyntheticPanel((Input.BUTTON,)), [0.0]
    panel.pull(Input.BUTTON, True)
    panel.pull(Input.BUTTON, False)

    def rest(seconds: float) -> None:
        waited[0] += seconds

    bench.parts |= {"open_panel": lambda config: panel, "hands": Hands(rest, lambda question: True, lambda what: None)}
    line = bench.run(only=("controls",))["controls"]
    assert line.verdict is Verdict.FAIL and "the button was not pressed" in line.measured
    assert MOVE_S <= waited[0] < MOVE_S + 3


def test_of_a_real_panel_what_has_a_line_is_driven_and_nothing_else(bench: Bench) -> None:
    factory = MockFactory()
    factory.reset()
    config = PanelConfig(chip="mock", button=4, light=7, vibration=9, outputs_active_low=True)
    seen: list[tuple[bool, bool]] = []
    bench.config = replace(bench.config, panel=config)
    bench.parts["open_panel"] = lambda wanted: GpioPanel(wanted, factory)
    bench.parts["hands"] = Hands(lambda seconds: seen.append((factory.pin(7).state, factory.pin(9).state)))
    factory.pin(4).drive_high()
    line = bench.run(only=("controls",))["controls"]
    assert line.verdict is Verdict.OK, line.measured
    assert line.figures["driven"] == ["light", "vibration"]
    assert seen == [(False, True), (True, False)], "on is low"


def test_a_card_has_room_where_the_recorder_would_record(bench: Bench) -> None:
    """To the byte, as the recorder counts: with the reserve or without, and what a station has goes first."""
    spool = bench.config.spool.dir
    needs = sealer_settings(bench.config, spool).begins_bytes
    segment = needs - (2 << 20)
    assert segment > 1 << 20, "more than floor and reserve"

    def verdict(free: int) -> Verdict:
        bench.card.free = free
        return bench.run(only=("storage",))["storage"].verdict

    assert (verdict(needs - 1), verdict(needs)) == (Verdict.FAIL, Verdict.OK)
    (spool / "log").mkdir()
    (spool / "log" / "reserve").touch()
    needs -= 1 << 20
    assert (verdict(needs - 1), verdict(needs)) == (Verdict.FAIL, Verdict.OK)
    (spool / "delivered").mkdir()
    for name in ("a.tar", "a.seal"):
        (spool / "delivered" / name).write_bytes(bytes(100))
    assert (verdict(needs - 101), verdict(needs - 100)) == (Verdict.FAIL, Verdict.OK)
    line = bench.run(only=("storage",))["storage"]
    assert f"at least {-(-needs >> 20)} MiB free, as the recorder asks" in line.limit
    assert line.figures["needed_bytes"] == needs and line.figures["delivered_bytes"] == 100


def test_the_place_that_was_measured_is_named_with_its_file_system(bench: Bench) -> None:
    spool = bench.config.spool.dir
    bench.parts |= {"open_disk": SpoolDisk, "mounts": lambda: Mounts({}, frozenset({Path("/"), bench.tmp}))}
    line = bench.run(only=("storage",))["storage"]
    assert line.measured.endswith(f"MiB free at {spool} (file system of {bench.tmp})")
    assert line.figures["place"] == str(spool)
    spool.rmdir()
    no_card = bench.run(only=("storage",))["storage"]
    assert no_card.verdict is Verdict.FAIL and "mount the card" in no_card.hint and not no_card.figures
    sealing = replace(bench.config.sealing, identity_chain=bench.tmp / "not-enrolled-yet.pem")
    bench.config = replace(bench.config, sealing=sealing)
    line = bench.run(only=("storage",))["storage"]
    assert f"free at {bench.tmp}, where {spool} will be (file system of {bench.tmp})" in line.measured
    assert not spool.exists() and not list(bench.tmp.glob(".selftest-*"))


def test_a_dark_street_and_a_quiet_room_are_no_defects(bench: Bench) -> None:
    noise = np.random.default_rng(5)

    def street(number: int, frame: VideoFrame) -> VideoFrame:
        luma = noise.integers(16, 24, (270, 320)).astype(np.uint8)
        for lamp in range(5):
            luma[60:75, 20 + 60 * lamp : 32 + 60 * lamp] = 90
        return replace(frame, picture=picture_of(luma))

    bench.rig.frames = moved_frames(street)
    bench.rig.blocks = moved_blocks(
        lambda n, block: AudioBlock(block.mono_ns, noise.integers(-8, 9, len(block.pcm) // 2).astype("<i2").tobytes())
    )
    lines = bench.run(only=("camera", "microphone"))
    assert [line.verdict for line in lines.values()] == [Verdict.OK] * 2, lines
    assert lines["camera"].figures["brightness"] < 40 and -80 < lines["microphone"].figures["loudest_dbfs"] < -70


def test_a_desk_whose_clock_nobody_vouches_for_is_skipped_with_words_and_never_ok(bench: Bench) -> None:
    bench.config = replace(bench.config, video=replace(bench.config.video, source="synthetic"))
    assert bench.run(only=("clock",))["clock"].verdict is Verdict.OK
    nobody_vouches(bench)
    line = bench.run(only=("clock",))["clock"]
    assert line.verdict is Verdict.SKIPPED and "nobody vouches" in line.measured
    not_set(bench)
    assert bench.run(only=("clock",))["clock"].verdict is Verdict.FAIL


# -- flash and beep ----------------------------------------------------------------------------------------------------

AT_CHANCE = tuple(round(n * 0.4537 * NS) for n in range(2, 12))


@pytest.mark.parametrize("late_ms", [-60, 0, 25, 80])
def test_flash_and_beep_say_the_offset_and_the_latencies_that_take_it_out(late_ms: int, bench: Bench) -> None:
    bench.rig.flashes_ns, bench.rig.beep_late_ns = AT_CHANCE, late_ms * 1_000_000
    line = bench.run(events=8)["avsync"]
    assert tuple(bench.run(events=8)) == ("avsync",)
    assert (line.verdict is Verdict.FAIL) is (abs(late_ms) > 12), line.measured
    assert line.figures["offset_ms"] == pytest.approx(late_ms, abs=line.figures["doubt_ms"] + 1)
    assert line.figures["doubt_ms"] < 6
    # Set as it is suggested, it passes.
    bench.rig.clock.now_ns += 100 * NS
    bench.config = replace(
        bench.config,
        video=replace(bench.config.video, latency_ms=line.figures["video_latency_ms"]),
        audio=replace(bench.config.audio, latency_ms=line.figures["audio_latency_ms"]),
    )
    again = bench.run(events=8)["avsync"]
    assert again.verdict is Verdict.OK, again.measured
    assert min(line.figures["video_latency_ms"], line.figures["audio_latency_ms"]) == 0, "none is negative"


def test_no_flash_is_said_with_what_to_do(bench: Bench) -> None:
    bench.rig.flashes_ns = ()
    line = bench.run(events=5)["avsync"]
    assert line.verdict is Verdict.FAIL and "0 flashes" in line.measured and "close to the lens" in line.hint


def test_the_twins_flash_is_measured_without_being_asked_for(bench: Bench) -> None:
    bench.config = replace(
        bench.config, video=replace(bench.config.video, source="synthetic"), audio=AudioConfig(source="synthetic")
    )
    assert bench.run()["avsync"].figures["offset_ms"] == pytest.approx(0, abs=0.2)
    bench.rig.beep_late_ns = 15_000_000
    late = bench.run()["avsync"]
    assert late.verdict is Verdict.FAIL and late.figures["offset_ms"] == pytest.approx(15, abs=0.2)


# -- what is skipped, refused, shown -----------------------------------------------------------------------------------


def test_without_flash_and_beep_the_line_says_that_sound_against_picture_was_not_measured(bench: Bench) -> None:
    line = bench.run(only=("avsync",))["avsync"]
    assert line.verdict is Verdict.OK and line.figures["against_picture"] is False
    assert "NOT measured against the picture" in line.measured and "none for sound against picture" in line.limit
    assert bench.run(events=8)["avsync"].figures["against_picture"] is True


def test_what_is_not_there_is_skipped_with_words(bench: Bench) -> None:
    bench.config = replace(bench.config, dock=replace(bench.config.dock, presence=("outbox",)))
    lines = bench.run(only=("dock",))
    assert lines["dock"].verdict is Verdict.OK, "asked for by name it is looked for all the same"
    lines = bench.run()
    assert lines["dock"].verdict is Verdict.SKIPPED and "not docked" in lines["dock"].measured
    bench.config = replace(bench.config, panel=PanelConfig())
    line = bench.run(only=("controls",))["controls"]
    assert line.verdict is Verdict.SKIPPED and "not configured" in line.measured
    rig = bench.rig
    bench.parts["sources"] = lambda *_: (rig.sources()[0], None)
    lines = bench.run(only=("microphone", "avsync"))
    assert {line.verdict for line in lines.values()} == {Verdict.SKIPPED}
    assert "none is configured" in lines["microphone"].measured
    assert bench.result.status is Exit.OK


def test_a_source_without_a_driver_fails_the_camera(bench: Bench) -> None:
    def refuse(*_: object) -> None:
        raise DeviceError('this version has no driver for "picamera"', "name another")

    bench.parts["sources"] = refuse
    lines = bench.run()
    assert [line.name for line in lines.values() if line.verdict is Verdict.FAIL] == ["camera"]
    assert lines["microphone"].verdict is Verdict.SKIPPED


def test_a_station_that_knows_nothing_of_this_camera_yet_answers_all_the_same(bench: Bench) -> None:
    bench.station = Answering(RefusedError("nothing of this log is cosigned", 404))
    line = bench.run(only=("dock",))["dock"]
    assert line.verdict is Verdict.OK and "holds nothing" in line.measured


def test_a_running_recorder_keeps_its_devices_and_is_named(bench: Bench) -> None:
    bench.parts["is_running"] = lambda socket: True
    with pytest.raises(
        DeviceError, match=r"running and holds .*avsync, camera, controls, microphone, storage"
    ) as caught:
        bench.run()
    assert "systemctl stop bodycam-recorder" in caught.value.hint
    assert set(bench.run(only=("key", "clock"))) == {"key", "clock"}
    # The kernel has given the clock up; the recorder knows who vouched for it in this boot.
    recorders = VouchedClock(bench.rig.clock, bench.config.control.socket.parent)
    recorders.utc()
    recorders.keep()
    bench.rig.clock.utc_source, bench.rig.clock.utc_bound_ms = "unverified", None
    assert bench.run(only=("clock",))["clock"].verdict is Verdict.OK


def test_json_and_lines_say_the_same(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    parts = Parts(clock=bench.rig.clock, open_disk=Card(free=0), is_running=lambda socket: False)
    options = Options(("storage", "key"))
    assert selftest(bench.config, options, True, parts) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["status"]) == (False, 4)
    assert [line["verdict"] for line in told["lines"]] == ["FAIL", "ok"]
    assert selftest(bench.config, options, False, parts) == 4
    shown = capsys.readouterr().out
    assert "storage      FAIL" in shown and "next: dock the camera" in shown
    assert "key          ok" in shown and shown.splitlines()[-2] == "self-test FAILED: storage"
    assert shown.splitlines()[-1] == told["words"] == Words("en").of_selftest(1, ["storage"])
    long = text_of(Line("camera", Verdict.OK, "words " * 40, "a limit"))
    assert max(map(len, long.splitlines())) <= 118 and " ".join(long.split()).endswith("(limit: a limit)")
