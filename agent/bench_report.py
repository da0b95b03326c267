"""What the bench shows: one line while it runs, result.json and plain words at the end."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import textwrap
import time
from datetime import tzinfo
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError
from agent.formats import leaf, pack
from agent.localtime import localised
from agent.output import Screen

LINE_S = 2.0
COLUMNS, INDENT = 100, 13


class Progress:
    """Live on a terminal, a plain line every two seconds elsewhere, nothing where quiet. A fault is told whole and
    once, on a line of its own, and again when it changes. Without `sound` there is no A/V offset to tell.
    """

    def __init__(self, screen: Screen, quiet: bool, sound: bool = True) -> None:
        self._screen, self._quiet, self._sound = screen, quiet, sound
        self._live = sys.stdout.isatty()
        self._last_s = 0.0
        self._told: list[str] = []
        self._line = ""

    def show(self, status: dict[str, Any], last: bool = False) -> None:
        """`last` ends the live line."""
        if self._quiet:
            return
        width = shutil.get_terminal_size().columns - 1 if self._live else None
        self._show_faults(status.get("faults", {}), width)
        now = time.monotonic()
        if not (self._live or last or now - self._last_s >= LINE_S):
            return
        self._last_s = now
        line = progress_line(status, width, self._sound)
        if width is None:
            if not last or line != self._line:
                self._screen.put(line)
            self._line = line
        else:
            self._screen.put(f"\r{line[:width]:<{width}}", end="\n" if last else "")

    def _show_faults(self, faults: dict[str, str], width: int | None) -> None:
        said = [f"FAULT {what}: {detail}" for what, detail in faults.items()]
        for fault in said:
            if fault not in self._told:
                # Over the live line, which may be too short for it.
                self._screen.put(fault if width is None else f"\r{fault:<{width}}")
        self._told = said


def progress_line(status: dict[str, Any], width: int | None = None, sound: bool = True) -> str:
    """State, seconds, fps, drops, A/V offset, bytes durable, bytes uploaded; closer together where `width` columns
    are too few.
    """
    intake = status.get("intake", {})
    upload = status.get("upload", {})
    words = [
        f"{status['state']:<9}",
        f"{status['media_s']:6.1f} s",
        f"{intake.get('fps', 0.0):5.1f} fps",
        f"{status['frames_dropped']} dropped",
        *([f"A/V {round(intake.get('av_offset_mean_ms', 0.0), 1) + 0.0} ms"] if sound else []),
        f"durable {size_text(status['durable_bytes'])}",
        f"uploaded {size_text(upload.get('bytes_done', 0))}",
    ]
    if upload.get("state") not in (None, "idle", "delivered"):
        words.append(str(upload["state"]))
    line = "  ".join(words)
    if width is not None and len(line) > width:
        line = " ".join(line.replace(" MB  uploaded", " uploaded").replace(" s  ", "s ").replace(" fps", "fps").split())
    return line


def size_text(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def write_result(out: Path, result: dict[str, Any]) -> None:
    durable.write_file(out / "result.json", json.dumps(result, indent=2).encode() + b"\n", 0o644)


def newest_receipt(out: Path, camera: str) -> Path | None:
    found = (out / "station" / "receipts" / camera).glob("*.receipt")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def stock_commands(out: Path, camera: str) -> list[str]:
    """How to repeat the check with tools this project did not write, and with its own: each works as it stands, from
    any directory, and nothing is named that is not there.
    """
    held = out / "station" / "segments" / camera
    root, key = _quoted(out / "trust" / "root.pem"), _quoted(out / "keys" / "agency.agekey")
    script, tool = Path(__file__).resolve().parent.parent / "docs" / "verify.sh", _quoted(_tool("bodycam-evidence"))
    receipt = newest_receipt(out, camera)
    head = f" --head {_quoted(receipt)}" if receipt else ""
    commands = []
    if list(held.glob("*.tar")):
        if script.is_file():
            commands.append(f"{_quoted(script)} {_quoted(held)}/*.tar --trust {root} --key {key}")
        commands.append(f"{tool} verify {_quoted(held)} --trust {root}{head}")
    for segment in sorted(held.glob("r*.tar"))[:1]:
        commands += _open_one(segment, key, out / "opened")
    for mp4 in sorted((out / "export").glob("*.mp4")):
        commands += [f"{tool} verify {_quoted(mp4)} --trust {root} -i {key}", f"ffprobe -hide_banner {_quoted(mp4)}"]
    return commands


def _open_one(segment: Path, key: str, into: Path) -> list[str]:
    """The init and the first part of a segment, with tar and age; together they play."""
    number = _first_part(segment)
    if number is None:
        return []
    init, part, plain = (_quoted(into / name) for name in ("init.age", f"{number:010d}.age", "part.mp4"))
    return [
        f"mkdir -p {_quoted(into)} && tar -xf {_quoted(segment)} -C {_quoted(into)}",
        f"age -d -i {key} {init} > {plain} && age -d -i {key} {part} >> {plain} && ffprobe -hide_banner {plain}",
    ]


def _first_part(segment: Path) -> int | None:
    try:
        with segment.open("rb") as file:
            reader = pack.PackReader(file.read)
            reader.head()
            return next((e.index for e in reader.entries() if isinstance(leaf.parse(e.leaf), leaf.MediaLeaf)), None)
    except (EvidenceError, OSError):
        # What is wrong with it is the verification's to say.
        return None


def _tool(name: str) -> Path:
    """One of this package's commands: beside the interpreter, or wherever the shell finds it."""
    beside = Path(sys.executable).parent / name
    return beside if beside.is_file() else Path(shutil.which(name) or name)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def summary(out: Path, camera: str, result: dict[str, Any], zone: tzinfo | None) -> str:
    """Plain words: what happened, where it lies, how to repeat the check. Times in `zone`; result.json holds UTC. No
    line is longer than 100 columns for another reason than a path.
    """
    lines = ["", *_happened(result, zone), ""]
    lines += [f"{'playable':<{INDENT}}{mp4}" for mp4 in result["exports"] or ["nothing was exported"]]
    for label, place in (
        ("segments", f"station/segments/{camera}/"),
        ("receipts", f"station/receipts/{camera}/"),
        ("key", "keys/agency.agekey"),
        ("trust", "trust/root.pem"),
        ("camera", "spool/"),
        ("config", "config/agent.toml"),
        ("logs", "logs/"),
    ):
        lines.append(f"{label:<{INDENT}}{out}/{place}")
    if result["check_with"]:
        lines += ["", "to check it yourself:", *(f"  {command}" for command in result["check_with"])]
    return "\n".join(lines)


def _happened(result: dict[str, Any], zone: tzinfo | None) -> list[str]:
    frames, offset, verified = result["frames"], result["av_offset_ms"], result["verification"]
    seconds, told = result["seconds"], result["upload"]
    sound = "no sound" if offset is None else f"{seconds['audio']:.2f} s of sound"
    rows = [("recordings", ", ".join(result["recordings"]) or "none")]
    for times in verified["recordings"]:
        rows += [("", localised(f"from {times['begin']}", zone)), ("", localised(f"to   {times['end']}", zone))]
    rows += [
        ("recorded", f"{seconds['video']:.2f} s of picture, {sound}, {result['parts']} parts"),
        ("frames", ", ".join(f"{frames[what]} {what}" for what in ("captured", "encoded", "dropped", "recorded"))),
    ]
    if offset is not None and seconds["audio"]:
        mean, most = (round(offset[what], 2) + 0.0 for what in ("mean", "max"))
        rows.append(("A/V offset", f"mean {mean:.2f} ms, max {most:.2f} ms ({offset['how']})"))
    rows += [
        ("durable", f"{size_text(result['bytes']['durable'])} in {result['segments']} segments"),
        ("uploaded", f"{told['verdict']}: {told['delivered']} receipted, {told['deleted']} then deleted here"),
        ("verified", verified["verdict"]),
        *(("", line) for line in verified["findings"]),
        *(("fault", f"{what}: {detail}") for what, detail in result["faults"].items()),
    ]
    return [line for label, text in rows for line in _labelled(label, text)]


def _labelled(label: str, text: str) -> list[str]:
    """`text` behind its label, over as many lines as it takes; never broken within a word."""
    wrapped = textwrap.wrap(text, COLUMNS - INDENT, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{label if first == 0 else '':<{INDENT}}{line}" for first, line in enumerate(wrapped)]
