"""Time, assignment, tags and configuration over real TLS, between three processes; root's part done by hand."""

from __future__ import annotations

import json
import os
import pwd
import signal
from dataclasses import replace
from pathlib import Path

from agent import apply, configfile
from agent import config as configuration
from agent.formats.order import ALL_CAMERAS, Assignment, Configuration, Tag, Tags
from agent.station import orders
from agent.station.layout import AgencyPaths
from tests.camera_kit import CAMERA
from tests.ports import free_port
from tests.recorder_kit import RecorderProcess, StationProcess, make_config
from tests.station.kit import own_agency


class NoClock:
    """This machine's: no test sets it."""

    boot_id = ""

    def boottime_ns(self) -> int:
        return 0

    def set(self, utc_ns: int, bound_ms: int | None) -> None:
        raise AssertionError


def test_what_the_agency_orders_reaches_the_camera_and_takes_effect(agency: AgencyPaths, tmp_path: Path) -> None:
    paths, port = own_agency(agency, tmp_path / "agency"), free_port()
    paths.station.mkdir()
    root = tmp_path / "camera"
    config = make_config(paths, root, f"https://127.0.0.1:{port}")
    file = root / "agent.toml"
    orders.give(paths.root, CAMERA, Assignment("no. 4711", "Traffic 2", "early"))
    orders.give(paths.root, ALL_CAMERAS, Tags((Tag("arrest", "توقيف", "arrestation", "arrest"),)))
    another = configfile.overlaid(configuration.dump(config), {"video": {"bitrate_kbps": 700}})
    with (
        StationProcess(paths, port),
        RecorderProcess(config, root) as recorder,
        RecorderProcess(config, root, "uploader") as uploader,
    ):
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("dock")
        status = recorder.until(lambda s: s.get("assignment") and s.get("tags"))
        assert status["assignment"]["officer"] == "no. 4711"
        assert status["tags"] == {"arrest": {"ar": "توقيف", "fr": "arrestation", "en": "arrest"}}
        assert not list((root / "spool" / "inbox").glob("*.time"))
        given = orders.give(paths.root, CAMERA, Configuration(another))
        # Within a minute the uploader asks again; a new visit asks at once.
        recorder.ask("undock")
        recorder.until(lambda s: s["upload"].get("state") == "idle")
        recorder.ask("dock")
        asked = root / "spool" / "apply"
        recorder.until(lambda s: list(asked.glob("*.configuration")))
        taken = json.loads((root / "spool" / "orders" / "taken.json").read_bytes())
        assert taken["configuration"]["number"] == given.order.number
        done = apply.apply(asked, file, pwd.getpwuid(os.geteuid()).pw_name, NoClock())
        assert [one.words for one in done if one.name.endswith("configuration")] == [f"{file} is written"]
        # Both begin anew: systemd would start them again.
        assert (recorder.process.wait(30), uploader.process.wait(30)) == (0, 0)
    made = configuration.load(file)
    assert made == replace(config, video=replace(config.video, bitrate_kbps=700))
    with RecorderProcess(made, root) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        assert recorder.ask("status")["assignment"]["number"]
        recorder.process.send_signal(signal.SIGTERM)
        assert recorder.process.wait(60) == 0
