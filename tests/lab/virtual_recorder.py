"""`bodycam-agent` as it is, whose Pi camera is libcamera's virtual one: started in place of `agent`."""

from __future__ import annotations

import sys

from agent import cli
from tests.lab import virtual_camera

virtual_camera.install()
sys.exit(cli.agent_main(sys.argv[1:]))
