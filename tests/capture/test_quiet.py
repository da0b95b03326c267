"""What libraries in C print for a device tried in vain is left out; what Python says meanwhile is not."""

from __future__ import annotations

import ctypes
import os

import pytest

from agent.capture.quiet import quiet


def test_c_prints_nothing_meanwhile_python_does_and_c_again_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    libc = ctypes.CDLL(None)
    with quiet():
        libc.perror(b"tried in vain")
        os.write(2, b"Python says\n")
    libc.perror(b"C says")
    said = capfd.readouterr().err
    assert "tried in vain" not in said
    assert said.startswith("Python says\n") and "C says" in said


def test_after_two_at_once_c_prints_again(capfd: pytest.CaptureFixture[str]) -> None:
    """Two that are opened beside each other need not end in order."""
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    ctypes.CDLL(None).perror(b"C says")
    assert "C says" in capfd.readouterr().err
