"""Definition of the bodycam-agent package: what it is called, what it needs, which commands it installs.

Build and tool settings live in pyproject.toml; exact versions live in requirements/; docs/decisions says why each
dependency is here. Bounds: a floor that is tested, and a ceiling at the next version that may break its interface.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

# Enough to verify, decrypt and export on any PC: no camera, audio or network library.
EVIDENCE = [
    "cryptography>=48.0.1,<51",
    "av>=17,<19",
]

# What the two daemons of a camera need on top: lens, microphone, picture arithmetic, and the way to the dock.
CAMERA = [
    "opencv-python>=4.11,<6",
    "numpy>=2.1,<3",
    "pillow>=12,<14",
    "pyaudio>=0.2.14,<0.3",
    "gpiozero>=2,<3",
    # No wheel for Python 3.13: there it is Raspberry Pi OS's python3-lgpio, which plain Debian lacks (decision 0022).
    "lgpio>=0.2.2,<0.3; python_version < '3.13'",
    "requests>=2.32.4,<3",
    "tenacity>=9,<10",
]

STATION = [
    "cheroot>=10.0.1,<12",
]

PI = [
    "picamera2>=0.3.30,<0.4",
]

TEST = [
    "pytest>=9,<10",
    "hypothesis>=6.130,<7",
    "pytest-xdist>=3.6,<4",
    "pyrage>=1.3,<2",
    "ruff>=0.12,<0.18",
    "mypy>=2,<3",
    "import-linter>=2.5,<3",
    "types-requests>=2.32,<3",
    "tuspy>=1.1,<2",
]


def version() -> str:
    """Read the version from agent/__init__.py without importing the package, whose dependencies may be missing yet."""
    text = (HERE / "agent" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('agent/__init__.py has no line __version__ = "..."')
    return found.group(1)


def long_description() -> str:
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="bodycam-agent",
    version=version(),
    description="Firmware agent of a body camera, its desk-sized station, and the tools to check its evidence",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["agent", "agent.*"]),
    package_data={"agent": ["py.typed", "locale/*/LC_MESSAGES/*.po"]},
    install_requires=EVIDENCE,
    extras_require={
        "camera": CAMERA,
        "station": STATION,
        "pi": CAMERA + PI,
        "test": TEST,
    },
    entry_points={
        "console_scripts": [
            "bodycam-agent=agent.cli:agent_main",
            "bodycam-station=agent.cli:station_main",
            "bodycam-evidence=agent.cli:evidence_main",
        ],
    },
    classifiers=[
        "Environment :: No Input/Output (Daemon)",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Video :: Capture",
        "Typing :: Typed",
    ],
)
