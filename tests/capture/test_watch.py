"""What is taken for a covered lens, a frozen picture, a dead microphone, and what must not be."""

from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.capture.watch import HOLD_NS, ROWS, Lasting, PictureWatch, SoundWatch, Watched, is_covered
from agent.media.planes import luma
from agent.model import AUDIO_HZ, NS
from tests import media_samples

Picture = NDArray[np.uint8]
RNG = np.random.default_rng(7)
SIZES = [(1920, 1080), (1280, 720), (640, 480), (320, 240)]


def grained(scene: NDArray[np.float64], grain: float) -> Picture:
    return np.clip(scene + RNG.normal(0, grain, scene.shape), 0, 255).astype(np.uint8)


def hand(width: int, height: int, dark: float = 28, bright: float = 38) -> NDArray[np.float64]:
    """Light that comes through fingers: dim, brighter to one side, without an edge."""
    return np.linspace(dark, bright, width)[None, :] + np.linspace(0, 3, height)[:, None]


def street(
    width: int, height: int, lamps: int = 4, radius: float = 0.012, halo: float = 25, narrow: float = 12
) -> NDArray[np.float64]:
    """Night, a few lamps far away, and the light that they throw."""
    scene = np.full((height, width), 20.0)
    rows, columns = np.mgrid[:height, :width]
    for lamp in range(lamps):
        top, left = height * (3 + lamp) // 12, width * (2 * lamp + 1) // (2 * lamps)
        distance = np.hypot(rows - top, columns - left) / height
        scene += 180 * (distance < radius) + halo * np.exp(-distance * narrow)
    return scene


# -- the lens ------------------------------------------------------------------------------------------------------


@pytest.mark.wide
@pytest.mark.parametrize("grain", [0.7, 3.0, 12.0])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_black_picture_and_a_hand_on_the_lens_are_covered(width: int, height: int, grain: float) -> None:
    assert is_covered(grained(np.full((height, width), 18.0), grain)[::2, ::2])
    assert is_covered(grained(hand(width, height), grain)[::2, ::2])


@pytest.mark.wide
@pytest.mark.parametrize("grain", [0.7, 3.0, 12.0])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_dark_street_is_not(width: int, height: int, grain: float) -> None:
    assert not is_covered(grained(street(width, height), grain)[::2, ::2])


@pytest.mark.parametrize("grain", [0.7, 3.0, 12.0])
@pytest.mark.parametrize(("dark", "bright"), [(28, 45), (30, 60), (60, 75)])
def test_light_through_fingers_may_be_brighter_at_one_side(dark: float, bright: float, grain: float) -> None:
    assert is_covered(grained(hand(1280, 720, dark, bright), grain)[::2, ::2])


@pytest.mark.wide
@pytest.mark.parametrize("grain", [0.7, 3.0, 12.0])
@pytest.mark.parametrize("lamps", [1, 2, 4])
@pytest.mark.parametrize(("width", "height"), SIZES[:2])
def test_a_street_with_lamps_far_away_is_not(width: int, height: int, lamps: int, grain: float) -> None:
    assert not is_covered(grained(street(width, height, lamps, 0.004, 6, 60), grain)[::2, ::2])


STEPS = {height: max(1, height // ROWS) for _, height in SIZES}


@pytest.mark.wide
@pytest.mark.parametrize("grain", [0.7, 3.0, 6.0])
@pytest.mark.parametrize(("width", "height"), SIZES[:2])
def test_lamps_between_the_rows_that_are_looked_at_are_seen(width: int, height: int, grain: float) -> None:
    """Half as bright at 2.2 of 1080 rows from their middle, each in one of the parts that are compared."""
    rows, columns = np.mgrid[:height, :width]
    scene = np.full((height, width), 22.0)
    for lamp in range(4):
        top, left = height // 3 + 22, width * (2 * lamp + 1) // 8 + 22
        scene += 200 * 0.5 ** (((rows - top) ** 2 + (columns - left) ** 2) / (2.2 * height / 1080) ** 2)
    assert not is_covered(grained(scene, grain), STEPS[height])


@pytest.mark.wide
@pytest.mark.parametrize("across", range(4))
@pytest.mark.parametrize(("width", "height"), SIZES[:2])
def test_one_small_lamp_is_seen_wherever_it_lies_in_the_blocks(width: int, height: int, across: int) -> None:
    """Half as bright at 3 of 1080 rows from its middle."""
    rows, columns = np.mgrid[:height, :width]
    away = (rows - height // 3 - 22) ** 2 + (columns - width // 3 - 22 - across) ** 2
    scene = 22.0 + 200 * 0.5 ** (away / (3 * height / 1080) ** 2)
    assert not is_covered(grained(scene, 0.7), STEPS[height])


@pytest.mark.parametrize("grain", [0.7, 1.5, 2.0])
@pytest.mark.parametrize(("width", "height"), SIZES[:2])
def test_dim_windows_far_above_the_noise_are_seen(width: int, height: int, grain: float) -> None:
    """Each of 14 of 1080 rows, and as far above what is around it as a lamp that is half hidden."""
    scene, side = np.full((height, width), 18.0), 14 * height // 1080
    for window in range(24):
        top, left = height // 3 + window % 5 * 37, width * (window + 1) // 26
        scene[top : top + side, left : left + side] = 34
    assert not is_covered(grained(scene, grain), STEPS[height])


@pytest.mark.parametrize("grain", [0.7, 3.0, 12.0])
@pytest.mark.parametrize(("width", "height"), SIZES[:2])
def test_faults_of_single_pixels_hide_no_hand(width: int, height: int, grain: float) -> None:
    """Each spreads to the four beside it, and they lie where the blocks that are looked at meet."""
    scene, step = hand(width, height), STEPS[height]
    for share in (3, 5):
        top, left = (side // share // step * step + step - 1 for side in (height, width))
        scene[top - 1 : top + 2, left] += 150
        scene[top, left - 1 : left + 2] += 150
    assert is_covered(grained(scene, grain), step)


@pytest.mark.parametrize("grain", [0.7, 6.0])
@pytest.mark.parametrize("apart", [2, 3, 7])
@pytest.mark.parametrize(("width", "height"), SIZES[:2])
def test_two_faults_that_lie_in_one_part_hide_no_hand(width: int, height: int, grain: float, apart: int) -> None:
    """However many there are: what lies in one part need not lie together."""
    scene, step = hand(width, height), STEPS[height]
    for share in (3, 5, 7):
        top, left = (side // share // step * step + step - 1 for side in (height, width))
        for column in (left, left + apart * step):
            scene[top - 1 : top + 2, column] += 150
            scene[top, column - 1 : column + 2] += 150
    assert is_covered(grained(scene, grain), step)


@pytest.mark.parametrize("grain", [0.7, 3.0, 6.0])
@pytest.mark.parametrize("at", [350, 360, 367, 375])
def test_a_horizon_without_a_lamp_is_not(at: int, grain: float) -> None:
    """Wherever it lies in the parts that are compared."""
    scene = np.where(np.arange(720) < at, 26.0, 18.0)[:, None] * np.ones(1280)
    assert not is_covered(grained(scene, grain)[::2, ::2])


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_one_bad_pixel_hides_no_hand(width: int, height: int) -> None:
    """As what makes colours of the sensor's pixels spreads it over those beside it."""
    scene, at, beside = hand(width, height), (height // 2, width // 3), 60
    scene[at[0] - 1 : at[0] + 2, at[1]] = scene[at[0], at[1] - 1 : at[1] + 2] = beside
    scene[at] = 110
    assert is_covered(grained(scene, 3.0))


@pytest.mark.wide
@pytest.mark.parametrize("name", ["cartoon", "talk"])
@pytest.mark.parametrize("light", [1.0, 0.3])
def test_no_picture_of_a_real_clip_is(name: str, light: float) -> None:
    """Nor where it is filmed by a third of its light."""
    with av.open(str(getattr(media_samples, name)())) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number % 5 == 0:
                dimmed = (luma(frame)[::2, ::2].astype(np.float64) - 16) * light + 16
                assert not is_covered(grained(dimmed, 2.0)), number


def test_a_bright_wall_is_not() -> None:
    assert not is_covered(grained(np.full((360, 640), 150.0), 2.0))


# -- the picture ---------------------------------------------------------------------------------------------------


def watch(pictures: Callable[[float], Picture], seconds: float) -> list[tuple[Watched, bool, float]]:
    """(what, wrong, noticed after so many seconds) at 15 pictures a second."""
    watching, found = PictureWatch(), []
    for number in range(int(seconds * 15)):
        now_ns = number * NS // 15
        for what, wrong, since_ns in watching.look(now_ns, pictures(number / 15)):
            assert since_ns <= now_ns
            found.append((what, wrong, now_ns / NS))
    return found


def test_a_lens_that_is_covered_and_clear_again_is_said_in_time() -> None:
    seen, hidden = street(320, 240), hand(320, 240)
    found = watch(lambda s: grained(hidden if 5 <= s < 12 else seen, 2.0), 16)
    assert [(what, wrong) for what, wrong, _ in found] == [(Watched.COVERED, True), (Watched.COVERED, False)]
    assert found[0][2] - 5 < 5
    assert found[1][2] - 12 < 2.5


def test_a_hand_that_passes_is_nothing() -> None:
    assert watch(lambda s: grained(hand(320, 240) if 5 <= s < 7.5 else street(320, 240), 2.0), 12) == []


def test_a_picture_that_stands_still_to_the_bit_is_frozen() -> None:
    still = grained(street(320, 240), 2.0)
    found = watch(lambda s: still if 3 <= s < 10 else grained(street(320, 240), 2.0), 14)
    assert [(what, wrong) for what, wrong, _ in found] == [(Watched.FROZEN, True), (Watched.FROZEN, False)]
    assert found[0][2] - 3 < 5


def test_a_scene_in_which_nothing_moves_is_not_frozen() -> None:
    """A sensor's noise is enough."""
    assert watch(lambda s: grained(street(320, 240), 0.7), 10) == []


@pytest.mark.wide
@pytest.mark.parametrize("size", SIZES)
def test_pictures_that_come_in_one_and_the_same_buffer_are_not_taken_for_frozen(size: tuple[int, int]) -> None:
    """A camera has few buffers, and gives them again and again."""
    buffer = np.empty((size[1], size[0]), np.uint8)

    def next_picture(_: float) -> Picture:
        buffer[:] = RNG.integers(30, 200, buffer.shape, np.uint8)
        return buffer

    assert watch(next_picture, 6) == []


# -- the microphone ------------------------------------------------------------------------------------------------


def hear(sound: Callable[[int], NDArray[np.int16]], seconds: int) -> list[tuple[bool, float]]:
    watching, found = SoundWatch(), []
    for number in range(seconds * 50):
        for what, wrong, _ in watching.hear(number * NS // 50, sound(number).astype("<i2").tobytes()):
            assert what is Watched.DEAF
            found.append((wrong, number / 50))
    return found


def test_digital_silence_is_a_dead_microphone_whatever_its_level() -> None:
    for level in (0, -3, 1200):
        dead = np.full(AUDIO_HZ // 50, level, np.int16)
        found = hear(lambda n, dead=dead: dead if 100 <= n < 400 else RNG.integers(-2, 3, 960), 12)
        assert [wrong for wrong, _ in found] == [True, False]
        assert found[0][1] - 2 < 5


def test_a_silent_room_is_not() -> None:
    """The last bit trembles."""
    assert hear(lambda n: (RNG.random(960) < 0.01).astype(np.int16), 20) == []


def test_a_second_between_two_beeps_is_not() -> None:
    assert hear(lambda n: np.zeros(960) if n % 50 else RNG.integers(-9, 9, 960), 20) == []


def loud(share: float) -> NDArray[np.int16]:
    """A square wave of which this share is cut off."""
    sound = RNG.integers(-9_000, 9_000, 960)
    sound[: round(960 * share)] = np.where(np.arange(round(960 * share)) % 2, 32_767, -32_768)
    return sound


def clips(sound: Callable[[int], NDArray[np.int16]], seconds: int) -> list[tuple[Watched, bool, float, float]]:
    watching = SoundWatch()
    return [
        (what, wrong, since_ns / NS, number / 50)
        for number in range(seconds * 50)
        for what, wrong, since_ns in watching.hear(number * NS // 50, sound(number).astype("<i2").tobytes())
    ]


def test_sound_that_is_cut_off_second_after_second_is_said_and_said_to_be_over() -> None:
    found = clips(lambda n: loud(0.05 if 250 <= n < 1000 else 0.0), 40)
    assert [(what, wrong) for what, wrong, _, _ in found] == [(Watched.CLIPPED, True), (Watched.CLIPPED, False)]
    assert [since for _, _, since, _ in found] == [5, 20], "it began there, and was over there"
    assert found[0][3] - 5 <= 5 and found[1][3] - 20 <= 12
    # A song with breaks of a few seconds is one.
    song = clips(lambda n: loud(0.05 if n % 400 < 250 else 0.0), 60)
    assert [(what, wrong) for what, wrong, _, _ in song] == [(Watched.CLIPPED, True)]


def test_bangs_and_a_voice_that_just_fits_are_not() -> None:
    assert clips(lambda n: loud(1.0 if n % 150 < 10 else 0.0), 40) == []
    assert clips(lambda n: loud(0.005), 40) == []


# -- how long ------------------------------------------------------------------------------------------------------


def test_what_lasts_is_said_once_with_the_instant_it_began() -> None:
    lasting = Lasting()
    told = [lasting.see(now, 10 * NS <= now < 20 * NS) for now in range(0, 30 * NS, NS // 4)]
    assert [t for t in told if t is not None] == [10 * NS, 20 * NS]
    assert told[(10 * NS + HOLD_NS) // (NS // 4)] == 10 * NS
