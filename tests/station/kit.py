"""A station of its own for each test, asked without a network: the WSGI application, with the TLS certificate a
connection would have shown.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.formats import merkle, note
from agent.model import SegmentState
from agent.station.app import App, open_app
from agent.station.index import Index
from agent.station.layout import AgencyPaths
from agent.station.state import State
from tests.camera_kit import CAMERA, Desk

NAME = "e0000000000-91b3c4d7"
TUS = {"Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream"}


def own_agency(agency: AgencyPaths, root: Path) -> AgencyPaths:
    """The shared agency's keys, with nothing stored yet."""
    shutil.copytree(agency.root, root, ignore=shutil.ignore_patterns("station"))
    return AgencyPaths(root)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Cut(io.BytesIO):
    """A body whose peer goes away after `at` bytes: an end of file, or an error where `error` is given."""

    def __init__(self, data: bytes, at: int, error: OSError | None = None) -> None:
        super().__init__(data[:at])
        self._error = error

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data and self._error:
            raise self._error
        return data


@dataclass
class Bench:
    """The application and the certificate it is asked with."""

    paths: AgencyPaths
    app: App
    state: State
    certificate: str = field(default="")
    index: Index | None = None

    def __post_init__(self) -> None:
        self.certificate = self.certificate or self.paths.camera(CAMERA).tls_chain.read_text()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | io.BytesIO = b"",
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> Answer:
        given: dict[str, Any] = {"HTTP_" + k.upper().replace("-", "_"): v for k, v in (headers or {}).items()}
        stream = body if isinstance(body, io.BytesIO) else io.BytesIO(body)
        size = length if length is not None else len(stream.getvalue())
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "CONTENT_LENGTH": str(size),
            "CONTENT_TYPE": given.pop("HTTP_CONTENT_TYPE", ""),
            "SSL_CLIENT_CERT": self.certificate,
            "wsgi.input": stream,
            **given,
        }
        told: list[Any] = []
        start: Callable[..., None] = lambda status, headers: told.extend((status, headers))  # noqa: E731
        data = b"".join(self.app(environ, start))
        return Answer(int(told[0].split()[0]), dict(told[1]), data)

    # -- tus -------------------------------------------------------------------------------------------------------

    def announce(self, data: bytes, name: str = NAME, sha256: str | None = None) -> str:
        """POST; the upload's path."""
        answer = self.ask("POST", "/files", b"", announcement(name, sha256 or digest(data), len(data)))
        assert answer.status == 201, answer
        return answer.headers["Location"]

    def upload(self, data: bytes, name: str = NAME) -> Answer:
        """POST, HEAD, and the rest in one PATCH."""
        path = self.announce(data, name)
        offset = self.offset(path)
        if offset == len(data):
            return Answer(204, {}, b"")
        return self.ask("PATCH", path, data[offset:], {**PATCH, "Upload-Offset": str(offset)})

    def offset(self, path: str) -> int:
        answer = self.ask("HEAD", path, b"", TUS)
        assert answer.status == 200, answer
        return int(answer.headers["Upload-Offset"])

    def segment(self, name: str, camera: str = CAMERA) -> Path:
        return self.paths.station / "segments" / camera / f"{name}.tar"

    def conflicts(self) -> list[dict[str, Any]]:
        return [json.loads(p.read_bytes()) for p in sorted(self.paths.station.glob("conflicts/*/*.json"))]

    # -- log -------------------------------------------------------------------------------------------------------

    def send_tiles(self, log: Path, size: int) -> None:
        for tile in merkle.tiles_of(size):
            assert self.ask("PUT", f"/log/1/{tile.path}", (log / tile.path).read_bytes()).status == 204

    def send_chain(self, pem: bytes) -> Answer:
        return self.ask("PUT", "/log/1/chain", pem)

    def add_checkpoint(self, old: int, proof: Sequence[bytes], signed: bytes) -> Answer:
        return self.ask("POST", "/add-checkpoint", checkpoint_request(old, proof, signed))

    def attest(self, names: Sequence[str]) -> Answer:
        return self.ask("POST", "/attest", json.dumps({"epoch": 1, "segments": list(names)}).encode())

    def send_log(self, desk: Desk) -> None:
        """Tiles, chain and checkpoint of a camera's log, as it stands on disk."""
        log = desk.spool.log_dir(1)
        signed = (log / "checkpoint").read_bytes()
        size = note.parse_checkpoint(note.parse(signed).text).size
        self.send_tiles(log, size)
        assert self.send_chain(desk.log.session.chain_pem).status == 204
        answer = self.add_checkpoint(0, [], signed)
        assert answer.status == 200, answer

    def send_segments(self, desk: Desk) -> list[str]:
        names = []
        for record in desk.spool.records(SegmentState.SEALED):
            data = desk.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
            assert self.upload(data, record.segment).status == 204
            names.append(record.segment)
        return names


@contextmanager
def bench(agency: AgencyPaths, root: Path) -> Iterator[Bench]:
    paths = own_agency(agency, root)
    paths.station.mkdir()
    state, index = State(paths.state), Index(paths.index)
    yield Bench(paths, open_app(paths, state, index), state, index=index)
    index.close()
    state.close()


def announcement(name: str, sha256: str, length: int) -> dict[str, str]:
    pairs = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in (("name", name), ("sha256", sha256)))
    return {**TUS, "Upload-Length": str(length), "Upload-Metadata": pairs}


def checkpoint_request(old: int, proof: Sequence[bytes], signed: bytes) -> bytes:
    return "".join(f"{line}\n" for line in (f"old {old}", *(note.b64(p) for p in proof), "")).encode() + signed


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
