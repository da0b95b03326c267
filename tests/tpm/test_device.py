"""The two ways to a TPM: a character device, and a socket. Both are bounded in time, and believe nothing."""

from __future__ import annotations

import os
import pty
import socket
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DeviceError, KeyTrustError
from agent.tpm import device, key, wire
from agent.tpm.counter import NvCounter
from agent.tpm.device import Tpm
from tests.tpm.kit import SoftwareTpm, software_tpm

HANDLE, INDEX = 0x81010001, 0x01800100


@pytest.fixture(scope="module")
def swtpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path_factory.mktemp("swtpm")) as tpm:
        yield tpm


@contextmanager
def character_device(swtpm: SoftwareTpm) -> Iterator[Path]:
    """A terminal in raw mode is a character device: what is written to it goes to the software TPM, whole commands at a
    time, and its answers come back.
    """
    master, slave = pty.openpty()
    tty.setraw(slave)

    def relay() -> None:
        while True:
            try:
                command = os.read(master, 4096)
            except OSError:
                return
            with socket.socket(socket.AF_UNIX) as tpm:
                tpm.connect(str(swtpm.path))
                tpm.sendall(command)
                os.write(master, tpm.recv(4096))

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield Path(os.ttyname(slave))
    finally:
        os.close(slave)
        thread.join(10)
        os.close(master)


def test_a_character_device_carries_a_key_and_a_counter(swtpm: SoftwareTpm) -> None:
    with character_device(swtpm) as path:
        tpm = Tpm(path)
        public = key.create(tpm, HANDLE)
        public.verify(key.sign(tpm, HANDLE, b"evidence"), b"evidence", ec.ECDSA(hashes.SHA256()))
        counter = NvCounter(tpm, INDEX)
        counter.ensure()
        assert counter.increment() == counter.value()
    assert key.load(Tpm(swtpm.path), HANDLE) == public


def test_a_device_that_never_answers_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device, "ANSWER_S", 0.05)
    master, slave = pty.openpty()
    tty.setraw(slave)
    with pytest.raises(DeviceError, match="no answer within"):
        key.sign(Tpm(Path(os.ttyname(slave))), HANDLE, b"m")
    os.close(master)
    os.close(slave)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "tpm"))
        silent.listen()
        with pytest.raises(DeviceError, match="timed out"):
            key.sign(Tpm(tmp_path / "tpm"), HANDLE, b"m")


def test_one_that_hangs_up_is_an_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as rude:
        rude.bind(str(tmp_path / "tpm"))
        rude.listen()
        thread = threading.Thread(target=lambda: rude.accept()[0].close())
        thread.start()
        with pytest.raises(DeviceError, match="fails"):
            key.sign(Tpm(tmp_path / "tpm"), HANDLE, b"m")
        thread.join()


class Saying:
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def exchange(self, command: bytes) -> bytes:
        return self._answer

    def close(self) -> None:
        pass


@given(body=st.binary(max_size=120), tag=st.sampled_from([0x8001, 0x8002]), whole=st.booleans())
def test_any_answer_gives_a_value_or_a_clear_error(body: bytes, tag: int, whole: bool) -> None:
    head = tag.to_bytes(2, "big") + (10 + len(body)).to_bytes(4, "big") + bytes(4)
    tpm = Tpm(Path("x"), lambda path: Saying(head + body if whole else body))
    for use in (
        lambda: key.sign(tpm, HANDLE, b"m"),
        lambda: key.load(tpm, HANDLE),
        NvCounter(tpm, INDEX).value,
        NvCounter(tpm, INDEX).increment,
    ):
        try:
            use()
        except (DeviceError, KeyTrustError):
            continue


@given(code=st.integers(1, 0xFFF).filter(lambda code: code not in wire.AGAIN))
def test_any_refusal_has_words(code: int) -> None:
    answer = (0x8001).to_bytes(2, "big") + (10).to_bytes(4, "big") + code.to_bytes(4, "big")
    with pytest.raises(DeviceError, match="the TPM refuses to sign") as caught:
        key.sign(Tpm(Path("x"), lambda path: Saying(answer)), HANDLE, b"m")
    assert caught.value.hint
