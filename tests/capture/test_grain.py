"""What a covered lens gives where the noise of its sensor reaches over several pixels, and dark scenes with such noise
that must not be taken for that: through the watch, at 640x480. In much smaller pictures a part has too few pixels for
that (README, "Honest limits").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.capture.grain import IN_PARTS, Means, compare
from agent.capture.watch import BLACK, PictureWatch, Watched
from agent.model import NS

Field = NDArray[np.float64]
Scene = Callable[[float], Field]
"""The light at each pixel, so many seconds after the begin."""
HEIGHT, WIDTH = 480, 640
SIZES = [(360, 640), (480, 640), (720, 1280), (1080, 1920)]
SEED = 7
WIDE = [pytest.param(grain, marks=pytest.mark.wide) for grain in (3.0, 6.0)]
SECONDS = 7


@cache
def spread(times: int = 1, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Field:
    """Noise that what makes colours of a sensor's pixels has spread over those beside them, of one luma."""
    noise = np.random.default_rng(SEED).normal(0, 1, size)
    for axis in (0, 1) * times:
        noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    found: Field = noise / noise.std()
    return found


@cache
def texture() -> Field:
    """As nature's: the coarser the more of it, of one luma."""
    away = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None, :])
    away[0, 0] = np.inf
    real, imaginary = np.random.default_rng(SEED).normal(size=(2, *away.shape))
    waves = (real + 1j * imaginary) / away
    found = np.fft.irfft2(waves, s=(HEIGHT, WIDTH))
    scene: Field = found / found.std()
    return scene


def walking(scene: Field) -> Scene:
    """Ten degrees to either side at each step, of ninety that the lens sees; blurred while a picture is exposed."""

    def at(seconds: float) -> Field:
        shifts = []
        for when in (seconds, seconds + 1 / 60, seconds + 1 / 30):
            sway, nod = np.sin(2 * np.pi * 0.95 * when + 1), np.sin(2 * np.pi * 1.9 * when)
            shifts.append(np.roll(scene, (round(21 * nod), round(70 * sway + 50 * when)), (0, 1)))
        blurred: Field = np.mean(shifts, axis=0)
        return blurred

    return at


def still(scene: Field) -> Scene:
    return lambda _: scene


def lamp(scene: Field, radius: float = 4) -> Field:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    lit: Field = scene + 200 * (np.hypot(rows - HEIGHT / 3, columns - WIDTH / 3) < radius)
    return lit


def said(scene: Scene, grain: float, times: int = 1, floor: int = 0) -> float | None:
    """After how many seconds a covered lens is; only the pictures are made that are looked at, and those after them."""
    size = scene(0).shape[0], scene(0).shape[1]
    watch, noise, rng = PictureWatch(), spread(times, size), np.random.default_rng(SEED)
    for look in range(2 * SECONDS):
        for at in (look / 2, look / 2 + 1 / 30):
            moved = np.roll(noise, rng.integers(0, size), (0, 1)) * rng.choice((-1, 1))
            luma = np.clip(scene(at) + grain * moved, floor, 235).astype(np.uint8)
            if any(what is Watched.COVERED for what, _, _ in watch.look(round(at * NS), luma)):
                return at
    return None


def flat(level: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Field:
    return np.full(size, level)


def window(scene: Field, brighter: float) -> Field:
    """Lit, far away: a sixtieth of the picture's rows high and wide, and eight of 480 pixels at the least."""
    lit, side = scene.copy(), max(8, scene.shape[0] // 60)
    lit[scene.shape[0] // 3 :, scene.shape[1] // 3 :][:side, :side] += brighter
    return lit


@pytest.mark.parametrize("grain", [*WIDE, 9.0, 12.0])
def test_a_covered_lens_is_said_whatever_the_noise(grain: float) -> None:
    found = said(still(flat(BLACK - 1)), grain)
    assert found is not None and found < 4


@pytest.mark.parametrize("grain", [*WIDE, 9.0])
def test_also_where_what_is_below_black_is_cut_off(grain: float) -> None:
    found = said(still(flat(BLACK - 2)), grain, floor=16)
    assert found is not None and found < 4


@pytest.mark.parametrize("grain", [3.0, 6.0])
def test_also_where_noise_reaches_further(grain: float) -> None:
    found = said(still(flat(BLACK - 1)), grain, times=3)
    assert found is not None and found < 4


@pytest.mark.wide
@pytest.mark.parametrize("grain", [4.0, 6.0, 9.0])
@pytest.mark.parametrize("times", range(1, 6))
@pytest.mark.parametrize("size", SIZES)
def test_also_where_it_reaches_further_and_is_cut_off(size: tuple[int, int], times: int, grain: float) -> None:
    found = said(still(flat(BLACK - 2, size)), grain, times, floor=16)
    assert found is not None and found < 4


@pytest.mark.parametrize("level", [14, 16, 18])
def test_also_where_more_or_less_than_half_of_it_is(level: float) -> None:
    found = said(still(flat(level)), 9.0, times=3, floor=16)
    assert found is not None and found < 4


@pytest.mark.parametrize(("grain", "brighter"), [(1.0, 12), (2.0, 16), (4.0, 28), (9.0, 60)])
@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("level", [14, 17, 20])
def test_a_dim_window_far_above_such_noise_is_seen(level: float, times: int, grain: float, brighter: float) -> None:
    """Brighter than what is seen around it by six times the noise and a little."""
    lit = max(level, 16) - level + brighter
    assert said(still(window(flat(level), lit)), grain, times, floor=16) is None


DARK = {
    "wall while walking": lambda: walking(24 + 2 * texture()),
    "street while walking": lambda: walking(lamp(22 + 2 * texture())),
    "room standing still": lambda: still(20 + 2 * texture()),
    "night with one lamp": lambda: still(lamp(flat(BLACK))),
    "night with one lamp, walking": lambda: walking(lamp(flat(BLACK), 12)),
    "fog": lambda: walking(flat(100) + texture()),
    "fog with a lamp in it": lambda: still(flat(30) + 70 * np.exp(-(np.linspace(-3, 3, WIDTH) ** 2))),
}


@pytest.mark.parametrize("grain", [*(pytest.param(grain, marks=pytest.mark.wide) for grain in (4.0, 8.0)), 10.0])
@pytest.mark.parametrize("floor", [0, 16])
@pytest.mark.parametrize("scene", DARK)
def test_no_dark_scene_is(scene: str, grain: float, floor: int) -> None:
    """The room is the nearest: what is in it, two of luma, is found by some seeds and not by others in noise of 12."""
    assert said(DARK[scene](), grain, floor=floor) is None


@pytest.mark.parametrize("grain", [8.0, 12.0])
def test_nor_is_a_wall_so_faint_that_two_pictures_of_it_have_nothing_in_common(grain: float) -> None:
    """Some light is on it: only what is black is held against the next picture."""
    assert said(walking(25 + texture()), grain) is None


@pytest.mark.parametrize("grain", [4.0, 8.0])
def test_what_is_seen_is_in_the_next_picture_too_and_noise_is_not(grain: float) -> None:
    """By twice what seven looks allow at the least, standing still; noise by less than half of it."""
    rng = np.random.default_rng(SEED)

    def quarters(scene: Field) -> Means:
        moved = np.roll(spread(), rng.integers(0, (HEIGHT, WIDTH)), (0, 1))
        cut = (scene + grain * moved)[:468].reshape(36, 13, 64, 10)
        means: Means = cut.mean(axis=(1, 3)).astype(np.float32)
        return means

    def in_common(scene: Field) -> float:
        return float(np.mean([compare(quarters(scene), quarters(scene)).parts for _ in range(28)]))

    allowed = IN_PARTS / np.sqrt(7)
    assert in_common(20 + 2 * texture()) > 2 * allowed
    assert abs(in_common(flat(BLACK))) < allowed / 2
