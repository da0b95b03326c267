"""What came of a bench run: the station's holdings verified and exported by the evidence tools, as an outsider
would run them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from agent.bench_measure import flash_to_beep_ms
from agent.bench_report import newest_receipt, stock_commands
from agent.bench_watch import status_of
from agent.errors import Exit
from agent.model import AUDIO_HZ

TOOL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Tool:
    """One run of `bodycam-evidence`: its status, its JSON (None where it printed none), and its last words."""

    status: int
    told: Any
    words: str


def evidence(*arguments: str) -> Tool:
    """Run `bodycam-evidence` in a process of its own."""
    code = "import sys; from agent.cli import evidence_main; sys.exit(evidence_main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, timeout=TOOL_S, env=dict(os.environ), check=False
    )
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = None
    # One that a signal ended has no status of ours.
    status = done.returncode if done.returncode in set(Exit) else Exit.SOFTWARE
    return Tool(int(status), told, done.stderr.decode("utf-8", "replace").strip())


def result_of(out: Path, camera: str, seen: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
    """The content of result.json. `seen` is what the live part saw: the recorder's status, verdicts, an error if
    any.
    """
    status = seen["status"]
    intake = status.get("intake", {})
    held = out / "station" / "segments" / camera
    verified = _verify(out, held, camera)
    exported = _export(out, held, camera)
    error = seen.get("error")
    sound = sources["audio"] != "none"
    placed = _offset(
        intake.get("av_offset_mean_ms", 0.0), intake.get("av_offset_max_ms", 0.0), "placed sound against capture stamps"
    )
    verdict = exit_status(seen, verified["status"], exported.status)
    return {
        "sources": sources,
        "interrupted": seen["interrupted"],
        "recordings": status["recordings"],
        "segments": len(list(held.glob("*.tar"))),
        "parts": status["parts"],
        "seconds": {"video": round(status["media_s"], 3), "audio": round(status["audio_samples"] / AUDIO_HZ, 3)},
        "frames": {
            "captured": status["frames_captured"],
            "encoded": status["frames_encoded"],
            "left_out": status["frames_left_out"],
            "dropped": status["frames_dropped"],
            "recorded": status["video_frames"],
        },
        "av_offset_ms": (_measured(out, sources) or placed) if sound else None,
        "av_placed_ms": placed if sound else None,
        "bytes": {
            "durable": status["durable_bytes"],
            "stored": sum(p.stat().st_size for p in held.glob("*.tar")),
        },
        "upload": {
            "verdict": seen.get("uploaded", "not delivered"),
            "delivered": status["delivered"],
            "deleted": status["deleted"],
        },
        "verification": verified,
        "exports": [str(p) for p in sorted((out / "export").glob("*.mp4"))],
        "faults": seen["faults"],
        "error": error["message"] if error else exported.words.removeprefix("error: ") if exported.status else "",
        "next": error["next"] if error else "",
        "exit_status": int(verdict),
        "check_with": stock_commands(out, camera),
    }


def _measured(out: Path, sources: dict[str, str]) -> dict[str, Any] | None:
    """Of the twins, whose flash and beep begin together; other sources show nothing to measure by."""
    if (sources["video"], sources["audio"]) != ("synthetic", "synthetic"):
        return None
    found = [ms for mp4 in sorted((out / "export").glob("*.mp4")) for ms in flash_to_beep_ms(mp4)]
    if not found:
        return None
    return _offset(fmean(found), max(found, key=abs), f"beep against flash in the export, {len(found)} times")


def _offset(mean_ms: float, max_ms: float, how: str) -> dict[str, Any]:
    # Adding 0.0 makes a negative zero a plain one.
    return {"mean": round(mean_ms, 3) + 0.0, "max": round(max_ms, 3) + 0.0, "how": how}


def _verify(out: Path, held: Path, camera: str) -> dict[str, Any]:
    """With the newest receipt as the later head, so that nothing may be missing at the end."""
    arguments = ["verify", str(held), "--trust", str(out / "trust" / "root.pem"), "--json"]
    if not list(held.glob("*.tar")):
        return {"verdict": "nothing was stored", "status": int(Exit.EVIDENCE), "findings": [], "recordings": []}
    done = evidence(*arguments, *_head(out, camera))
    findings = [f["text"] for f in (done.told or {}).get("findings", []) if f.get("fails", True)]
    verdict = verdict_of(done.status)
    words = findings or ([done.words] if done.status else [])
    times = [{k: r[k] for k in ("recording", "begin", "end")} for r in (done.told or {}).get("recordings", [])]
    return {"verdict": verdict, "status": done.status, "findings": words, "recordings": times}


def verdict_of(status: int) -> str:
    """A tool that could not do its work says nothing about the evidence."""
    return {Exit.OK: "verifies", Exit.EVIDENCE: "DOES NOT VERIFY"}.get(Exit(status), "could not be verified")


def _head(out: Path, camera: str) -> list[str]:
    receipt = newest_receipt(out, camera)
    return ["--head", str(receipt)] if receipt else []


def _export(out: Path, held: Path, camera: str) -> Tool:
    """With the newest receipt, so that the proofs hold it."""
    (out / "export").mkdir(exist_ok=True)
    if not list(held.glob("r*.tar")):
        return Tool(0, None, "")
    keys = ["-i", str(out / "keys" / "agency.agekey"), "--trust", str(out / "trust" / "root.pem")]
    return evidence("export", str(held), *keys, "-o", str(out / "export"), *_head(out, camera))


def exit_status(seen: dict[str, Any], verified: int, exported: int) -> Exit:
    """The first thing that went wrong, in the order of the way of the data. Never OK where nothing was recorded."""
    faults, error = status_of(seen["faults"], seen["status"]), seen.get("error")
    if faults:
        return faults
    if error:
        return Exit(error["status"])
    if not seen["status"]["parts"]:
        return Exit.INTERRUPTED if seen["interrupted"] else Exit.DEVICE
    return Exit(verified or exported)
