"""The embedded station with clients that we did not write, over its real TLS: npm's tus-js-client and tuspy, whole, and
resumed after they left in the middle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tusclient import client
from tusclient.exceptions import TusUploadFailed

from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests.camera_kit import CAMERA
from tests.interop.tus_path import HERE, PACKAGES
from tests.station.kit import NAME, own_agency

CHUNK = 256 << 10
SIZE = 3 * CHUNK + 1000


@dataclass(frozen=True)
class Served:
    """A station, and a file for it."""

    paths: AgencyPaths
    url: str
    file: Path

    @property
    def data(self) -> bytes:
        return self.file.read_bytes()

    @property
    def metadata(self) -> dict[str, str]:
        return {"name": NAME, "sha256": hashlib.sha256(self.data).hexdigest()}

    def held(self) -> bytes:
        return (self.paths.station / "segments" / CAMERA / f"{NAME}.tar").read_bytes()


@pytest.fixture
def served(agency: AgencyPaths, tmp_path: Path) -> Iterator[Served]:
    paths = own_agency(agency, tmp_path / "agency")
    station = Station(paths.root)
    file = tmp_path / "segment.tar"
    file.write_bytes(os.urandom(SIZE))
    yield Served(paths, station.start(), file)
    station.stop()


# -- tus-js-client -----------------------------------------------------------------------------------------------------


def js(served: Served, **more: Any) -> dict[str, Any]:
    """One run of tus-js-client; what it said."""
    if not shutil.which("node") or not (PACKAGES / "node_modules" / "tus-js-client").is_dir():
        pytest.skip("node or npm's tus-js-client is missing: `make setup`")
    keys = served.paths.camera(CAMERA)
    job = {
        "root": str(served.paths.trust_root),
        "chain": str(keys.tls_chain),
        "key": str(keys.tls_key),
        "endpoint": f"{served.url}/files",
        "file": str(served.file),
        "size": SIZE,
        "chunk": CHUNK,
        "metadata": served.metadata,
        **more,
    }
    command = ["node", "--no-warnings", str(HERE / "tus_client.mjs"), str(PACKAGES)]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_tus_js_client_uploads(served: Served) -> None:
    assert js(served)["sent"] == SIZE
    assert served.held() == served.data


def test_tus_js_client_goes_on_where_it_left(served: Served) -> None:
    first = js(served, stop=CHUNK)
    assert first["sent"] == CHUNK
    assert js(served, uploadUrl=first["url"]) == {"url": first["url"], "sent": SIZE}
    assert served.held() == served.data


def test_tus_js_client_is_told_that_bytes_are_not_what_was_announced(served: Served) -> None:
    told = js(served, metadata={"name": NAME, "sha256": "0" * 64})
    assert "460" in told["error"]


# -- tuspy -------------------------------------------------------------------------------------------------------------


def tuspy(served: Served, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """An uploader of tuspy's."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(served.paths.trust_root))
    keys = served.paths.camera(CAMERA)
    made = client.TusClient(f"{served.url}/files", client_cert=(str(keys.tls_chain), str(keys.tls_key)))
    return made.uploader(str(served.file), chunk_size=CHUNK, metadata=served.metadata, **more)


def test_tuspy_uploads_and_goes_on_where_it_left(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tuspy(served, monkeypatch)
    first.upload_chunk()
    assert first.offset == CHUNK
    again = tuspy(served, monkeypatch, url=first.url)
    assert again.offset == CHUNK
    again.upload()
    assert served.held() == served.data


def test_tuspy_is_told_that_bytes_are_not_what_was_announced(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tuspy(served, monkeypatch)
    made.metadata = {"name": NAME, "sha256": "0" * 64}
    with pytest.raises(TusUploadFailed) as caught:
        made.upload()
    assert caught.value.status_code == 460
