"""Which board this is, as its device tree says."""

from __future__ import annotations

from pathlib import Path

MODEL = Path("/proc/device-tree/model")


def model(path: Path = MODEL) -> str:
    """Like "Raspberry Pi Zero 2 W Rev 1.0"; empty where there is no device tree."""
    try:
        return path.read_bytes().rstrip(b"\x00").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def picture_size(source: str, board: str) -> tuple[int, int]:
    """What `auto` is for a `video.source`: 1920x1080 of a Pi's camera, for whose encoder that is no more work than the
    board can do, save on a Zero 2 W; else 1280x720.
    """
    if source == "picamera" and "Zero" not in board:
        return 1920, 1080
    return 1280, 720
