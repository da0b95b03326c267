"""Memory of the uploader as systemd starts it, through a whole visit: log, segment and receipt, the time, and an order
of each kind, the configuration as large as one may be. As the kernel counts it (VmHWM, proc(5)).
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from agent.clock import SystemClock
from agent.config import dump
from agent.formats import age
from agent.formats.order import ALL_CAMERAS, ENCRYPTED, MAX_ORDER, Assignment, Configuration, Kind, Tag, Tags
from agent.station import orders
from agent.station.layout import AgencyPaths
from benchmarks.measure import run_child
from benchmarks.upload_vs_curl import AIMS
from tests.camera_kit import CAMERA, Desk, begin
from tests.ports import free_port
from tests.recorder_kit import StationProcess, make_config
from tests.station.kit import own_agency

SEGMENT_BYTES = 8 << 20
DEADLINE_S = 60


def test_an_uploader_with_orders_to_bring_stays_within_its_memory(agency: AgencyPaths, tmp_path: Path) -> None:
    paths, port, spool = own_agency(agency, tmp_path / "agency"), free_port(), tmp_path / "spool"
    paths.station.mkdir()
    desk = begin(Desk(paths, spool).open())
    desk.tiles.write_chain(desk.log.session.chain_pem)
    desk.record(16, SEGMENT_BYTES // 16)
    desk.sealer.seal_open()
    desk.sealer.close()
    orders.give(paths.root, CAMERA, Assignment("no. 4711", "Traffic 2", "early"))
    orders.give(paths.root, ALL_CAMERAS, Tags((Tag("arrest", "توقيف", "arrestation", "arrest"),)))
    orders.give(paths.root, CAMERA, Configuration("#" * (MAX_ORDER * 3 // 4 - 300)))
    config = make_config(paths, tmp_path, f"https://127.0.0.1:{port}")
    config = replace(config, dock=replace(config.dock, presence=("always",)), spool=replace(config.spool, dir=spool))
    (tmp_path / "agent.toml").write_text(dump(config), "utf-8")
    me = age.X25519Identity.generate()
    asked = {"v": 1, "boot": SystemClock().boot_id, "nonce": os.urandom(32).hex()}
    (spool / "outbox" / "ask.json").write_text(json.dumps({**asked, "recipient": me.recipient.to_string()}))
    inbox, brought = spool / "inbox", dict.fromkeys(("*.receipt", "*.time", "*.order"), 0)

    def is_over() -> bool:
        brought.update({kind: len(list(inbox.glob(kind))) for kind in brought})
        return brought["*.receipt"] > 0 < brought["*.time"] and brought["*.order"] == len(Kind)

    with StationProcess(paths, port):
        command = [sys.executable, "-m", "agent", "uploader", "--config", str(tmp_path / "agent.toml")]
        cost, _ = run_child(command, tmp_path / "log", DEADLINE_S, is_over)
    assert is_over()
    found = [path.read_bytes() for path in inbox.glob("*.order")]
    assert all(data.startswith(ENCRYPTED) for data in found)
    assert max(len(age.decrypt(data, [me])) for data in found) > MAX_ORDER - 1000
    assert 20 < cost.peak_rss_mib <= AIMS["peak_rss_mib"], cost
