"""Units of a running camera as a test changes them for a while: a drop-in in /run, gone with the next boot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.vm.bodycam import BodyCamera
from tests.vm.machine import LED_STATUS

UNITS = "/run/systemd/system"


@contextlib.contextmanager
def drop_in(camera: BodyCamera, unit: str, text: str) -> Iterator[None]:
    """Until the end, `unit` has these lines too; whoever wants them to count starts it anew."""
    path = f"{UNITS}/{unit}.service.d/90-test.conf"
    camera.machine.put(text.encode(), path)
    camera.machine.run("systemctl daemon-reload", 60)
    try:
        yield
    finally:
        camera.machine.run(f"rm -f {path} && systemctl daemon-reload", 60)


def shown(camera: BodyCamera, unit: str, *properties: str) -> dict[str, str]:
    """What systemd makes of it."""
    told = camera.machine.run(f"systemctl show {unit} {' '.join(f'-p {name}' for name in properties)}")
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def blinks(camera: BodyCamera) -> bool:
    """The second light, at some time within ten seconds."""
    for _ in range(100):
        if camera.machine.line(LED_STATUS):
            return True
        camera.machine.rest(0.1)
    return False


def lit(camera: BodyCamera) -> bool:
    """The light for recording, at some time within a minute of a machine that is late with what it records."""
    for _ in range(300):
        if camera.light():
            return True
        camera.machine.rest(0.2)
    return False
