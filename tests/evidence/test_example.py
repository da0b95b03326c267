"""The worked example: its page says what its files hold, and each of the three verifiers accepts them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.evidence.commands import main
from agent.evidence.opening import load_identities
from agent.formats import age
from tests.evidence.matrix.case import flipped
from tests.independent.kit import verdicts
from tests.vectors.evidence.page import KEYS, page

HOUSE = Path(__file__).parents[2]
PLACE = HOUSE / "tests" / "vectors" / "evidence"
ROOT, KEY = PLACE / "root.pem", PLACE / "agency.agekey"
SEGMENTS = sorted(PLACE.glob("*.tar"))


def test_the_page_shows_the_values_of_the_files() -> None:
    """Working them out checks each against the bytes that are stored."""
    shown = (HOUSE / "docs" / "evidence-example.md").read_text("utf-8")
    assert shown == page(), "run: python -m tests.vectors.evidence.page > docs/evidence-example.md"


def test_our_verifier_accepts_it_up_to_its_receipt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is kept: without what Python leaves beside its two programs once they ran."""
    kept = shutil.copytree(PLACE, tmp_path / "kept", ignore=shutil.ignore_patterns("__pycache__"))
    assert main(["verify", str(kept), "--trust", str(ROOT), "-i", str(KEY)]) == 0
    told = capsys.readouterr().out
    assert "1 parts (0 to 0), 0.500 s" in told and "root of 7 leaves" in told
    (note,) = (line for line in told.splitlines() if line.startswith(("FAIL", "note")))
    assert note.startswith("note unchecked: passed over") and "generate.py" in note and "3 more" in note


def test_the_stock_tools_accept_it() -> None:
    command = ["docs/verify.sh", *map(str, SEGMENTS), "--trust", str(ROOT), "--key", str(KEY)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HOUSE, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout and "codec_name=h264" in done.stdout


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_verifier_in_another_language_accepts_it_and_no_changed_one(tmp_path: Path) -> None:
    assert verdicts(ROOT, PLACE) == {PLACE: "verified"}
    shutil.copytree(PLACE, tmp_path / "changed", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = tmp_path / "changed" / SEGMENTS[0].name
    path.write_bytes(flipped(path.read_bytes(), 5_000))
    assert verdicts(ROOT, tmp_path / "changed")[tmp_path / "changed"].startswith("FAIL")


def test_the_published_secrets_are_those_of_the_files(tmp_path: Path) -> None:
    (identity,) = load_identities(KEY)
    assert isinstance(identity, age.X25519Identity) and identity.secret.hex() == KEYS["secrets"]["age identity"]
    assert main(["decrypt", *map(str, SEGMENTS), "-i", str(KEY), "-o", str(tmp_path / "clear")]) == 0
    assert len(list((tmp_path / "clear").rglob("*.m4s"))) == 1
