"""Bad networks made by the kernel's own netem (tests/dock/test_netem.py): uploader and embedded station in two network
namespaces of a guest, whose kernel has it. A station that is full or overrun needs no kernel of its own
(tests/dock/test_networks.py).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import campaigns
from tests.dock.test_netem import WEATHERS
from tests.vm.conftest import KINDS, Make, campaign
from tests.vm.inside import pytest_in_the_guest

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")

ROWS = campaigns.size(sample=1, full=len(WEATHERS))
TESTS = "tests/dock/test_netem.py"
# All of that file is there; its campaigns write no results of their own.
IN_FULL = "BODYCAM_CAMPAIGN=full"


def figures(told: str) -> list[dict[str, Any]]:
    """What the tests printed."""
    return [json.loads(line[line.index("{") :]) for line in told.splitlines() if line.endswith("}") and "{" in line]


@pytest.mark.campaign
@pytest.mark.parametrize("row", range(ROWS))
def test_netem_loses_delays_and_spoils_and_all_is_delivered_once(make_camera: Make, row: int) -> None:
    figures_of_all = campaign("networks-netem", "uml", "-k netem", row, ROWS)
    camera = make_camera("uml")
    camera.wait_ready(60)
    told = pytest_in_the_guest(camera, IN_FULL, "-s", f"'{TESTS}::test_a_bad_link_is_waited_out[{row}]'")
    assert " 1 passed" in told
    (found,) = figures(told)
    figures_of_all.finish(**found)


@pytest.mark.parametrize(
    ("which", "count"), [("connection or died", 2), ("portal", 2), ("name_server", 3)], ids=["open", "portal", "names"]
)
def test_netem_half_open_portal_and_names(make_camera: Make, which: str, count: int) -> None:
    camera = make_camera("uml")
    camera.wait_ready(60)
    told = pytest_in_the_guest(camera, IN_FULL, "-s", TESTS, "-k", f"'{which}'", timeout_s=600)
    assert f" {count} passed" in told and "skipped" not in told
