"""What `export` makes of lives, and what somebody makes of that: proofs of whole recordings, with a cosigned head."""

from __future__ import annotations

from pathlib import Path

from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.sources import PROOF, collect
from agent.formats import note, tlogproof
from tests.builders import Camera
from tests.fuzz import place, stories
from tests.fuzz.keys import IDENTITIES, FixedCamera, fixed_agency
from tests.fuzz.shapes import Member, join_archive, split_archive

CHECKPOINT, CONSISTENCY = "cosigned/checkpoint", "cosigned/consistency"


def export_of(source: Path, out: Path, **options: object) -> Path:
    """The proof of the one recording that is exported."""
    asked = ExportOptions(out, **options)
    (made,) = export(collect([source]), fixed_agency().root, [IDENTITIES[0]], asked).exports
    return Path(made.proof)


def whole(made: Camera, recording: str) -> list[Member]:
    """The proof's members, with the head of the log's end cosigned by a station."""
    with place.fresh() as root:
        made.write(root / "in")
        (root / "in" / "a.receipt").write_bytes(made.receipt([]))
        return split_archive(export_of(root / "in", root / "out", recording=recording).read_bytes())


def export_stories() -> dict[str, list[Member]]:
    """As they are given out, unpacked, altered, and side by side."""
    made = stories.rambler(1, 22)
    recording = made.segments[1].name[:20]
    proof = whole(made, recording)
    camera, names = stories.sides()
    proofs = {name: whole(camera, name) for name in names}
    proofs[names[1]] = [m for m in proofs[names[1]] if not m[0].endswith("-0001.tar")]
    aside = [(f"{name}{PROOF}", join_archive(members)) for name, members in proofs.items()]
    return {
        "cosigned": [(f"{recording}{PROOF}", join_archive(proof)), (stories.HEAD, made.docked(made.frontier.size))],
        "unpacked": [(f"x/{name}", content) for name, content in proof],
        "altered": altered(proof, recording, _elsewhere(), made.purge(made.segments[1:2])),
        "aside": [*aside, (stories.HEAD, camera.docked(camera.frontier.size))],
    }


def altered(proof: list[Member], recording: str, foreign: list[Member], purge: bytes) -> list[Member]:
    """What stands in `cosigned/` and beside it, changed in one way after another."""
    held = dict(proof)
    head, extension = note.parse(held[CHECKPOINT]), tlogproof.Extension.parse(held[CONSISTENCY])
    changes: list[dict[str, bytes]] = [
        {CONSISTENCY: tlogproof.Extension(extension.old, extension.hashes[1:]).to_bytes()},
        {CONSISTENCY: tlogproof.Extension(extension.old + 1, extension.hashes).to_bytes()},
        {CONSISTENCY: tlogproof.Extension(1, extension.hashes).to_bytes()},
        {CHECKPOINT: note.Note(head.text, head.signatures[:-1]).to_bytes()},
        {name: content for name, content in foreign if name.startswith("cosigned/")},
        {"purges/a.purge": purge, "purges/a.vouched": b"x"},
    ]
    made = [list((held | change).items()) for change in changes]
    made.append([*proof, proof[0], proof[1]])
    return [(f"{number}/{recording}{PROOF}", join_archive(members)) for number, members in enumerate(made)]


def _elsewhere() -> list[Member]:
    """Of another camera's log."""
    other = FixedCamera(name="cam-0002", seed=23).new_session()
    recording = other.start()
    other.part(size=10)
    other.stop()
    return whole(other.shutdown(), recording)
