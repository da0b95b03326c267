"""tools/deb: what of the tree and of the locks goes into the package, what it asks of Debian, and its commit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.deb_kit import load_deb

HOUSE = Path(__file__).resolve().parent.parent
IN_IT = (
    "agent/__init__.py",
    "config/agent.toml",
    "config/profiles/x.toml",
    "docs/x.md",
    "docs/verify.sh",
    "README.md",
    "systemd/x.service",
    "systemd/udev/x.rules",
    "requirements/run.txt",
    "tools/deb",
    "tools/debian/postinst",
)


@pytest.fixture(scope="module")
def deb() -> ModuleType:
    return load_deb()


@pytest.mark.parametrize(
    ("name", "machine", "trouble"),
    [
        ("x.cpython-313-aarch64-linux-gnu.so", 183, "not in the package"),
        ("x.cpython-313-aarch64-linux-gnu.so", 62, "for another machine than arm64"),
        ("x.cpython-311-aarch64-linux-gnu.so", 183, "for another Python than that of trixie"),
    ],
    ids=["right", "machine", "Python"],
)
def test_each_compiled_file_is_looked_at(
    deb: ModuleType, tmp_path: Path, name: str, machine: int, trouble: str
) -> None:
    """The right one is found to be alone."""
    (tmp_path / name).write_bytes(b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little"))
    with pytest.raises(SystemExit, match=trouble):
        deb.check(tmp_path, "trixie", "arm64")


@pytest.mark.parametrize(("suite", "named"), [("bookworm", True), ("trixie", False)])
def test_what_drives_button_and_light_is_missed_where_the_package_should_bring_it(
    deb: ModuleType, tmp_path: Path, suite: str, named: bool
) -> None:
    with pytest.raises(SystemExit) as raised:
        deb.check(tmp_path, suite, "arm64")
    assert ("lgpio" in str(raised.value)) is named


@pytest.fixture
def committed(deb: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree in git with a file of each kind, as `tools/deb` is to see it."""
    if shutil.which("git") is None:
        pytest.skip("needs git, as tools/deb does")
    tree = tmp_path / "tree"
    for name in (*IN_IT, "docs/results/vm-x.json", "tests/test_x.py", "tools/setup", "config/station/x.conf"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text('__version__ = "0.1.0"\n', "utf-8")
    monkeypatch.setattr(deb, "TREE", tree)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "All of it"]):
        deb.git("-c", "user.name=x", "-c", "user.email=x@localhost", *words)
    return tree


def told_of(deb: ModuleType, results: Path) -> tuple[str, str]:
    """What its version ends in, and what `--record` keeps as the commit."""
    told = json.loads(deb.record("trixie", "arm64", 42, results).read_text("utf-8"))
    assert told["compiled_files_for_that_machine_and_python"] == 42
    assert [told[key] for key in ("suite", "arch", "run")] == ["trixie", "arm64", "no"]
    return deb.version_of(), told["commit"]


def test_what_was_looked_at_is_kept_when_asked(deb: ModuleType, committed: Path, tmp_path: Path) -> None:
    commit = deb.git("rev-parse", "HEAD")
    assert told_of(deb, tmp_path) == (f"0.1.0+1.g{commit[:9]}", commit)


@pytest.mark.parametrize("name", ["docs/results/vm-x.json", "docs/results/new.json", "tests/test_x.py", "tools/setup"])
def test_what_does_not_go_into_the_package_does_not_change_it(
    deb: ModuleType, committed: Path, tmp_path: Path, name: str
) -> None:
    before = told_of(deb, tmp_path)
    (committed / name).write_text('__version__ = "0.1.0"\n# other words\n', "utf-8")
    assert told_of(deb, tmp_path) == before


@pytest.mark.wide
@pytest.mark.parametrize("name", [*IN_IT, "agent/new.py", "docs/new.md"])
def test_what_goes_into_the_package_changes_it(deb: ModuleType, committed: Path, tmp_path: Path, name: str) -> None:
    """A file that nobody has committed yet is taken like any other."""
    version, commit = told_of(deb, tmp_path)
    (committed / name).write_text('__version__ = "0.1.0"\n# other words\n', "utf-8")
    assert told_of(deb, tmp_path) == (f"{version}.changed", f"{commit}-dirty")


def test_what_is_installed_says_which_build_it_is(deb: ModuleType, tmp_path: Path) -> None:
    """By `--version`, and in each log: by the number alone, the next version would look like this one."""
    module = tmp_path / "__init__.py"
    shutil.copyfile(deb.TREE / "agent" / "__init__.py", module)
    deb.name_build(module, "0.1.0+7.g0123456")
    told: dict[str, Any] = {}
    exec(module.read_text("utf-8"), told)
    assert told["__version__"] == "0.1.0+7.g0123456"


def test_every_file_that_is_put_into_the_package_is_one_that_changes_it(
    deb: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    monkeypatch.setattr(deb, "put", lambda source, *_: put.append(str(source.relative_to(HOUSE))))
    deb.install_files(tmp_path)
    assert len(put) > 20
    one_level = [name.removeprefix(":(glob)") for name in deb.GOES_IN]
    for name in put:
        under = (name == one or name.startswith(f"{one}/") or Path(name).match(one) for one in one_level)
        assert any(under), name


def locked(deb: ModuleType, suite: str) -> set[str]:
    return {line.split("==")[0] for line in deb.requirements(suite) if "==" in line}


def names(packages: list[str]) -> set[str]:
    return {word.split()[0] for word in packages}


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_everything_python_is_in_it_and_what_is_compiled_against_debian_is_debians(deb: ModuleType, suite: str) -> None:
    assert {"python3-pyaudio", "python3-prctl"} <= names(deb.depends(suite))
    assert not {"pyaudio", "python-prctl"} & locked(deb, suite)
    assert {"gpiozero", "cryptography", "av", "opencv-python", "picamera2", "simplejpeg"} <= locked(deb, suite)


@pytest.mark.parametrize(("suite", "wheel"), [("bookworm", True), ("trixie", False)])
def test_button_and_light_have_their_library_from_a_wheel_or_from_the_system(
    deb: ModuleType, suite: str, wheel: bool
) -> None:
    assert ("lgpio" in locked(deb, suite)) is wheel
    assert ("python3-lgpio" in names(deb.recommends(suite))) is not wheel


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_what_plain_debian_lacks_is_recommended_and_does_not_keep_the_package_from_it(
    deb: ModuleType, suite: str
) -> None:
    lacking = {"python3-libcamera", "python3-lgpio", "python3-picamera2"}
    assert not lacking & names(deb.depends(suite))
    assert "python3-libcamera" in names(deb.recommends(suite))


def test_the_log_of_the_wall_comes_along_and_no_camera_depends_on_it(deb: ModuleType) -> None:
    """A kernel may have no auditing, and a camera records without."""
    for suite in deb.SUITES:
        assert "auditd" in names(deb.recommends(suite)) and "auditd" not in names(deb.depends(suite))
