"""Target: what an export hands out of a directory in which anything may stand. `--even-if-damaged` reads what did not
verify, and a proof is opened again by whoever is given it. Of what verifies each leaf is proven by itself, too.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Container
from pathlib import Path
from typing import Any

from agent.errors import EvidenceError, KeyTrustError, StorageError, UsageError
from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.leafproofs import write_proofs
from agent.evidence.rewrap import rewrap
from agent.evidence.sources import collect
from agent.evidence.stamp import load_stamp
from agent.evidence.times import parse_time
from agent.evidence.verify import verify
from agent.formats import merkle, note
from agent.formats.tlogproof import InclusionProof
from tests.fuzz import place, stories
from tests.fuzz.engine import Target, demand
from tests.fuzz.keys import ALICE, PAUL, fixed_agency, whole_camera
from tests.fuzz.mutate import change_json
from tests.fuzz.repair import as_json, line
from tests.fuzz.shapes import Member, join_archive, split_archive
from tests.fuzz.targets_log import seeds_timestamp
from tests.fuzz.targets_tree import mutate_tree, seeds_tree

ASKED, STAMP, HEAD = "asked", "stamp", stories.HEAD
OPTIONS = (ASKED, STAMP, HEAD)
"""Members that are options of the command, not files in the directory."""
_BEGIN = "2026-03-01T08:00:{:02}Z"


def run_export(data: bytes) -> None:
    """Files of their own and a plain error; what was exported of what verifies can be verified and rewrapped."""
    members = split_archive(data)
    options = {name: content for name, content in members if name in OPTIONS}
    with place.fresh() as root:
        place.lay(root / "in", [m for m in members if m[0] not in options])
        for name in options.keys() & {STAMP, HEAD}:
            (root / name).write_bytes(options[name])
        with contextlib.suppress(UsageError, StorageError, KeyTrustError):
            _export(root, as_json(options.get(ASKED, b"")) or {}, options)


def _export(root: Path, asked: dict[str, Any], options: Container[str]) -> None:
    anchor = fixed_agency().root
    times = {name: _time(asked.get(name)) for name in ("begin", "end")}
    stamp = load_stamp(root / STAMP if STAMP in options else None, None)
    recording = asked.get("recording") if isinstance(asked.get("recording"), str) else None
    wanted = ExportOptions(
        root / "out", recording, **times, even_if_damaged=asked.get("whole") is not True, stamp=stamp
    )
    head = root / HEAD if HEAD in options else None
    result = export(collect([root / "in"]), anchor, [ALICE], wanted, head)
    demand(not (result.whole and result.refused), "what is refused is whole")
    demand(all(shown.isprintable() for shown in result.lines()), "a line of export can steer a terminal")
    for made in result.exports:
        if made.proof:
            verified = verify(collect([Path(made.proof)]), anchor).verified
            demand(verified or not result.report.verified, "what was exported of what verifies does not")
            _rewrap(root, Path(made.proof), verified)
    if result.report.verified:
        _prove(root)


def _prove(root: Path) -> None:
    """Each leaf of each recording; what was written leads to the head beside it by the RFC's own steps."""
    try:
        done = write_proofs(collect([root / "in"]), fixed_agency().root, root / "leaves")
    except EvidenceError:
        return
    demand(not done.refused, "no proof is written of what verifies")
    demand(all(shown.isprintable() for shown in done.lines()), "a line of proofs can steer a terminal")
    for one in done.written:
        for stem in (Path(one.directory) / f"{index:010d}" for index in one.leaves):
            proof = InclusionProof.parse(stem.with_suffix(".tlog-proof").read_bytes())
            point = note.parse_checkpoint(note.parse(proof.checkpoint).text)
            leaf = merkle.leaf_hash(stem.with_suffix(".json").read_bytes())
            merkle.verify_inclusion(leaf, proof.index, point.size, proof.hashes, point.root)
            demand(proof.index == int(stem.name), "a proof is of another leaf than its name")


def _rewrap(root: Path, proof: Path, verified: bool) -> None:
    with contextlib.suppress(EvidenceError):
        done = rewrap(collect([proof]), fixed_agency().root, [ALICE], [PAUL.recipient], root / "again")
        demand(verified or not done.proofs, "what does not verify is rewrapped")
        demand(all(shown.isprintable() for shown in done.lines()), "a line of rewrap can steer a terminal")
        json.dumps(done.to_json()).encode("ascii")
        for name in done.proofs:
            demand(verify(collect([Path(name)]), fixed_agency().root).verified, "what was rewrapped does not verify")


def _time(text: Any) -> Any:
    return parse_time(text, "--from") if isinstance(text, str) else None


def mutate_export(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """What is asked for, or the directory as the target `tree` changes it."""
    members = split_archive(data)
    kept = [m for m in members if m[0] in OPTIONS]
    rest = [m for m in members if m[0] not in OPTIONS]
    if rng.random() < 0.3:
        kept = [m for m in kept if m[0] != ASKED] + _asked(kept, rng)
    if rng.random() < 0.8:
        rest = split_archive(mutate_tree(join_archive(rest), rng, other))
    return join_archive([*kept, *rest])


def _asked(kept: list[Member], rng: random.Random) -> list[Member]:
    begin, end = sorted(rng.randrange(60) for _ in range(2))
    made: dict[str, Any] = {"begin": _BEGIN.format(begin), "end": _BEGIN.format(end)}
    held = as_json(dict(kept).get(ASKED, b""))
    match rng.randrange(5):
        case 0:
            return []
        case 1:
            del made[rng.choice(("begin", "end"))]
        case 2 if held:
            changed = change_json(held, rng)
            made = changed if isinstance(changed, dict) else made
    return [(ASKED, line(made))]


def seeds_export() -> dict[str, bytes]:
    """The directories of `tree`, whole, of a range, and with a timestamp that was made over something else."""
    trees = {name: split_archive(data) for name, data in seeds_tree().items()}
    some = (ASKED, line({"begin": _BEGIN.format(0), "end": _BEGIN.format(59)}))
    found = {name: members for name, members in trees.items() if name in ("spool", "life", "epochs", "exported")}
    found |= {f"{name}-some": [some, *members] for name, members in found.items()}
    found |= {f"{name}-some": [some, *trees[name]] for name in ("vouched", "silent")}
    found["cosigned"] = trees["cosigned"]
    gone = next(name for name, _ in trees["purged"] if name.startswith("r"))
    found["purged-asked"] = [(ASKED, line({"recording": gone[:20]})), *trees["purged"]]
    found["refused"] = [(ASKED, line({"whole": True})), *trees["strange"]]
    found["stamped"] = [(STAMP, seeds_timestamp()["granted"]), *trees["spool"]]
    found["asked-head"] = [*trees["picked"][:1], ("head.receipt", whole_camera().receipt(whole_camera().segments))]
    return {name: join_archive(members) for name, members in found.items()}


TARGETS = (
    Target("export", run_export, mutate_export, seeds_export, cpu_s=20, share=2, beside=("segment", "range", "tree")),
)
