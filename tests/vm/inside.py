"""Tests of this tree that run inside of a machine, on its kernel."""

from __future__ import annotations

import sysconfig

from tests.vm.bodycam import ROOT, BodyCamera


def pytest_in_the_guest(camera: BodyCamera, environment: str, *arguments: str, timeout_s: float = 400) -> str:
    """This machine's tree and the tests' packages, through hostfs, for the guest's own Python. Returns what it says."""
    run = camera.machine.run
    run("systemctl stop bodycam-recorder bodycam-uploader", 60)
    run("mkdir -p /mnt/here && (mountpoint -q /mnt/here || mount -t hostfs none /mnt/here -o /)")
    path = f"/mnt/here{sysconfig.get_path('purelib')}:/mnt/here{ROOT}"
    answer = camera.machine.ask(
        f"cd /mnt/here{ROOT} && PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1 {environment} "
        f"/usr/bin/python3 -m pytest -v -rs -p no:cacheprovider -p no:xdist {' '.join(arguments)}",
        timeout_s,
    )
    print(answer.output)
    assert answer.ok, answer.output
    return answer.output
