"""The verifier in another language, run over what it is given."""

from __future__ import annotations

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parent / "verify.mjs"


def verdicts(root: Path, *directories: Path, head: Path | None = None, revoked: Path | None = None) -> dict[Path, str]:
    """What the other verifier says of each directory: "verified", or "FAIL ..."."""
    more = [*(["--head", head] if head else []), *(["--revoked", revoked] if revoked else [])]
    command = ["node", SCRIPT, "--trust", root, *more, *directories]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert done.returncode == int(any(said != "verified" for said in told.values()))
    return {directory: told[str(directory)] for directory in directories}
