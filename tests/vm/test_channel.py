"""The line protocol to the guest: what is sent, and what of the noise on a serial line is taken for an answer."""

from __future__ import annotations

import base64
import io
import json
import socket
import tarfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.vm.channel import LONGEST, Answer, Channel, Hello, MachineError, Rebooted, Ticks, read, request
from tests.vm.leaves import ends_of
from tests.vm.machine import Machine


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_an_answer_carries_output_and_status() -> None:
    assert read("T1 3 " + encoded("gone\nand back"), "T1") == Answer("gone\nand back", 3)
    assert read("T1 0", "T1") == Answer("", 0)


@pytest.mark.parametrize(
    "line", ["", "T1", "T1 x", "T2 0 YQ==", "T1 0 ???", "[    1.2] EXT4-fs mounted", "T1 0 YQ== more"]
)
def test_noise_is_no_answer(line: str) -> None:
    assert read(line, "T1") is None


def test_a_boot_is_noticed_in_the_middle_of_a_line() -> None:
    assert read("T1 0 YQHELLO 1234-5678", "T1") == Hello("1234-5678")


@pytest.mark.parametrize("size", [0, 1, LONGEST * 3 // 4, LONGEST * 3 // 4 + 1, 3 * LONGEST])
def test_a_script_is_sent_in_lines_that_a_serial_line_takes(size: int) -> None:
    script = "x" * size
    lines = [line.decode().rstrip("\n").split(" ") for line in request("T9", script)]
    assert all(len(text) <= LONGEST for _, text in lines)
    assert [name for name, _ in lines] == ["T9+"] * (len(lines) - 1) + ["T9"]
    assert base64.b64decode("".join(text for _, text in lines)).decode() == script


@pytest.fixture
def line() -> tuple[Channel, socket.socket]:
    here, there = socket.socketpair()
    return Channel(here), there


def test_the_first_hello_is_the_boot(line: tuple[Channel, socket.socket]) -> None:
    channel, guest = line
    guest.sendall(b"noise\nHELLO boot-1\n")
    channel.wait_hello(time.monotonic() + 5)
    assert channel.boot == "boot-1"


def test_another_hello_in_a_command_is_a_reboot(line: tuple[Channel, socket.socket]) -> None:
    channel, guest = line
    channel.boot = "boot-1"
    token = channel.send("true")
    guest.sendall(b"HELLO boot-1\nHELLO boot-2\n")
    with pytest.raises(Rebooted):
        channel.answer(token, 5)


def test_silence_and_a_machine_that_is_off_are_told_apart(line: tuple[Channel, socket.socket]) -> None:
    channel, guest = line
    token = channel.send("true")
    with pytest.raises(TimeoutError):
        channel.answer(token, 0.05)
    guest.close()
    with pytest.raises(MachineError):
        channel.answer(token, 5)


def test_the_last_whole_tick_counts() -> None:
    here, there = socket.socketpair()
    ticks = Ticks(here)
    writer = threading.Thread(
        target=lambda: (there.sendall(b"1000\n1020\n10"), there.sendall(b"40\n106"), there.close())
    )
    writer.start()
    writer.join()
    tick = ticks.at_the_end()
    assert tick and tick.guest_ns == 1_040_000_000


def test_how_far_each_recording_reaches(tmp_path: Path) -> None:
    def media(index: int, boot: str, recording: str, start: int) -> dict[str, object]:
        times = {"zero_mono_ns": 1_000, "start_ns": start, "duration_ns": 500}
        return {"class": "media", "index": index, "boot": boot, "recording": recording, **times}

    leaves = [media(0, "a", "r0", 0), media(1, "a", "r1", 5_000), media(2, "a", "r1", 5_500), media(3, "b", "r2", 0)]
    leaves.append({"class": "event", "index": 4, "boot": "b", "mono_ns": 99_000})
    path = tmp_path / "segment.tar"
    with tarfile.open(path, "w") as archive:
        for leaf in leaves:
            data = json.dumps(leaf).encode()
            member = tarfile.TarInfo(f"{leaf['index']}.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert ends_of([path]) == {"r0": 1_500, "r1": 7_000, "r2": 1_500}


def test_what_the_recorder_says_of_itself_comes_between_the_ticks() -> None:
    here, there = socket.socketpair()
    ticks = Ticks(here)
    there.sendall(b'10\n{"parts": 1}\n20\n{"par')
    there.sendall(b'ts": 2}\n30\n{"torn": 30\n40\n')
    there.close()
    tick = ticks.at_the_end()
    assert tick and tick.guest_ns == 40_000_000
    assert ticks.told() == {"parts": 2}


class Busy(Machine):
    """A machine whose every answer takes a while; the last one says yes."""

    kind, host, one_at_a_time = "busy", "", True

    def __init__(self, work: Path, takes_s: float, answers: list[Answer]) -> None:
        super().__init__(work, work)
        self.now_s, self._takes_s, self._answers = 0.0, takes_s, answers

    def _power_on(self) -> tuple[socket.socket, socket.socket]:
        raise NotImplementedError

    def _power_off(self) -> None:
        raise NotImplementedError

    def connect(self) -> None:
        raise NotImplementedError

    def ask(self, script: str, timeout_s: float = 60) -> Answer:
        self.now_s += min(self._takes_s, timeout_s)
        if self._takes_s > timeout_s:
            raise TimeoutError(f"no answer within {timeout_s} s")
        return self._answers.pop(0)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_the_last_question_has_as_long_for_its_answer_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was asked just before the end, of a machine that others keep busy."""
    busy = Busy(tmp_path, 4.5, [Answer("", 1), Answer("", 1), Answer("there", 0)])
    monkeypatch.setattr("tests.vm.machine.time", SimpleNamespace(monotonic=lambda: busy.now_s, sleep=busy.sleep))
    assert busy.wait_for("ls", timeout_s=10) == "there"
    none = Busy(tmp_path, 4.5, [Answer("", 1)] * 9)
    monkeypatch.setattr("tests.vm.machine.time", SimpleNamespace(monotonic=lambda: none.now_s, sleep=none.sleep))
    with pytest.raises(TimeoutError, match="status 1 after 10 s"):
        none.wait_for("ls", timeout_s=10)
    assert none.now_s < 10 + 4.5
