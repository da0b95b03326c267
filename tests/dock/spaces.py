"""Camera and station in two network namespaces: who makes the link between them says what it is like (lossy.py,
netem.py); here are the processes at its ends. Needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from agent.formats.leaf import Kind
from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk

CAMERA, STATION = "10.99.0.1", "10.99.0.2"
PORT = 8443
URL = f"https://{STATION}:{PORT}"
HOUSE = Path(__file__).resolve().parents[2]
SERVE = "import sys; from agent.station.commands import main; sys.exit(main(sys.argv[1:]))"


class Spaces(Protocol):
    """The names of the namespaces at both ends of a link."""

    camera: str
    station: str


def missing() -> str:
    """Why there can be no namespaces here, in words; "" where there can."""
    if os.getuid() != 0:
        return "only root makes network namespaces"
    if shutil.which("ip") is None:
        return "ip is missing here: apt-get install iproute2"
    # As ip enters one; where / is no mount, as in a mere chroot, it cannot.
    tried = ["unshare", "--net", "--mount", "--propagation", "slave", "true"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else ""


def names() -> tuple[str, str]:
    """For the namespaces of camera and station, of this process alone."""
    return f"bodycam-{os.getpid()}-c", f"bodycam-{os.getpid()}-s"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


@contextlib.contextmanager
def made(*spaces: str) -> Iterator[None]:
    """They are there, with nothing in them; gone at the end, and all that is in them."""
    with contextlib.ExitStack() as stack:
        for space in spaces:
            ip("netns", "add", space)
            stack.callback(ip, "netns", "del", space)
        yield


@contextlib.contextmanager
def resolving(space: str, server: str) -> Iterator[None]:
    """What runs in there asks this name server, and nobody else (ip-netns(8): files in /etc/netns/NAME)."""
    etc = Path("/etc/netns") / space
    etc.mkdir(parents=True)
    try:
        (etc / "resolv.conf").write_text(f"nameserver {server}\noptions timeout:1 attempts:1\n", "utf-8")
        yield
    finally:
        shutil.rmtree(etc)


@contextlib.contextmanager
def running(space: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process in there, killed at the end."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", space, sys.executable, *argv],
        cwd=HOUSE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


@contextlib.contextmanager
def serving(link: Spaces, paths: AgencyPaths) -> Iterator[None]:
    """The embedded station at its end, at `URL`."""
    listen = f"{STATION}:{PORT}"
    serve = ["-c", SERVE, "serve", "--dir", str(paths.root), "--listen", listen, "--json"]
    with running(link.station, *serve) as station:
        assert station.stdout and json.loads(station.stdout.readline())["url"] == URL
        yield


@contextlib.contextmanager
def sending(
    link: Spaces, paths: AgencyPaths, desk: Desk, url: str = URL, limit_kbps: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """The uploader at its end, docked."""
    send = ["-m", "tests.uploader_child", str(paths.root), str(desk.root), url, str(limit_kbps)]
    with running(link.camera, *send) as camera:
        yield camera


def filled(desk: Desk, parts: int = 40) -> Desk:
    """A camera with event segments and a recording."""
    desk.tiles.write_chain(desk.log.session.chain_pem)
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {"resumes": None})
    name = desk.record(parts, 50_000)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    return desk


def sealed_bytes(desk: Desk) -> int:
    return sum(p.stat().st_size for p in desk.spool.sealed_dir.glob("*.tar"))
