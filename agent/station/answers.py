"""What the agency tells of answers that are carried to cameras: where each lies, its SHA-256 and the command that takes
it there; for several of them one list, and one digest to tell.

The digest goes another way than the files: who carries an answer could have exchanged it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent import durable
from agent.station.layout import AgencyPaths

LIST = "answers.sha256"


def told(camera: str, answer: Path) -> dict[str, Any]:
    """As JSON has it. Raises StorageError."""
    with durable.storage_errors(answer, "cannot read"):
        digest = hashlib.sha256(answer.read_bytes()).hexdigest()
    return {"camera": camera, "bundle": str(answer), "bundle_sha256": digest}


def command(answer: str, sha256: str) -> str:
    """What takes it on the camera."""
    return f"bodycam-agent provision --certificate {answer} --sha256 {sha256}"


def write_list(path: Path, answers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """As sha256sum(1) writes and checks it, of answers as `told` has them. Returns it as JSON has it, with its own
    digest, the one to tell for all of them. Raises StorageError.
    """
    lines = [f"{one['bundle_sha256']}  {Path(one['bundle']).name}\n" for one in answers]
    data = "".join(lines).encode("ascii")
    durable.write_file(path, data, 0o644)
    return {"list": str(path), "list_sha256": hashlib.sha256(data).hexdigest()}


def said_of_list(batch: dict[str, Any]) -> str:
    """For people."""
    name = Path(batch["list"]).name
    return f"All answers stand in {batch['list']}, for each camera: --list {name} --sha256 {batch['list_sha256']}"


def to_install(paths: AgencyPaths, renewed: Iterable[str], ordered: Iterable[str]) -> dict[str, Any]:
    """As JSON has it, of cameras whose answer was renewed and who take what is new by no order: `answers`, and where
    there is more than one of them the list that this writes. Raises StorageError.
    """
    by_hand = sorted(set(renewed) - set(ordered))
    answers = [told(name, paths.camera(name).answer) for name in by_hand]
    batch = write_list(paths.answers, answers) if len(answers) > 1 else {}
    return {"answers": answers, **batch}


def said(installing: dict[str, Any]) -> Iterator[str]:
    """The same for people, a line for each camera."""
    for one in installing["answers"]:
        yield f"  {one['camera']}: {command(one['bundle'], one['bundle_sha256'])}"
    if "list" in installing:
        yield said_of_list(installing)


def print_json(paths: AgencyPaths, done: dict[str, Any]) -> None:
    """What a rotation or exchange did, with the answers to install. Raises StorageError, having told what was done."""
    try:
        done = done | to_install(paths, done["renewed"], done["ordered"])
    finally:
        # New keys are to be locked away also where an answer cannot be read, and no other command tells of them.
        print(json.dumps(done))
