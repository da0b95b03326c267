"""Both verifiers judge lives that no camera of ours lives as the format page does: as segments, and as a range."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.findings import Finding
from tests import campaigns
from tests.builders import Camera, agency
from tests.evidence.kit import failures
from tests.evidence.test_verify_sh import run
from tests.independent.kit import Judged, as_range, both_forms
from tests.independent.lives import LIVES, Life


def lived(life: Life) -> Camera:
    camera = Camera(agency(), seed=5)
    life.live(camera)
    if camera.open:
        camera.close_segment()
    return camera


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return both_forms(tmp_path_factory.mktemp("lives"), ((lived(life), life.left_out) for life in LIVES))


@pytest.mark.wide
@pytest.mark.parametrize("form", ["segments", "range"])
@pytest.mark.parametrize("number", range(len(LIVES)), ids=lambda number: LIVES[number].name)
def test_both_say_what_the_page_says(number: int, form: str, judged: Judged) -> None:
    life, (paths, said) = LIVES[number], judged
    path = paths[number][form == "range"]
    sound = life.sound if form == "range" or life.whole is None else life.whole
    found: list[Finding] = failures(path)
    assert (found == [], said[path] == "verified") == (sound, sound), (found, said[path])


BLIND = {
    ("resumed from another root", "segments"),
    *(
        (f"resumed from {what}", form)
        for what in ("what is not base64", "another spelling", "31 bytes", "33 bytes")
        for form in ("segments", "range")
    ),
}
"""What the script does not look at, as its head says: which log a session continues."""
SAMPLE = ("a stop between two parts, of both", "a shutdown between two parts")


@pytest.mark.campaign
def test_the_script_of_stock_tools_says_so_too(tmp_path: Path) -> None:
    campaign = campaigns.Campaign("lives-by-verify-sh")
    root, _ = agency().write_trust(tmp_path)
    chosen = [life for life in LIVES if life.name in SAMPLE] if campaigns.size(full=1, sample=0) == 0 else LIVES
    accepted, blind = 0, set()
    for number, life in enumerate(chosen):
        camera = lived(life)
        given = {"segments": camera.write(tmp_path / f"{number}")}
        given["range"] = [as_range(camera, tmp_path / f"{number}.proof.tar", life.left_out)]
        for form, paths in given.items():
            sound = life.sound if form == "range" or life.whole is None else life.whole
            done = run(*paths, "--trust", root)
            assert done.stderr == ""
            assert done.returncode == 0 or not sound, (life.name, form, done.stdout)
            accepted += done.returncode == 0
            blind |= {(life.name, form)} if done.returncode == 0 and not sound else set()
    assert blind == (BLIND if chosen is LIVES else set())
    campaign.finish(lives=len(chosen), verified=accepted, not_looked_at=len(blind))
