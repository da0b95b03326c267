"""The tree matches the house that docs/architecture.md draws: rooms, floors, bounds, and what may be loaded where."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

HOUSE = Path(__file__).resolve().parent.parent
AGENT = HOUSE / "agent"

# The aim is about 200 lines a file. One that passes this has grown past its one thing.
LONGEST_FILE_LINES = 400
# Slow to load and large in memory: a command that does not need one must not load it.
HEAVY = ("av", "cv2", "pyaudio", "numpy", "requests", "cheroot")
# Each device or socket is touched by one file.
ONE_HOME = ("pyaudio", "picamera2", "requests", "cheroot")
# A PC that checks evidence has none of these.
NOT_ON_A_PC = ("cv2", "pyaudio", "picamera2", "libcamera", "numpy", "requests", "tenacity", "cheroot")
# Folders of tests that belong to no one room.
COMMON_TESTS = {"contract", "fault", "fuzz", "independent", "interop", "lab", "vectors", "vm"}


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def parsed(path: Path) -> ast.Module:
    """To be dropped when it was looked at: the trees of all files are millions of objects, which each full collection
    of garbage in every later test would go through.
    """
    return ast.parse(path.read_text(encoding="utf-8"))


def named(path: Path) -> str:
    return str(path.relative_to(HOUSE))


@cache
def imported_roots(path: Path) -> frozenset[str]:
    """The top-level names of all modules that a file imports, wherever in the file it does so."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return frozenset(found)


def in_a_new_python(code: str) -> str:
    """Run `code` in an interpreter that has loaded nothing of ours; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HOUSE,
        env={**os.environ, "PYTHONPATH": str(HOUSE)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- rooms ----


def test_every_module_of_the_top_floor_is_in_the_architecture_page() -> None:
    page = (HOUSE / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.name + "/" for path in AGENT.iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.name for path in AGENT.glob("*.py") if not path.name.startswith("__")}
    assert sorted(room for room in rooms if f"`{room}`" not in page and f"`agent/{room}`" not in page) == []


def test_every_test_that_the_threat_model_names_is_there() -> None:
    page = (HOUSE / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[^`:]+)::([^`]+)`", page)
    assert len(named) > 20
    for path, function in named:
        assert re.search(rf"^def {function}\(", (HOUSE / path).read_text(encoding="utf-8"), re.MULTILINE), (
            path,
            function,
        )


def test_every_figure_of_the_readme_stands_in_the_results() -> None:
    page = (HOUSE / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (-?[0-9.,]+) \| `([\w+-]+\.json): (\w+)` \|", page)
    assert len(rows) > 10
    assert len(rows) == page.count(".json: ")
    for figure, file, key in rows:
        result = json.loads((HOUSE / "docs" / "results" / file).read_text(encoding="utf-8"))
        result = result["comparisons"][0] if "comparisons" in result else result
        assert str(result[key]) == figure.replace(",", ""), (file, key)
        assert result.get("finished", "1 of 1").split()[0] == result.get("finished", "1 of 1").split()[2]


def test_no_two_decisions_have_one_number() -> None:
    numbers = Counter(path.name[:4] for path in (HOUSE / "docs" / "decisions").glob("[0-9]*.md"))
    assert [number for number, count in numbers.items() if count > 1] == []
    for path in (HOUSE / "docs" / "decisions").glob("[0-9]*.md"):
        assert path.read_text(encoding="utf-8").startswith(f"# {path.name[:4]}: "), path


def test_a_ratio_that_leaves_out_the_start_says_so_and_stands_beside_the_whole() -> None:
    page = (HOUSE / "README.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if "start_cpu_s" in line or "upload-vs-curl.json: cpu_ratio" in line]
    assert [line.rsplit(": ", 1)[1].rstrip("` |") for line in rows] == [
        "cpu_ratio", "cpu_ratio_without_start", "start_cpu_s"
    ]  # fmt: skip
    assert "with the start of both" in rows[0] and "finds nothing to send" in rows[1]


def test_the_architecture_page_draws_no_room_that_is_not_there() -> None:
    page = (HOUSE / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"`(?:agent/)?([a-z_]+/(?:[a-z_]+\.py)?|[a-z_]+\.py)`", page))
    places = (AGENT, HOUSE, HOUSE / "agent" / "spool")
    states_of_a_segment = {"open/", "sealed/", "delivered/", "log/", "receipts/", "inbox/", "outbox/"}
    assert sorted(d for d in drawn - states_of_a_segment if not any((place / d).exists() for place in places)) == []


def test_tests_stand_in_the_same_tree_as_the_rooms() -> None:
    folders = {path.name for path in (HOUSE / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    rooms = {path.name for path in AGENT.iterdir() if path.is_dir()}
    assert folders - rooms <= COMMON_TESTS


@pytest.mark.parametrize("path", python_files(AGENT), ids=named)
def test_each_file_says_what_it_is_for_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(parsed(path)), "no docstring"
    assert len(text.splitlines()) <= LONGEST_FILE_LINES


# ---- what may be loaded where ----


def test_a_command_loads_no_heavy_library_before_it_knows_what_is_asked() -> None:
    loaded = in_a_new_python("import sys, agent.cli; print(*sys.modules)").split()
    assert set(HEAVY) & set(loaded) == set()


def test_evidence_tools_load_on_a_pc_without_camera_audio_or_network_libraries() -> None:
    modules = [
        ".".join(path.relative_to(HOUSE).with_suffix("").parts)
        for room in ("formats", "evidence")
        for path in python_files(AGENT / room)
    ]
    blocked = f"import sys\nfor name in {NOT_ON_A_PC!r}: sys.modules[name] = None\n"
    loads = "import importlib\n" + "".join(f"importlib.import_module({name!r})\n" for name in modules)
    in_a_new_python(blocked + loads)


@pytest.mark.parametrize("library", ONE_HOME)
def test_each_device_library_has_one_home(library: str) -> None:
    homes = [named(path) for path in python_files(AGENT) if library in imported_roots(path)]
    assert len(homes) <= 1, homes


# ---- the package and its dependencies ----


def requirements() -> list[Requirement]:
    return [Requirement(line) for line in metadata.requires("bodycam-agent") or []]


def decided() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted((HOUSE / "docs" / "decisions").glob("0*.md"))]


def locked(name: str) -> list[tuple[str, Version]]:
    text = (HOUSE / "requirements" / name).read_text(encoding="utf-8")
    return [(found[1], Version(found[2])) for found in re.finditer(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE)]


def test_the_three_commands_exist() -> None:
    commands = {entry.name: entry for entry in metadata.distribution("bodycam-agent").entry_points}
    assert sorted(commands) == ["bodycam-agent", "bodycam-evidence", "bodycam-station"]
    for entry in commands.values():
        assert callable(entry.load())


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_each_dependency_is_bounded_locked_and_decided(requirement: Requirement) -> None:
    operators = {bound.operator for bound in requirement.specifier}
    assert {">=", "<"} <= operators, "needs a floor and a ceiling"
    assert any(requirement.name.lower() in text.lower() for text in decided()), "no decision record names it"
    if requirement.marker is None or "pi" not in str(requirement.marker):
        versions = [version for name, version in locked("test.txt") if name == requirement.name.lower()]
        assert versions and all(version in requirement.specifier for version in versions)


def test_run_and_test_are_locked_to_the_same_versions() -> None:
    assert set(locked("run.txt")) <= set(locked("test.txt"))


def test_the_base_package_is_enough_for_evidence_alone() -> None:
    base = {requirement.name for requirement in requirements() if requirement.marker is None}
    assert base == {"cryptography", "av"}


def test_the_version_has_an_entry_in_the_changelog() -> None:
    import agent

    assert f"## {agent.__version__}" in (HOUSE / "CHANGELOG.md").read_text(encoding="utf-8")


# ---- manners of the tests ----


def test_no_test_is_expected_to_fail_or_left_out_without_a_reason() -> None:
    found = []
    for path in python_files(HOUSE / "tests"):
        if not re.search("skip|xfail", path.read_text(encoding="utf-8")):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute) and node.attr == "xfail":
                found.append(f"{named(path)}:{node.lineno} xfail")
            if isinstance(node, ast.Call) and is_bare_skip(node):
                found.append(f"{named(path)}:{node.lineno} skip without a reason")
    assert found == []


def is_bare_skip(call: ast.Call) -> bool:
    return not call.args and not call.keywords and ast.unparse(call.func).endswith("skip")


@pytest.mark.parametrize(
    ("call", "bare"),
    [("pytest.skip()", True), ("skip()", True), ('pytest.skip("no lens")', False), ("skip(**why)", False)],
)
def test_a_skip_without_a_reason_is_found(call: str, bare: bool) -> None:
    (node,) = (node for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Call))
    assert is_bare_skip(node) is bare


def test_nothing_but_tool_settings_stands_in_pyproject() -> None:
    with (HOUSE / "pyproject.toml").open("rb") as file:
        assert set(tomllib.load(file)) == {"build-system", "tool"}
