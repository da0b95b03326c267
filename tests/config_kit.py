"""A configuration for tests: the least there can be, as text and as a value, and that with one key changed."""

from __future__ import annotations

from pathlib import Path

from agent.config import (
    AudioConfig,
    CameraConfig,
    Config,
    ControlConfig,
    DockConfig,
    RecordingConfig,
    RetentionConfig,
    SealingConfig,
    SpoolConfig,
    VideoConfig,
)

AGE_A = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
AGE_B = "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z"
VKEY = "station.example+0123abcd+" + "A" * 44
BASE = Path("/base")

MINIMAL = f"""
[camera]
id = "cam-0001"
[video]
source = "synthetic"
[audio]
source = "none"
[sealing]
recipients = ["{AGE_A}"]
identity_key = "id.key"
identity_chain = "/abs/id.pem"
[spool]
dir = "spool"
[dock]
station_url = "https://127.0.0.1:8443"
ca = "root.pem"
client_cert = "tls.pem"
client_key = "tls.key"
receipt_key = "{VKEY}"
[control]
socket = "run/control.sock"
"""


def sample() -> Config:
    return Config(
        camera=CameraConfig(id="cam-0001"),
        video=VideoConfig(source="synthetic"),
        audio=AudioConfig(source="none"),
        recording=RecordingConfig(),
        sealing=SealingConfig(recipients=(AGE_A,), identity_key=BASE / "id.key", identity_chain=Path("/abs/id.pem")),
        spool=SpoolConfig(dir=BASE / "spool"),
        retention=RetentionConfig(),
        dock=DockConfig(
            station_url="https://127.0.0.1:8443",
            ca=BASE / "root.pem",
            client_cert=BASE / "tls.pem",
            client_key=BASE / "tls.key",
            receipt_key=VKEY,
        ),
        control=ControlConfig(socket=BASE / "run/control.sock"),
    )


def save(directory: Path, text: str) -> Path:
    path = directory / "agent.toml"
    path.write_text(text, "utf-8")
    return path


def with_value(key: str, toml: str) -> str:
    """MINIMAL with one key set, or set anew."""
    section, name = key.split(".")
    kept: list[str] = []
    here = ""
    for line in MINIMAL.splitlines():
        here = line.strip("[]") if line.startswith("[") else here
        if not (here == section and line.startswith(f"{name} =")):
            kept.append(line)
    if f"[{section}]" not in kept:
        kept.append(f"[{section}]")
    kept.insert(kept.index(f"[{section}]") + 1, f"{name} = {toml}")
    return "\n".join(kept)
