"""The table of sources and faults says what the tests ask, no cell of it is empty, and no source is missing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract import scripts
from tests.contract.scripts import Fault, Script
from tests.contract.table import FAULTS, LAB_PY, TABLE, Asked, Not, page

ROOT = Path(__file__).resolve().parent.parent.parent
ENDS = {"start", "stop"}
LOSES = {"dropped_frames", "dropped_blocks"}


def cells() -> Iterator[tuple[str, Fault, Asked | Not]]:
    for row in TABLE:
        yield from ((row.source, fault, cell) for fault, cell in zip(FAULTS, row.cells, strict=True))


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """The tests that pytest finds in the files named, as `file::name[case]`."""
    named = {cell.test.partition("::")[0] for _, _, cell in cells() if isinstance(cell, Asked)}
    files = sorted(named - {LAB_PY})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *files,
    ]
    env = {**os.environ, "BODYCAM_VM": "uml", "BODYCAM_WIDE": "all"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stdout.splitlines()) | in_the_lab()


def in_the_lab() -> set[str]:
    """The same of what cannot be loaded here, without libcamera: each test that takes a case, and each that it does."""
    nodes = ast.parse((ROOT / LAB_PY).read_text("utf-8")).body
    causes = [
        ast.literal_eval(key)
        for node in nodes
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOES" and isinstance(node.value, ast.Dict)
        for key in node.value.keys
        if key
    ]
    tests = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    takes = [test.name for test in tests if any("CASES" in ast.unparse(mark) for mark in test.decorator_list)]
    return {f"{LAB_PY}::{test}[{cause}]" for test in takes for cause in causes}


def is_asked(cell: Asked, collected: set[str]) -> bool:
    cases = [name.partition("[")[2].rstrip("]") for name in collected if name.partition("[")[0] == cell.test]
    # libcamera is not here: its cases come where it is, beside those of the twin.
    case = "twin" if cell.case == "picamera2" else cell.case
    words = {*(case.split("-") if case else ()), *([cell.script.name] if cell.script else ())}
    return any(words <= set(found.split("-")) for found in cases)


def test_each_cell_names_a_test_that_asks_this_source_or_says_why_none_does(collected: set[str]) -> None:
    wrong = [
        (source, fault) for source, fault, cell in cells() if isinstance(cell, Asked) and not is_asked(cell, collected)
    ]
    assert wrong == []
    assert all(cell.why.endswith(".") for _, _, cell in cells() if isinstance(cell, Not))


@pytest.mark.parametrize("test", ["tests/contract/test_faults.py::test_none", "tests/contract/test_faults.py"])
def test_a_test_that_is_not_there_is_found_missing(collected: set[str], test: str) -> None:
    assert not is_asked(Asked(test), collected)


def test_a_source_that_a_test_does_not_ask_is_found_missing(collected: set[str]) -> None:
    (cell,) = {c for s, f, c in cells() if (s, f) == ("twin that gives sound", Fault.STALLS) and isinstance(c, Asked)}
    assert is_asked(cell, collected) and not is_asked(Asked(cell.test, "webcam"), collected)


@pytest.mark.parametrize("cause", ["lens held", "lens"])
def test_what_the_lab_does_not_do_to_the_camera_is_found_missing(collected: set[str], cause: str) -> None:
    (cell,) = {c for _, _, c in cells() if isinstance(c, Asked) and c.case == "lens gone"}
    assert is_asked(cell, collected) and not is_asked(replace(cell, case=cause), collected)
    assert not is_asked(replace(cell, test=f"{LAB_PY}::test_none"), collected)


def is_played(cell: Asked, fault: Fault) -> bool:
    """By its script, or asserted of its source by the test."""
    if cell.script:
        return fault in cell.script.asks and "script.letters" in source_of(cell.test)
    return bool(cell.sees) and is_seen(cell)


SEES = {"wait", "wait_event", "record"}
"""What fails where it does not come; the last asserts it of its source."""


def is_seen(cell: Asked) -> bool:
    """Whether the condition of an assertion of the test, or what it waits for, has these words."""
    nodes = list(ast.walk(ast.parse(source_of(cell.test))))
    asked: list[ast.AST] = [node.test for node in nodes if isinstance(node, ast.Assert)]
    asked += [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func).rpartition(".")[2] in SEES]
    return any(cell.sees in ast.unparse(node) for node in asked)


@pytest.mark.parametrize("sees", ["", "import", "no such words", "nothing, then many blocks"])
def test_a_cell_that_no_assertion_backs_is_found_out(sees: str) -> None:
    test = "tests/contract/test_fifo_faults.py::test_a_burst_costs_no_sample"
    assert is_played(Asked(test, sees="burst.sum() <"), Fault.BURSTS)
    assert not is_played(Asked(test, sees=sees), Fault.BURSTS)


def source_of(test: str) -> str:
    file, _, name = test.partition("::")
    found = [
        ast.unparse(node)
        for node in ast.parse((ROOT / file).read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    return found[0]


def test_each_cell_names_the_script_that_plays_its_fault_or_a_test_that_sees_it() -> None:
    asked = [(source, fault, cell) for source, fault, cell in cells() if isinstance(cell, Asked)]
    assert [(source, fault) for source, fault, cell in asked if not is_played(cell, fault)] == []
    every = {script for script in vars(scripts).values() if isinstance(script, Script)}
    assert every == {cell.script for _, _, cell in asked if cell.script}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.RATE])
def test_a_script_without_its_fault_is_found_out(fault: Fault) -> None:
    plays = {cell.script for _, column, cell in cells() if column is fault and isinstance(cell, Asked) and cell.script}
    assert len(plays) >= 2
    for script in plays:
        silent = script.letters.translate({ord(letter): "r" for letter in scripts.LETTERS[fault]})
        assert fault in script.asks and fault not in Script(script.name, silent).asks


def test_what_is_held_back_at_the_end_of_a_script_is_no_burst() -> None:
    assert Fault.BURSTS in Script("one", "rhhr").asks
    assert Fault.BURSTS not in Script("other", "rrhh").asks


def test_where_libcamera_is_its_camera_is_among_those_that_encode() -> None:
    kit = (ROOT / "tests" / "contract" / "encoded_kit.py").read_text("utf-8")
    assert all(f'{name}["picamera2"]' in kit for name in ("SOURCES", "RECORDED", "PACED"))


def test_every_source_is_in_the_table() -> None:
    """Each class of agent/capture that is begun, ended, and counts what it lost."""
    found = {name for path in (ROOT / "agent" / "capture").glob("*.py") for name in sources_in(path)}
    assert found - {name for row in TABLE for name in row.drives} == set()
    assert {name for row in TABLE for name in row.drives} - found == set()


def sources_in(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(node, ast.ClassDef) or any(ast.unparse(base) == "Protocol" for base in node.bases):
            continue
        methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
        said = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)} | methods
        said |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if methods >= ENDS and said & LOSES:
            yield node.name


def test_the_page_shows_the_table() -> None:
    assert (ROOT / "docs" / "capture-faults.md").read_text("utf-8") == page()
