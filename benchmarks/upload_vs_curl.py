"""The uploader against curl's PATCH, in segments of 64 MiB, and against tuspy in segments of 4 MiB; all on one path:
nginx that wants a client certificate and speaks TLS 1.3 alone, before npm's reference tus server.

Ours is the uploader as systemd starts it, with the configuration as it is shipped, so many at a time: a process that
reads its configuration, finds itself docked, brings the time and the agency's largest order, looks through the spool,
announces each segment, asks for its offset, and tells how far it is. Its time ends when it tells that all is there, its
CPU and its peak of memory with its end. Waiting at random after docking is left out. curl and tuspy send one file after
another; their time is that of their process. curl's uploads are announced before its time begins.

The amount is that of a visit to the dock (by default 4 GiB in long segments, or 1 GiB in short ones), and each side's
start is in all figures but those `without_start`: there what a process costs that finds nothing to send is deducted, on
both sides. `start_cpu_s` and `start_wall_s` are that cost alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path

from agent import durable
from agent.clock import SystemClock
from agent.config import DockConfig, dump
from agent.errors import AgentError
from agent.formats import age
from agent.formats.order import MAX_ORDER
from agent.formats.seal import SealRecord
from agent.station.layout import AgencyPaths
from benchmarks import footage
from benchmarks.measure import run_child
from benchmarks.report import CostComparison, CostRun
from tests.camera_kit import CAMERA, make_agency
from tests.interop import tus_path
from tests.recorder_kit import make_config

NAME, SMALL = "upload-vs-curl", "upload-small-vs-tuspy"
AIM, SMALL_AIM = round(1 / 0.9, 3), 0.5
"""Of the other's time."""
AIMS = {"cpu_ratio": 1.2, "peak_rss_mib": 40}
SMALL_AIMS = {"peak_rss_mib": 40}
PARALLEL = next(int(str(field.default)) for field in fields(DockConfig) if field.name == "parallel")
"""As it is shipped."""
LARGE_MIB, SMALL_MIB = 64, 4
LARGE_TIMES = 4
"""Of the evidence that is asked for: a start counts as it does in a visit, and a round takes half a minute."""
DEADLINE_S = 600
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one round works: the agency's files, the URL of the path, its store, and a spool of segments."""

    root: Path
    agency: AgencyPaths
    url: str
    store: Path
    spool: Path
    digests: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """Root, chain and key, as the children take them."""
        mine = self.agency.camera(CAMERA)
        return [str(self.agency.trust_root), str(mine.tls_chain), str(mine.tls_key)]

    @property
    def segments(self) -> list[Path]:
        return sorted(self.spool.glob("sealed/*.tar"))

    @property
    def size(self) -> int:
        """Of all segments together, in bytes."""
        return sum(path.stat().st_size for path in self.segments)


def large(mib: int, repeat: int, say: Say) -> CostComparison:
    """Rounds of ours and curl's. Raises AgentError where one fails or stores other bytes."""
    count = max(1, mib // LARGE_MIB * LARGE_TIMES)
    return _compare(NAME, "curl", curl, (AIM, AIMS), LARGE_MIB, count, repeat, say)


def small(mib: int, repeat: int, say: Say) -> CostComparison:
    """Rounds of ours and tuspy's, as `large`."""
    count = max(1, mib // SMALL_MIB)
    return _compare(SMALL, "tuspy", tuspy, (SMALL_AIM, SMALL_AIMS), SMALL_MIB, count, repeat, say)


Side = Callable[[Place], CostRun]
Aims = tuple[float, Mapping[str, float]]
"""Of the ratio, and of further figures."""


def _compare(
    name: str, base: str, other: Side, aims: Aims, each_mib: int, count: int, repeat: int, say: Say
) -> CostComparison:
    lacking = tus_path.missing()
    if lacking:
        raise AgentError(f"{name}: {lacking}", "make setup")
    say(f"{name}: {count} segments of {each_mib} MiB, {repeat} x 2")
    with footage.workplace(2 * count * each_mib << 20) as root:
        agency = make_agency(root / "agency")
        digests = make_spool(root / "spool", each_mib << 20, count)
        with tus_path.tus_behind_nginx(agency, root / "path") as url:
            place = Place(root, agency, url, root / "path" / "store", root / "spool", digests)
            rounds = []
            for number in range(repeat):
                ours, theirs = _checked(uploader, place), _checked(other, place)
                rounds.append((_with_start(ours, uploader, place), _with_start(theirs, other, place)))
                told = ", ".join(f"{r.side} {r.more['mb_s']:.0f} MB/s" for r in rounds[-1])
                say(f"  round {number + 1}: {told}")
    versions = {"curl": _first_line("curl", "--version"), "tuspy": version("tuspy"), "nginx": _nginx()}
    given = f"{count} segments of {each_mib} MiB, {PARALLEL} at a time as shipped, {base} one; with the starts"
    kept = {word: versions[word] for word in (base, "nginx")}
    return CostComparison(name, given, base, aims[0], tuple(rounds), kept, aims=aims[1])


def make_spool(spool: Path, size: int, count: int) -> tuple[str, ...]:
    """So many sealed segments of random bytes; their digests, sorted."""
    (spool / "sealed").mkdir(parents=True)
    (spool / "inbox").mkdir()
    digests = []
    for number in range(count):
        data = os.urandom(size)
        name, sha256 = f"e{number:010d}-91b3c4d7", hashlib.sha256(data).hexdigest()
        (spool / "sealed" / f"{name}.tar").write_bytes(data)
        record = SealRecord(name, size, sha256, number, 1, None, 0)
        (spool / "sealed" / f"{name}.seal").write_bytes(record.to_bytes())
        digests.append(sha256)
    return tuple(sorted(digests))


def _checked(side: Side, place: Place) -> CostRun:
    """Run it on an empty store, which then holds each segment once, as it is."""
    for path in place.store.iterdir():
        path.unlink()
    for name in ("uploads.jsonl", "progress.json"):
        (place.spool / "inbox" / name).unlink(missing_ok=True)
    run = side(place)
    stored = [path for path in place.store.iterdir() if path.suffix != ".json"]
    found = []
    for path in stored:
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    if tuple(sorted(found)) != place.digests:
        raise AgentError(f"{run.side} stored {len(found)} uploads, which are not the {len(place.digests)} segments")
    return run


def uploader(place: Place) -> CostRun:
    """Ours as systemd starts it, with its configuration and journal, a recorder that asks for time and orders, and the
    largest order of the agency to bring.
    """
    root = place.root / "shipped"
    config = make_config(place.agency, root, place.url)
    dock = replace(config.dock, presence=("always",), start_spread_s=0)
    config = replace(config, dock=dock, spool=replace(config.spool, dir=place.spool))
    root.mkdir(exist_ok=True)
    (root / "agent.toml").write_text(dump(config), "utf-8")
    to = age.X25519Identity.generate().recipient
    (place.root / "path" / "order").write_bytes(age.encrypt(os.urandom(MAX_ORDER), [to]).data)
    asked = {"v": 1, "boot": SystemClock().boot_id, "nonce": os.urandom(32).hex(), "recipient": to.to_string()}
    durable.make_dir(place.spool / "outbox")
    (place.spool / "outbox" / "ask.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "agent", "uploader", "--config", str(root / "agent.toml")]
    inbox, size = place.spool / "inbox", place.size
    cost, wall_s = run_child(
        command, place.root / "log", DEADLINE_S, lambda: _is_there(inbox, size) and any(inbox.glob("*.order"))
    )
    for path in inbox.glob("*.order"):
        path.unlink()
    return CostRun("uploader", cost, wall_s)


def _is_there(inbox: Path, size: int) -> bool:
    """All of it, as the uploader tells."""
    try:
        told = json.loads((inbox / "progress.json").read_bytes())
    except (OSError, ValueError):
        return False
    return bool(told["bytes_done"] == told["bytes_total"] == size)


def tuspy(place: Place) -> CostRun:
    return _run(
        "tuspy", place, [sys.executable, "-m", "benchmarks.tuspy_child", str(place.spool), place.url, *place.keys]
    )


def curl(place: Place) -> CostRun:
    """One process, one connection, a PATCH for each segment; the uploads are announced before."""
    root, chain, key = place.keys
    blocks = []
    for path in place.segments:
        lines = {
            "url": _announce(place, path.stat().st_size),
            "request": "PATCH",
            "upload-file": str(path),
            "cacert": root,
            "cert": chain,
            "key": key,
            "output": os.devnull,
        }
        headers = [
            "Tus-Resumable: 1.0.0",
            "Upload-Offset: 0",
            "Content-Type: application/offset+octet-stream",
            "Expect:",
        ]
        told = [f"{name} = {json.dumps(value)}" for name, value in lines.items()]
        blocks.append("\n".join([*told, "silent", "fail", "tlsv1.3", *(f"header = {json.dumps(h)}" for h in headers)]))
    config = place.root / "curl.conf"
    config.write_text("\nnext\n".join(blocks) + "\n", "utf-8")
    if not blocks:
        return _run("curl", place, ["curl", "--version"])
    return _run("curl", place, ["curl", "--fail-early", "-K", str(config)])


def _announce(place: Place, size: int) -> str:
    root, chain, key = place.keys
    context = ssl.create_default_context(cafile=root)
    context.load_cert_chain(chain, key)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size)}
    request = urllib.request.Request(f"{place.url}/files", b"", headers, method="POST")
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        return f"{place.url}{answer.headers['Location']}"


def _run(side: str, place: Place, command: Sequence[str]) -> CostRun:
    cost, wall_s = run_child(command, place.root / "log", DEADLINE_S)
    return CostRun(side, cost, wall_s)


def _with_start(run: CostRun, side: Side, place: Place) -> CostRun:
    """What one side took, and beside it what the same process costs that finds nothing to send."""
    empty = replace(place, spool=place.root / "empty")
    (empty.spool / "sealed").mkdir(parents=True, exist_ok=True)
    (empty.spool / "inbox").mkdir(exist_ok=True)
    (empty.spool / "inbox" / "progress.json").unlink(missing_ok=True)
    idle = side(empty)
    told = {"mb_s": place.size / 1e6 / run.wall_s, "cpu_s_per_gib": run.cost.cpu_s * (1 << 30) / place.size}
    return replace(run, more={**told, "start_cpu_s": idle.cost.cpu_s, "start_wall_s": idle.wall_s})


def _first_line(*command: str) -> str:
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return " ".join((told.stdout or told.stderr).splitlines()[0].split()[:2])


def _nginx() -> str:
    told = subprocess.run([tus_path.nginx(), "-v"], capture_output=True, text=True, check=True)
    return told.stderr.strip().rpartition("/")[2]
