"""The fuzzer finds what is planted for it: a promise broken deep inside, a hang, a file outside, memory."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import guard
from tests.fuzz.engine import Loop, Target, demand, load, play, save, save_all, shorter, smallest_set
from tests.fuzz.mutate import havoc
from tests.fuzz.shapes import join_archive, parse_der, split_archive


class Counted:
    """Stands in for the counters that are put into readers: the target under test counts its own places."""

    def __init__(self) -> None:
        self.bits = 0

    def clear(self) -> None:
        self.bits = 0

    def reached(self) -> int:
        return self.bits


COVER = Counted()


def target(run: Callable[[bytes], None], mutate: Callable[..., bytes] = havoc) -> Target:
    return Target("planted", run, mutate, dict, cpu_s=0.2)


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "big")


def planted(data: bytes) -> None:
    """Breaks on four right bytes behind a checksum; each of them, right in its lower half, is a place of its own."""
    body, checksum = data[:-4], data[-4:]
    if zlib.crc32(body).to_bytes(4, "big") != checksum:
        return
    for count, wanted in enumerate(b"BAD!"):
        if count >= len(body) or (body[count] ^ wanted) & 0x0F:
            return
        COVER.bits |= 1 << count
    demand(False, "planted")


def test_a_promise_broken_behind_a_checksum_is_found() -> None:
    def repairing(data: bytes, rng: random.Random, other: bytes) -> bytes:
        return sealed(havoc(data[:-4], rng, other[:-4]))

    loop = Loop(target(planted, repairing), COVER, random.Random(1), [sealed(b"good")])
    ((data, failure),) = loop.run(inputs=20_000).failures.values()
    assert len(data) >= 8 and "planted" in failure.key


def test_without_the_repair_it_is_not_found() -> None:
    assert Loop(target(planted), COVER, random.Random(1), [sealed(b"good")]).run(inputs=20_000).failures == {}


def test_a_hang_ends_and_is_named() -> None:
    def hang(data: bytes) -> None:
        while True:
            pass

    failure = play(target(hang), COVER, b"x")[1]
    assert failure is not None and failure.key.startswith("TooSlow")


def test_a_write_outside_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    def write(data: bytes) -> None:
        with guard.watched(tmp_path / "in"):
            (tmp_path / "in" / "a").write_bytes(data)
            try:
                (tmp_path / "in" / ".." / "b").write_bytes(data)
            except Exception:
                pytest.fail("it could be hidden by the code under test")

    failure = play(target(write), COVER, b"x")[1]
    assert failure is not None and failure.key.startswith("Forbidden")
    assert not (tmp_path / "b").exists()


def test_memory_out_of_proportion_is_named() -> None:
    def greedy(data: bytes) -> None:
        bytearray((guard.GROWTH_KIB + 1024) << 10)

    # However much the tests before it once held, this process's peak begins at what it holds now (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    failure = play(target(greedy), COVER, b"x")[1]
    assert failure is not None and failure.key == "memory"


def test_a_corpus_is_as_small_as_what_it_reaches(tmp_path: Path) -> None:
    def letters(data: bytes) -> None:
        for byte in data:
            COVER.bits |= 1 << byte

    kept = smallest_set(target(letters), COVER, [b"a"], [b"ab", b"abc", b"abcd", b"e", b"a"])
    assert sorted(kept) == [b"abcd", b"e"]
    save(tmp_path, b"goes")
    inputs = {"short": b"ab", "long": bytes(5000), "longer": bytes(9000)}
    save_all(tmp_path, inputs)
    assert load(tmp_path) == inputs and len(list(tmp_path.iterdir())) == 2


def test_an_input_is_shortened_while_it_still_breaks() -> None:
    assert shorter(b"x" * 300 + b"BAD" + b"y" * 500, lambda data: b"BAD" in data) == b"BAD"


def test_shapes_come_back_as_they_were() -> None:
    from tests.fuzz.keys import whole_camera
    from tests.fuzz.targets_notes import pem_blocks, seeds_certs

    for block in pem_blocks(seeds_certs()["chain"]):
        assert b"".join(node.to_bytes() for node in parse_der(block)) == block
    data = whole_camera().segments[1].to_bytes()
    assert join_archive(split_archive(data)) == data
