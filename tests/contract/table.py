"""Which test asks which source for which fault, or why none does. docs/capture-faults.md shows it:

python -m tests.contract.table > docs/capture-faults.md
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.contract import scripts
from tests.contract.scripts import Fault, Script

FAULTS = tuple(Fault)


@dataclass(frozen=True, slots=True)
class Asked:
    """`test` is file and name; `case` is what its parameters, joined by dashes, hold, all its words, and `script` the
    one among them that plays the fault. Where the fault is no script's, `sees` is what the test itself asserts or waits
    for, and only comes of that fault. What is asked only of what a plain machine lacks is asked by `at`.
    """

    test: str
    case: str = ""
    at: str = ""
    script: Script | None = None
    sees: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """Asked by no test, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """`drives` are the classes that run there, in agent/capture."""

    source: str
    drives: tuple[str, ...]
    cells: tuple[Asked | Not, ...]


FAULTS_PY, PI_PY, ENCODED_PY = (
    f"tests/contract/{name}.py" for name in ("test_faults", "test_picamera_faults", "test_encoded_sources")
)
LAB_PY = "tests/lab/picamera_tells.py"
VIVID_PY, LOOPBACK_PY = "tests/contract/test_vivid_faults.py", "tests/contract/test_loopback_faults.py"
VM = "make vm-test"
ROOT = "make picamera-test"
_EACH = "test_each_picture_that_came_is_kept_in_its_place_and_each_that_did_not_is_counted"
_SOUND = "test_sound_that_is_lost_is_filled_and_counted_and_stamps_are_put_right"
_KERNEL = Not("What stamps there stamps in order, and takes no script; the driver is asked at its seam instead.")
_OTHER_FORMAT = Not(
    "V4L2 and ALSA keep the format of a stream as long as it is open; what comes back with another begins anew."
)
_FULL = Not("It fills every buffer.")
_FEW = Not(
    "No control of it gives many pictures at once. What a slow receiver costs, for which its few buffers wait, is "
    "counted (tests/contract/test_real_webcam.py)."
)
_SCRIPTED = Not(
    "Nothing beneath real picamera2 does it there: the driver meets it as scripted picamera2 alone, and what comes "
    "behind the driver as in the row below."
)
_READ = Not("A file is read when its next picture or sample is wanted: it cannot come early, or too many at once.")


_RATE = "counters.fps == pytest.approx(fps"


def _raw(case: str, paced: str) -> tuple[Asked, ...]:
    each = Asked(f"{FAULTS_PY}::{_EACH}", case, script=scripts.PICTURES)
    ends = f"{FAULTS_PY}::test_one_that_is_unplugged_or_changes_its_format_ends_the_recording"
    return (
        Asked(ends, case, script=scripts.UNPLUGS),
        Asked(f"{FAULTS_PY}::test_a_camera_that_stalls_is_announced_and_taken_back", case, script=scripts.STALLS),
        each,
        each,
        Asked(ends, case, script=scripts.CHANGES),
        Asked(f"{FAULTS_PY}::test_a_camera_at_the_wrong_rate_keeps_each_picture_at_its_time", paced, sees=_RATE),
        each,
    )


def _encoded(case: str, at: str = "") -> tuple[Asked, ...]:
    tests = (
        "test_unplugged_it_is_lost_with_its_reason_and_what_came_is_kept",
        "test_a_stall_is_told_from_its_last_picture_on_and_its_end_too",
        "test_a_stamp_that_does_not_grow_costs_no_picture",
        "test_a_burst_costs_no_picture",
        "test_another_format_ends_it_with_a_reason_and_what_came_is_kept",
        "test_at_the_wrong_rate_each_picture_stays_at_its_time",
        "test_an_empty_buffer_is_counted_as_lost_and_a_key_frame_asked_for",
    )
    return tuple(
        Asked(f"{ENCODED_PY}::{test}", case, at, sees=f"Fault.{fault.name}")
        for test, fault in zip(tests, FAULTS, strict=True)
    )


def _pi() -> tuple[Asked, ...]:
    each = Asked(f"{PI_PY}::{_EACH}", script=scripts.PI_PICTURES)
    ends = f"{PI_PY}::test_one_that_is_gone_or_changes_its_format_ends_the_recording"
    return (
        Asked(ends, script=scripts.UNPLUGS),
        Asked(f"{PI_PY}::test_one_that_stalls_is_announced_and_taken_back", script=scripts.PI_STALLS),
        each,
        each,
        Asked(ends, script=scripts.CHANGES),
        Asked(f"{PI_PY}::test_one_at_the_wrong_rate_keeps_each_picture_at_its_time", sees=_RATE),
        each,
    )


def _beneath(case: str) -> Asked:
    """What a real picamera2 makes of a camera to which that was done, and the driver of it."""
    test = "test_light_alarm_and_log_tell_in_time_and_it_recovers"
    return Asked(f"{LAB_PY}::{test}", case, ROOT, sees="case.told_within_s(figures) <= case.limit_s")


def _cut_short() -> Asked:
    test = "tests/fault/test_clip_damaged.py::test_a_clip_that_is_cut_short_is_a_fault_that_stays"
    return Asked(test, sees="'is damaged' in ended")


def _joined(test: str, sees: str) -> Asked:
    """Of a film that was joined of two, or has packets without bytes."""
    return Asked(f"tests/contract/test_clip_faults.py::{test}", sees=sees)


def _heard(case: str) -> tuple[Asked, ...]:
    sound = Asked(f"{FAULTS_PY}::{_SOUND}", case, script=scripts.SOUND)
    out = "test_a_microphone_that_is_pulled_out_is_announced_within_two_seconds"
    stalls = "test_a_microphone_that_stalls_is_announced_within_two_seconds_and_taken_back"
    changes = "test_a_microphone_that_changes_its_format_stays_in_step_and_is_said"
    return (
        Asked(f"{FAULTS_PY}::{out}", case, script=scripts.SOUND_UNPLUGS),
        Asked(f"{FAULTS_PY}::{stalls}", case, script=scripts.SOUND_STALLS),
        sound,
        sound,
        Asked(f"{FAULTS_PY}::{changes}", case, script=scripts.SOUND_CHANGES),
        Asked(
            f"{FAULTS_PY}::test_a_microphone_at_the_wrong_rate_stays_in_step_and_is_said",
            case,
            sees="silence_ms == pytest.approx(1200 * (1 - pace)",
        ),
        sound,
    )


TABLE = (
    Row("webcam driver, OpenCV scripted", ("Webcam",), _raw("webcam", "webcam_at")),
    Row(
        "webcam driver, the kernel's vivid",
        ("Webcam",),
        (
            Asked(
                "tests/vm/test_vm_faults.py::test_a_lens_that_goes_and_comes_back",
                "unplugged",
                at=VM,
                sees="'camera' in faults",
            ),
            Asked(f"{VIVID_PY}::test_a_stall_is_announced_and_taken_back", at=VM, sees="> AGAIN_S * VIDEO_HZ"),
            Asked(
                f"{VIVID_PY}::test_stamps_of_no_clock_that_go_back_give_way_to_the_arrival",
                at=VM,
                sees="if b < a] != []",
            ),
            _FEW,
            _OTHER_FORMAT,
            Asked(
                f"{VIVID_PY}::test_at_the_wrong_rate_each_picture_stays_at_its_time",
                at=VM,
                sees="median(steps) == pytest.approx(VIDEO_HZ / fps",
            ),
            Asked(
                f"{VIVID_PY}::test_what_the_driver_calls_spoiled_is_no_picture_and_counted",
                at=VM,
                sees="dropped_frames == never_came + 3",
            ),
        ),
    ),
    Row("Pi camera driver, picamera2 scripted", ("PiCamera",), _pi()),
    Row(
        "Pi camera driver, picamera2 on libcamera's virtual camera",
        ("PiCamera",),
        (_beneath("lens gone"), _beneath("lens stalls"), *[_SCRIPTED] * 5),
    ),
    Row("what that driver gave, changed behind it", ("PiCamera",), _encoded("picamera2", ROOT)),
    Row("twin that gives pictures", ("SyntheticCamera", "ScriptedCamera"), _raw("twin", "twin_at")),
    Row("twin that encodes", ("EncodedCamera",), _encoded("twin")),
    Row(
        "clip, picture",
        ("ClipVideo",),
        (
            _cut_short(),
            Not("A file that does not come is a disk that stands still, and no live source's stall."),
            _joined(
                "test_stamps_that_go_back_cost_no_picture_and_the_sound_that_they_cost_is_counted",
                "stamps put right: {PICTURES}",
            ),
            _READ,
            _joined(
                "test_another_size_ends_it_with_a_reason_and_what_came_is_kept", "changed its format in mid-stream"
            ),
            Asked(
                "tests/capture/test_clip.py::test_every_frame_comes_once_at_its_own_time",
                "phone",
                sees="times == pytest.approx(",
            ),
            _joined(
                "test_pictures_without_bytes_are_counted_as_lost_and_the_others_stay_in_their_places",
                "(PICTURES - lost, lost)",
            ),
        ),
    ),
    Row("microphone driver, PortAudio scripted", ("Microphone", "Reviving"), _heard("portaudio")),
    Row("the same at 16 kHz, its only rate", ("Microphone", "Reviving"), _heard("raised")),
    Row(
        "microphone driver, PortAudio and ALSA on a FIFO",
        ("Microphone", "Reviving"),
        (
            Not("A FIFO has no plug; a dead one is a stall."),
            Asked(
                "tests/fault/test_microphone_dies.py::test_media_keeps_flowing_and_is_sealed_within_a_second",
                sees="'microphone' in status['faults']",
            ),
            _KERNEL,
            Asked("tests/contract/test_fifo_faults.py::test_a_burst_costs_no_sample", sees="burst.sum() <"),
            _OTHER_FORMAT,
            Asked(
                "tests/contract/test_fifo_faults.py::test_at_the_wrong_rate_it_stays_in_step_and_says_so",
                sees="sound_s * (1 - PACE)",
            ),
            _FULL,
        ),
    ),
    Row(
        "microphone driver, the kernel's snd-aloop",
        ("Microphone", "Reviving"),
        (
            Asked(
                "tests/vm/test_vm_faults.py::test_a_sound_card_that_goes_and_comes_back",
                at=VM,
                sees="said(camera, 'microphone.lost')",
            ),
            Asked(
                f"{LOOPBACK_PY}::test_a_stall_is_announced_within_two_seconds_and_taken_back",
                at=VM,
                sees="silence_ms > 2000",
            ),
            _KERNEL,
            Asked(f"{LOOPBACK_PY}::test_a_burst_is_kept_and_what_it_costs_is_counted", at=VM, sees="any(together)"),
            Asked(
                f"{LOOPBACK_PY}::test_one_that_comes_back_with_another_format_is_refused_until_it_has_the_right_one",
                at=VM,
                sees="'cannot be opened' in microphone.name",
            ),
            Asked(
                f"{LOOPBACK_PY}::test_at_the_wrong_rate_it_stays_in_step_and_says_so",
                at=VM,
                sees="median(paces()) == pytest.approx(usual_ns * to",
            ),
            _FULL,
        ),
    ),
    Row("twin that gives sound", ("SyntheticMicrophone", "ScriptedMicrophone"), _heard("twin")),
    Row(
        "clip, sound",
        ("ClipAudio",),
        (
            _cut_short(),
            Not("As of its picture."),
            _joined(
                "test_stamps_that_go_back_cost_no_picture_and_the_sound_that_they_cost_is_counted",
                "lost * 1024 / AUDIO_HZ >",
            ),
            _READ,
            _joined("test_sound_of_another_rate_and_more_channels_goes_on", "sound[-1] - sound[0] > 1.8 * SECONDS"),
            Asked(
                "tests/capture/test_clip.py::test_sound_at_another_rate_and_late_keeps_its_place",
                sees="loud[-1] / AUDIO_HZ == pytest.approx(1.7",
            ),
            _joined("test_sound_without_bytes_is_silence_and_counted", "blocks lost by the driver: {lost}"),
        ),
    ),
)

HEAD = """# What becomes of a recording when a source misbehaves

Each source of pictures and sound, and each fault that one can have. A number names the test that asks for it; a
letter says why none does. All but those with a command of their own are in `make test`. What they ask for is the same
everywhere: nothing is lost in silence, nothing crashes, time goes forward only.
What is scripted is played letter by letter (tests/contract/scripts.py); each other test asserts for itself, or waits
for, what only comes of its fault. Of the kernel's vivid, an empty buffer is one that its driver calls
spoiled. snd-aloop changes its format where it comes back with another.
Behind the Pi camera's driver on real picamera2 tests change what it has delivered already, and say in its stead that it
is unplugged (`Mischievous`, tests/contract/encoded_kit.py): that asks what comes after the driver, which meets none of
it. What the driver itself meets is done to the camera beneath picamera2 (tests/lab/picamera_tells.py): it stalls, or is
gone, which stands for unplugged; and it is stopped, unheard, covered, frozen, or not let go of.

Made by `python -m tests.contract.table`; `tests/contract/test_table.py` holds it to the tests.
"""


def page() -> str:
    """docs/capture-faults.md."""
    tests = list(dict.fromkeys((c.test, c.at) for row in TABLE for c in row.cells if isinstance(c, Asked)))
    reasons = list(dict.fromkeys(c.why for row in TABLE for c in row.cells if isinstance(c, Not)))

    def sign(cell: Asked | Not) -> str:
        if isinstance(cell, Not):
            return chr(ord("a") + reasons.index(cell.why))
        return str(tests.index((cell.test, cell.at)) + 1)

    lines = [HEAD, f"| source | {' | '.join(fault.value for fault in FAULTS)} |", "| --- |" + " --- |" * len(FAULTS)]
    lines += [f"| {row.source} | {' | '.join(map(sign, row.cells))} |" for row in TABLE]
    lines += ["", "| | test | |", "| --- | --- | --- |"]
    lines += [f"| {n} | `{test}` | {f'`{at}`' if at else ''} |" for n, (test, at) in enumerate(tests, 1)]
    lines += ["", "| | why none |", "| --- | --- |"]
    lines += [f"| {chr(ord('a') + n)} | {why} |" for n, why in enumerate(reasons)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
