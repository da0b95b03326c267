"""The desk: recorder, uploader and station as three processes, from lens and microphone to verified evidence, in
one command.

There is no wall here between the processes (one user runs all three), and the bench says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent import localtime, profiles
from agent.bench_children import Child, Children
from agent.bench_keys import WORDS, Keys, keys
from agent.bench_report import Progress, summary, write_result
from agent.bench_result import result_of
from agent.bench_watch import Watch
from agent.capture import choose
from agent.clock import Clock, SystemClock
from agent.config import (
    SOCKET_PATH_BYTES,
    AudioConfig,
    CameraConfig,
    Config,
    ControlConfig,
    DockConfig,
    PowerConfig,
    RecordingConfig,
    RetentionConfig,
    SealingConfig,
    SpoolConfig,
    VideoConfig,
    dump,
)
from agent.errors import AgentError, DeviceError, Exit, StationError, UsageError
from agent.model import NS
from agent.output import Screen, complain
from agent.station import admin
from agent.station.layout import AgencyPaths

CAMERA = "bench-cam"
DEFAULT_SECONDS = 20.0
START_S = 60.0
STALL_S = 60.0
"""How long an upload may stand still before the bench gives up on it."""
POLL_S = 0.2
NO_WALL = "no wall on a desk: recorder, uploader and station run as one user"
KEPT = "everything is kept in spool/sealed: with station and uploader running, it is sent"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """As given on the command line. `duration_s` None: the clip's own length, else 20 s."""

    source: str
    mic: str
    duration_s: float | None
    out: Path | None
    json: bool
    timezone: str | None = None
    profile: str | None = None


class _Interrupts:
    """Ctrl-C once: stop recording, then go on to the end. Twice: end at once; more change nothing."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *_: Any) -> None:
        self.count += 1
        if self.count == 2:
            raise KeyboardInterrupt


def run(options: BenchOptions) -> int:
    """Everything, in order; returns the exit status. Raises AgentError where a stage cannot begin."""
    zone = localtime.find(options.timezone)
    if options.profile is not None:
        # Before anything is made: its mistakes.
        profiles.read(options.profile)
    out = _new_directory(options.out)
    chosen = choose.choose(options.source, options.mic)
    screen = Screen()
    if not options.json:
        hint = f"\n{WORDS}" if sys.stdin and sys.stdin.isatty() else ""
        screen.put(f"picture: {chosen.video_words}\nsound:   {chosen.audio_words}\noutput:  {out}\n{NO_WALL}{hint}")
    paths = admin.init(out, "bench agency")
    interrupts = _Interrupts()
    before = [signal.signal(number, interrupts) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with Children(out / "logs") as children:
            progress = Progress(screen, quiet=options.json, sound=chosen.audio != "none")
            status = _live(options, out, paths, chosen, children, interrupts, progress)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    sources = {"video": chosen.video, "audio": chosen.audio, "said": f"{chosen.video_words}; {chosen.audio_words}"}
    result = result_of(out, CAMERA, status, sources)
    write_result(out, result)
    screen.put(json.dumps(result, indent=2) if options.json else summary(out, CAMERA, result, zone))
    if result["error"]:
        complain(f"error: {AgentError(result['error'], result['next'])}")
    return int(result["exit_status"]) or int(Exit.OK if screen.read else Exit.PIPE)


def _new_directory(wanted: Path | None) -> Path:
    out = wanted or Path(f"bench-out-{_when(SystemClock())}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty", "name a new directory with --out")
    out = out.resolve()
    _check_name(out)
    return out


def _when(clock: Clock) -> str:
    """A date in a name stays: where nobody vouches for the clock, it is the second since the kernel started."""
    if clock.utc().source != "synchronised":
        return f"clock-not-set-{clock.boottime_ns() // NS}"
    return f"{datetime.now():%Y%m%d-%H%M%S}"


def _check_name(out: Path) -> None:
    """What the configuration and the control socket below it could not be told is refused before keys are made."""
    hint = "name another directory with --out"
    try:
        str(out).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{str(out)!r} is not UTF-8", hint) from None
    if any(unicodedata.category(char) == "Cc" for char in str(out)):
        raise UsageError(f"{str(out)!r} has a control character in its name", hint)
    needed = len(os.fsencode(_socket(out)))
    if needed > SOCKET_PATH_BYTES:
        raise UsageError(
            f"{out} is too long: the path of the recorder's control socket below it would have {needed} bytes, and "
            f"that of a Unix socket has at most {SOCKET_PATH_BYTES}",
            f"name a directory at least {needed - SOCKET_PATH_BYTES} characters shorter with --out",
        )


def _socket(out: Path) -> Path:
    return out / "run" / "control.sock"


# -- the live part -------------------------------------------------------------------------------------------------


def _live(
    options: BenchOptions,
    out: Path,
    paths: AgencyPaths,
    chosen: choose.Choice,
    children: Children,
    interrupts: _Interrupts,
    progress: Progress,
) -> dict[str, Any]:
    """Start the three, record, dock, wait for receipts, delete, stop. Returns the recorder's last status, with
    what the bench saw.
    """
    admin.enrol(out, CAMERA)
    station = children.start("station", "station_main", "serve", "--dir", str(out), "--listen", "127.0.0.1:0", "--json")
    url = _url(station)
    config = _config(out, paths, chosen, url, options)
    if options.profile is not None:
        config = profiles.over(config, options.profile)
    (out / "config").mkdir(mode=0o700)
    config_file = out / "config" / "agent.toml"
    config_file.write_text(dump(config), "utf-8")
    recorder = children.start("recorder", "agent_main", "recorder", "--config", str(config_file))
    watch = Watch(config.control.socket, progress.show)
    _wait_ready(recorder, watch)
    children.start("uploader", "agent_main", "uploader", "--config", str(config_file))
    # A clip that is played once ends by itself: every frame of it, and no more.
    duration = options.duration_s or (float("inf") if chosen.clip_s else DEFAULT_SECONDS)
    seen: dict[str, Any] = {"faults": watch.faults}
    try:
        with keys() as hands:
            _record(watch, duration, interrupts, hands)
        seen["uploaded"] = _deliver(children, watch)
    except AgentError as err:
        error = recorder.its_error(_recovers(config, config_file, recorder)) if recorder.ended() else err
        seen["error"] = {"message": error.message, "next": error.hint, "status": int(error.exit_status)}
    with contextlib.suppress(AgentError):
        watch.look()
    seen |= {"interrupted": interrupts.count > 0, "status": watch.last}
    if watch.last:
        progress.show(watch.last, last=True)
    children.stop("uploader", "recorder", "station")
    return seen


def _recovers(config: Config, config_file: Path, recorder: Child) -> str:
    """The next step after a recorder that ended in the middle."""
    return (
        f"`bodycam-agent recorder --config {config_file}` seals what is durable and lies in {config.spool.dir}/open; "
        f"its log is {recorder.log}"
    )


def _url(station: Child) -> str:
    line = station.first_line(START_S)
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError, TypeError):
        raise StationError(f"the station did not start: {station.obituary()}", f"see {station.log}") from None


def _wait_ready(recorder: Child, watch: Watch) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if recorder.status is not None:
            raise recorder.its_error()
        try:
            status = watch.look(quiet=True)
        except DeviceError:
            time.sleep(POLL_S)
            continue
        if "camera" in status["faults"]:
            raise DeviceError(status["faults"]["camera"], f"see {recorder.log}")
        # What is wrong with the disk, say, the press has to tell.
        if status["state"] == "ready" or (status["state"] == "fault" and "intake" in status):
            return
        time.sleep(POLL_S)
    raise DeviceError("the recorder was not ready within a minute", f"see {recorder.log}")


def _record(watch: Watch, duration_s: float, interrupts: _Interrupts, hands: Keys) -> None:
    """Press, then wait until the wanted seconds are durable, the source ends, Ctrl-C, or the recorder dies; stop. What
    is typed meanwhile is a hand on its button.
    """
    watch.ask("record", trigger="bench")
    last, moved = None, time.monotonic()
    while not interrupts.count and time.monotonic() - moved < STALL_S:
        status = watch.look()
        if status["recording"] is None or status["media_s"] >= duration_s:
            break
        if status["media_s"] != last:
            last, moved = status["media_s"], time.monotonic()
        for gesture in hands.gestures():
            watch.ask(gesture)
        time.sleep(POLL_S)
    if watch.look()["recording"]:
        watch.ask("stop", reason="bench")
        watch.look()


def _deliver(children: Children, watch: Watch) -> str:
    """Dock, wait for the receipts, and delete what they cover. Returns the verdict in a word."""
    watch.ask("dock")
    verdict = _wait_delivered(children, watch)
    watch.ask("retain", force=True)
    return verdict


def _wait_delivered(children: Children, watch: Watch) -> str:
    """Until nothing lies in sealed/; gives up when the upload stands still. Returns the verdict in a word."""
    last, changed = None, time.monotonic()
    while time.monotonic() - changed < STALL_S:
        status = watch.look()
        if status["segments"]["sealed"] == 0:
            return "delivered"
        upload = status.get("upload", {})
        now = (status["segments"]["sealed"], upload.get("bytes_done"), upload.get("segments_done"))
        if now != last:
            last, changed = now, time.monotonic()
        dead = next((c for c in (children["uploader"], children["station"]) if c.status is not None), None)
        if dead:
            raise StationError(dead.obituary(), f"see {dead.log}; {KEPT}")
        time.sleep(POLL_S)
    detail = upload.get("error") or upload.get("state", "no progress")
    raise StationError(f"the upload stands still: {detail}", KEPT)


def _config(out: Path, paths: AgencyPaths, chosen: choose.Choice, url: str, options: BenchOptions) -> Config:
    wanted_s = options.duration_s
    loop = chosen.clip_s is not None and wanted_s is not None and wanted_s > chosen.clip_s
    camera = paths.camera(CAMERA)
    recipients = tuple(paths.recipients.read_text("ascii").split())
    return Config(
        camera=CameraConfig(id=CAMERA, timezone=options.timezone or ""),
        video=VideoConfig(source=chosen.video, loop=loop),
        audio=AudioConfig(source=chosen.audio),
        recording=RecordingConfig(),
        sealing=SealingConfig(
            recipients=recipients, identity_key=camera.identity_key, identity_chain=camera.identity_chain
        ),
        spool=SpoolConfig(dir=out / "spool"),
        retention=RetentionConfig(),
        # A desk's own battery is shown and logged, and switches nothing off.
        power=PowerConfig(power_off=False),
        dock=DockConfig(
            station_url=url,
            ca=paths.trust_root,
            client_cert=camera.tls_chain,
            client_key=camera.tls_key,
            receipt_key=paths.receipt_vkey.read_text("ascii").strip(),
            start_spread_s=0,
            config_key=admin.config_vkey(paths),
        ),
        control=ControlConfig(socket=_socket(out)),
    )
