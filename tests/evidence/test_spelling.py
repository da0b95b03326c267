"""One spelling: the mirror of an ECDSA signature, which anyone can compute, is refused by each of the verifiers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from agent.evidence.findings import What
from agent.formats import note
from tests.builders import agency, simple_camera
from tests.evidence.kit import failures, only
from tests.independent.kit import verdicts

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    """A log whose first checkpoint bears (r, n - s) where the identity key signed (r, s)."""
    camera = simple_camera(parts=1)
    entry = camera.segments[0].entries[0]
    parsed = note.parse(entry.note)
    own, by_identity = parsed.signatures
    r, s = decode_dss_signature(by_identity.value)
    other = note.Signature(own.name, by_identity.key_id, encode_dss_signature(r, note.P256_ORDER - s))
    entry.note = note.Note(parsed.text, (own, other)).to_bytes()
    return camera.segments[0].write(tmp_path / "in")


def test_by_ours(mirrored: Path) -> None:
    found = only(failures(mirrored))
    assert found.what is What.BAD_SIGNATURE and "one spelling" in found.text


def test_by_the_stock_tools(mirrored: Path, tmp_path: Path) -> None:
    root, key = agency().write_trust(tmp_path)
    command = ["docs/verify.sh", str(mirrored), "--trust", str(root), "--key", str(key), "--excerpt"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HOUSE, timeout=120, check=False)
    assert done.returncode != 0 and "one spelling" in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_by_the_one_in_another_language(mirrored: Path, tmp_path: Path) -> None:
    root, _ = agency().write_trust(tmp_path)
    assert "one spelling" in verdicts(root, mirrored.parent)[mirrored.parent]
