"""A key of before or after a rotation opens some of what is given: the rest is told, and hides nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import KeyTrustError
from agent.evidence.clip import ExportOptions
from agent.evidence.commands import main
from agent.evidence.export import ExportResult, export
from agent.evidence.sources import collect
from agent.evidence.times import parse_time
from agent.formats import age
from tests.builders import Camera, agency
from tests.evidence.kit import failures
from tests.evidence.matrix.case import flipped
from tests.film import add, film, film_camera

LATER = age.X25519Identity.generate()


def later_camera() -> Camera:
    """As a film camera, of another name, that was given another key."""
    init, parts = film()
    camera = Camera(agency(), "cam-0002", 6)
    camera.recipients = (LATER.recipient,)
    camera.new_session().start(init)
    for part in parts[:4]:
        add(camera, part)
    camera.stop()
    return camera.shutdown()


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """DIR/seg of two cameras, DIR/root.pem, DIR/agency.agekey, DIR/later.agekey."""
    film_camera().write(tmp_path / "seg" / "a")
    later_camera().write(tmp_path / "seg" / "b")
    agency().write_trust(tmp_path)
    (tmp_path / "later.agekey").write_text(age.identity_file(LATER, "for tests"))
    return tmp_path


def exported(both: Path, out: str, *keys: age.Identity, **options: Any) -> ExportResult:
    wanted = ExportOptions(both / out, **options)
    return export(collect([both / "seg"]), agency().root, keys, wanted)


@pytest.mark.parametrize("key", [agency().identity, LATER])
def test_an_export_with_one_key_has_what_it_opens(both: Path, key: age.Identity) -> None:
    result = exported(both, "out", key)
    opened = [one for one in result.exports if one.proof]
    (closed,) = [one for one in result.exports if not one.proof]
    assert len(opened) == 1 and not opened[0].problems
    assert closed.problems == [f"no identity given opens {closed.recording}"]
    assert (result.exit_status, result.whole) == (6, False)
    told = json.loads((both / "out" / "report.json").read_text())
    assert told["locked"] and len(told["exports"]) == 2
    assert not failures(Path(opened[0].proof))


def test_an_export_with_both_keys_is_whole(both: Path) -> None:
    result = exported(both, "out", agency().identity, LATER)
    assert (result.exit_status, result.whole, result.locked) == (0, True, None)


def test_a_key_that_opens_nothing_of_two_is_an_error(both: Path) -> None:
    with pytest.raises(KeyTrustError, match="no identity given opens"):
        exported(both, "out", age.X25519Identity.generate())


@pytest.mark.parametrize("ranged", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_altered_is_told_beside_what_no_key_opens(
    both: Path, capsys: pytest.CaptureFixture[str], ranged: bool, as_json: bool
) -> None:
    begin = parse_time("2026-03-01T08:00:07Z", "--from") if ranged else None
    first, _ = exported(both, "out", agency().identity, LATER, begin=begin).exports
    spoiled = Path(first.mp4)
    spoiled.write_bytes(flipped(spoiled.read_bytes(), spoiled.stat().st_size // 2))
    asked = ["verify", str(both / "out"), "--trust", str(both / "root.pem"), "-i", str(both / "agency.agekey")]
    assert main([*asked, *(["--json"] if as_json else [])]) == 6
    said = capsys.readouterr()
    assert said.err.startswith("error: no identity given opens ") and "no identity given opens" in said.out
    if as_json:
        report = json.loads(said.out)
        assert report["locked"] and not report["verified"]
        assert [f["what"] for f in report["findings"] if f["fails"]] == ["altered-export"]
    else:
        (line,) = [line for line in said.out.splitlines() if line.startswith("FAIL")]
        assert line.startswith("FAIL altered-export") and spoiled.name in line


def test_accounts_that_no_key_opens_hide_no_finding(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted((both / "seg" / "a").glob("r*.tar"))[0]
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
    asked = ["verify", str(both / "seg"), "--trust", str(both / "root.pem"), "--accounts"]
    assert main([*asked, "-i", str(both / "agency.agekey")]) == 6
    out = capsys.readouterr().out
    assert "FAIL altered-bytes" in out and "accounts of" in out and "no event of" in out
    assert main([*asked, "-i", str(both / "agency.agekey"), "-i", str(both / "later.agekey")]) == 1
