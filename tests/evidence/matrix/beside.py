"""Rows: what lies beside segments. The log's own checkpoint, its tiles, its chain, and seal records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.evidence.findings import What
from agent.formats import note
from tests.builders import Camera, agency, make_agency
from tests.evidence.matrix.case import CARD, FELLOW, FORGER, LEAVES, SESSION, Case, Expect, Row, flipped, life
from tests.evidence.matrix.outside import BAD_HEAD, TAIL, head_by_a_stranger, head_by_another_camera
from tests.evidence.matrix.places import GONE, other_history

Files = dict[str, bytes]
CHECKPOINT, CHAIN = "log/1/checkpoint", "log/1/chain.pem"


@cache
def log_files(name: str = "cam-0001", seed: int = 1) -> Files:
    """The log of a life, as a spool has it."""
    with TemporaryDirectory() as place:
        life(seed=seed, name=name).camera.write_log(Path(place))
        found = [path for path in sorted(Path(place).rglob("*")) if path.is_file()]
        return {f"log/1/{path.relative_to(place)}": path.read_bytes() for path in found}


def tile() -> str:
    """The only one: twenty leaves' hashes."""
    (name,) = (name for name in log_files() if "/tile/" in name)
    return name


def unchanged(case: Case, files: Files) -> None:
    pass


def with_log(change: Callable[[Case, Files], object], *gone: str) -> Callable[[Case], None]:
    """The log beside the segments, changed."""

    def apply(case: Case) -> None:
        files = dict(log_files())
        change(case, files)
        case.files |= files
        case.gone.update(gone)

    return apply


def headed(make: Callable[[Case], bytes]) -> Callable[[Case, Files], object]:
    """Its checkpoint is another."""
    return lambda case, files: files.update({CHECKPOINT: make(case)})


def older(case: Case) -> bytes:
    return case.camera.checkpoint(11, by_identity=True)


def by_session_alone(case: Case) -> bytes:
    return case.camera.checkpoint(LEAVES)


def bent(which: int) -> Callable[[Case], bytes]:
    """The last byte of one of its signatures; both are by keys at hand."""

    def make(case: Case) -> bytes:
        whole = note.parse(log_files()[CHECKPOINT])
        signed = list(whole.signatures)
        signed[which] = replace(signed[which], value=flipped(signed[which].value, -1))
        return note.Note(whole.text, tuple(signed)).to_bytes()

    return make


def of_another_camera(case: Case, files: Files) -> None:
    files.clear()
    files |= log_files("cam-0002", 2)


UNLED = Expect(What.UNCHECKED, None, text="the tiles do not lead to the checkpoint")
BEHIND = Expect(What.TAIL_UNPROVEN, None, 11, LEAVES - 1, sure=TAIL.sure)


def _log(change: str, takes: str, apply: Callable[[Case], None], *finds: Expect) -> Row:
    return Row("log", change, takes, apply, finds)


LOGS = [
    _log("kept, and the newest segment removed", CARD, with_log(unchanged, "E2"), Expect(GONE, None, 18, 19)),
    _log("kept, its checkpoint signed by the session alone, and the newest segment removed", CARD,
         with_log(headed(by_session_alone), "E2"), Expect(GONE, None, 18, 19)),
    _log("its checkpoint replaced by an older one", CARD, with_log(headed(older)), BEHIND),
    _log("its checkpoint replaced by an older one, and all that came after it removed", CARD,
         with_log(headed(older), "E1", "B0", "E2")),
    _log("its checkpoint's text edited", CARD,
         with_log(lambda case, files: files.update({CHECKPOINT: files[CHECKPOINT].replace(b"\n20\n", b"\n21\n")})),
         Expect(BAD_HEAD, None), TAIL),
    _log("its checkpoint's first signature bent", CARD, with_log(headed(bent(0))), Expect(BAD_HEAD, None), TAIL),
    _log("its checkpoint's second signature bent", CARD, with_log(headed(bent(1))), Expect(BAD_HEAD, None), TAIL),
    _log("nothing left of its checkpoint", CARD, with_log(headed(lambda case: b"")), Expect(BAD_HEAD, None), TAIL),
    _log("its checkpoint that of another history of the camera", SESSION,
         with_log(headed(lambda case: other_history(case).entries[-1].note)),
         Expect(What.FORK, None, 10, text="another history"), UNLED, TAIL),
    _log("its checkpoint signed by another camera", FELLOW, with_log(headed(head_by_another_camera)),
         Expect(BAD_HEAD, None, text="not signed by the camera"), TAIL),
    _log("its checkpoint signed by an agency of the same name", FORGER, with_log(headed(head_by_a_stranger)),
         Expect(BAD_HEAD, None, text="not signed by the camera"), TAIL),
    _log("its checkpoint that of another camera's log", FELLOW,
         with_log(headed(lambda case: life(name="cam-0002", seed=2).camera.checkpoint(LEAVES, by_identity=True))),
         Expect(BAD_HEAD, None, text="not signed by the camera"), TAIL),
    _log("all of it that of another camera", FELLOW, with_log(of_another_camera), TAIL),
    _log("its checkpoint gone", CARD, with_log(lambda case, files: files.pop(CHECKPOINT)),
         Expect(What.UNCHECKED, None, text="passed over"), TAIL),
    _log("a tile changed", CARD, with_log(lambda case, files: files.update({tile(): flipped(files[tile()], 7)})),
         UNLED),
    _log("a tile of zeros, and the newest segment removed", CARD,
         with_log(lambda case, files: files.update({tile(): bytes(len(files[tile()]))}), "E2"),
         UNLED, Expect(GONE, None, 18, 19)),
    _log("a tile of another history", SESSION,
         with_log(lambda case, files: files.update({tile(): log_files(seed=3)[tile()]})), UNLED),
    _log("a tile cut short", CARD, with_log(lambda case, files: files.update({tile(): files[tile()][:-32]})), UNLED),
    _log("nothing left of a tile", CARD, with_log(lambda case, files: files.update({tile(): b""})), UNLED),
    _log("its chain replaced by that of another agency", FORGER,
         with_log(lambda case, files: files.update({CHAIN: Camera(make_agency(agency().name)).new_session().chain}))),
    _log("all of its tiles gone", CARD, with_log(lambda case, files: files.pop(tile())),
         Expect(What.UNCHECKED, None, text="passed over"), TAIL),
]  # fmt: skip


def seal(edit: Callable[[bytes], bytes]) -> Callable[[Case], None]:
    """Its seal record lies beside A1, changed."""

    def apply(case: Case) -> None:
        record = case.segment("A1").record()
        case.files[f"{case.names['A1']}.seal"] = edit(record.to_bytes())

    return apply


SEALS = [
    Row("seal record", "its digest edited", CARD, seal(lambda data: data.replace(b'"sha256":"', b'"sha256":"0')), ()),
    Row("seal record", "its first leaf edited", CARD, seal(lambda data: data.replace(b'"first":6', b'"first":7')), ()),
    Row("seal record", "nothing left of it", CARD, seal(lambda data: b""), ()),
]  # fmt: skip

ROWS = [*LOGS, *SEALS]
