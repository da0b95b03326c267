"""The unit files start what this package installs, and keep the wall they are named for."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parent.parent / "systemd").glob("*.service"))


def read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.stem)
def test_starts_a_command_of_this_package(path: Path) -> None:
    words = read(path)["Service"]["ExecStart"].split()
    assert words[0].endswith("/bodycam-agent")
    assert words[1] == path.stem.removeprefix("bodycam-")
    assert read(path)["Service"]["Restart"] == "always"


def test_the_recorder_has_no_network_and_the_uploader_no_device() -> None:
    recorder, uploader = (read(p)["Service"] for p in UNITS)
    assert recorder["PrivateNetwork"] == "yes"
    assert uploader["PrivateDevices"] == "yes"
    assert uploader["ReadWritePaths"].endswith("/spool/inbox")
    assert recorder["User"] != uploader["User"]


def test_a_camera_with_a_tpm_lets_its_recorder_ask_it() -> None:
    extra = read(UNITS[0].parent / "bodycam-recorder.service.d" / "tpm.conf")
    assert dict(extra["Service"]) == {"SupplementaryGroups": "tss"}


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.stem)
def test_keys_in_memory_stay_there(path: Path) -> None:
    service = read(path)["Service"]
    assert (service["LimitCORE"], service["MemorySwapMax"], service["LimitMEMLOCK"]) == ("0", "0", "infinity")
