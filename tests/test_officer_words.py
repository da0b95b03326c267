"""The officer's words: whatever the code can raise has words in every language, and each catalogue is whole."""

from __future__ import annotations

import ast
import functools
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import catalogue, words
from agent.configcare import PowerConfig
from agent.controls.gestures import Gesture, Mode
from agent.controls.machine import Action, Deed, State
from agent.controls.patterns import Cue, Delivery, Warn
from agent.controls.vigil import FOUND
from agent.deeds import CONTINUES, INSTEAD
from agent.errors import ConfigError
from agent.intake import INTAKE_FAULTS
from agent.model import LANGUAGES
from agent.power.base import BatteryReading, HeatReading
from agent.power.twin import TwinBattery, TwinThermometer
from agent.power.watch import PowerWatch
from agent.selftest.arguments import NAMES
from agent.status import State as Shown
from agent.words import WAITING, WRITING, Words

HOUSE = Path(__file__).resolve().parent.parent
AGENT = HOUSE / "agent"
RAISING = {"raised", "cleared", "show", "act", "attempt", "step", "post", "ask", "wait", "_tell", "_show", "setdefault"}
"""What takes the key of a fault first, in the rooms of the recorder."""
ELSEWHERE = ("evidence", "station", "formats", "dock", "selftest", "bench", "uploader", "sealing", "tpm", "capture")


def recorder_files() -> list[Path]:
    every = [*AGENT.glob("*.py"), *(AGENT / "controls").glob("*.py"), *(AGENT / "spool").glob("*.py")]
    return [path for path in every if not path.name.startswith(ELSEWHERE)]


def test_the_words_of_a_key_that_the_loop_takes_are_found_by_the_collector() -> None:
    assert set(
        keys_in('loop.act("dock", f)\nfaults.raised(PANEL, w)\norders = {"x": ("mark", lambda: 1)}', {"PANEL": "p"})
    ) == {
        "dock",
        "p",
        "mark",
    }


def keys_in(text: str, constants: dict[str, str]) -> Iterator[str]:
    """The keys of faults in a module: first arguments of what raises them, and what stands beside an action."""
    for first in _firsts(text):
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value
        elif isinstance(first, ast.Name) and first.id in constants:
            yield constants[first.id]


def _firsts(text: str) -> Iterator[ast.expr]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and _raises(node):
            yield node.args[0]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            beside = node.elts[1]
            if isinstance(beside, ast.Lambda) or (isinstance(beside, ast.Name) and beside.id == "tick"):
                yield node.elts[0]


def _raises(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id == "tell" and len(call.args) == 2
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in RAISING:
        return False
    of = ast.unparse(call.func.value)
    asked = of == "self" if call.func.attr in ("_tell", "_show") else of.endswith(("loop", "faults"))
    return asked and len(call.args) >= (1 if call.func.attr == "cleared" else 2)


def unresolved() -> set[tuple[str, str]]:
    """Where the key is a variable: its words have to be found in another way, or where they are passed in."""
    found = set()
    for path in recorder_files():
        text = path.read_text("utf-8")
        constants = constants_of(text)
        for first in _firsts(text):
            if not isinstance(first, ast.Constant) and not (isinstance(first, ast.Name) and first.id in constants):
                found.add((path.name, ast.unparse(first)))
    return found


def constants_of(text: str) -> dict[str, str]:
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def power_keys() -> set[str]:
    """What the watch over battery and heat warns of, as it names it."""
    watch = PowerWatch(
        PowerConfig(), TwinBattery(BatteryReading("b", 1, 3000, False)), TwinThermometer(HeatReading("h", 99_000))
    )
    watch.look(0)
    return {key for key, said in watch.warnings().items() if said}


@functools.cache
def faults() -> frozenset[str]:
    found = set(INTAKE_FAULTS) | set(FOUND) | power_keys()
    for path in recorder_files():
        text = path.read_text("utf-8")
        found |= set(keys_in(text, constants_of(text)))
    return frozenset(found)


@functools.cache
def needed() -> frozenset[str]:
    """Each thing that the code can raise or do, by its key."""
    lists = {
        "state": {state.value for state in State} | {state.value for state in Shown},
        "waits": {*WAITING, WRITING},
        "fault": faults() | {"other"},
        "warning": {warn.value for warn in Warn},
        "cue": {cue.value for cue in Cue},
        "delivery": {delivery.value for delivery in Delivery if delivery is not Delivery.WAITING},
        "deed": {deed.value for deed in Deed} | {cue.value for cue in INSTEAD} | {CONTINUES, "nothing"},
        "action": {action.value for action in Action},
        "gesture": {gesture.value for gesture in Gesture},
        "mode": {mode.value for mode in Mode},
        "check": set(NAMES),
        "profile": {path.stem for path in (HOUSE / "config" / "profiles").glob("*.toml")},
    }
    return frozenset(f"{kind}.{name}" for kind, names in lists.items() for name in names)


def entries(language: str) -> dict[str, list[str]]:
    """Key to forms, as gettext has them."""
    found: dict[str, list[str]] = {}
    for key, text in catalogue.load(language)._catalog.items():  # type: ignore[attr-defined]
        if key:
            found.setdefault(key[0] if isinstance(key, tuple) else key, []).append(text)
    return found


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_no_key_comes_from_where_the_collector_does_not_look() -> None:
    assert unresolved() == {
        ("care.py", "what"),  # PowerWatch.warnings(), in power_keys
        ("commands.py", "what"),  # as it was told
        ("journal.py", "what"),  # as it was told
        ("loop.py", "what"),  # as it was told
        ("officer.py", "what"),  # FOUND, and as it was told
        ("recorder.py", "event.clears"),  # INTAKE_FAULTS
        ("recorder.py", "event.fault"),  # INTAKE_FAULTS
        ("reopening.py", "what"),  # INTAKE_FAULTS
        ("rest.py", "what"),  # INTAKE_FAULTS
        ("resume.py", "what"),  # as it was told
        ("services.py", "what"),  # as it was told
        ("upkeep.py", "what"),  # as it was told
    }


# -- whole -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_whatever_the_code_can_raise_has_words(language: str) -> None:
    assert {
        "camera",
        "lens",
        "storage",
        "durable",
        "battery",
        "heat",
        "panel",
        "clock",
        "epoch",
        "recorder",
    } <= faults()
    assert sorted(needed() - set(entries(language))) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_words_are_left_of_what_the_code_no_longer_raises(language: str) -> None:
    kinds = {key.split(".")[0] for key in needed()}
    stale = {key for key in entries(language) if key.split(".")[0] in kinds} - needed()
    assert sorted(stale) == []


def test_all_catalogues_have_the_same_keys_and_placeholders() -> None:
    english = entries("en")
    for language in LANGUAGES:
        other = entries(language)
        assert sorted(other) == sorted(english)
        for key, forms in other.items():
            theirs = set().union(*map(placeholders, forms))
            assert theirs == set().union(*map(placeholders, english[key])), (language, key)


@pytest.mark.parametrize("key", ["room.minutes", "selftest.passed"])
@pytest.mark.parametrize(("language", "forms"), [("en", 2), ("fr", 2), ("ar", 6)])
def test_each_plural_form_says_its_number(language: str, forms: int, key: str) -> None:
    """A form for one number alone may say it as a word; one for several has to name it."""
    table = catalogue.load(language)
    texts = entries(language)[key]
    assert len(texts) == forms
    numbers: dict[str, set[int]] = {}
    for number in range(1000):
        numbers.setdefault(table.ngettext(key, key, number), set()).add(number)
    assert sum(map(len, numbers.values())) == 1000
    for text, of in numbers.items():
        assert placeholders(text) == {"n"} or len(of) == 1, (text, sorted(of)[:5])


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (10, 3),
        (11, 4),
        (26, 4),
        (99, 4),
        (100, 5),
        (102, 5),
        (103, 3),
        (111, 4),
        (200, 5),
    ],
)
def test_arabic_has_its_six_forms(number: int, form: int) -> None:
    """As the Unicode CLDR gives them: zero, one, two, few, many, other."""
    table = catalogue.load("ar")
    assert table.plural(number) == form  # type: ignore[attr-defined]


# -- the reader ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('msgid "a"\n', "whole translation"),
        ('msgid "a"\nmsgstr ""\n', "whole translation"),
        ('msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "c"\n', "twice"),
        ('msgid "a"\nmsgid_plural "a"\nmsgstr[0] "b"\nmsgstr[2] "c"\n', "whole translation"),
        ("msgid a\n", "not of a catalogue"),
        ('"a"\n', "not of a catalogue"),
        ('msgid "a"\nmsgid "b"\n', "not of a catalogue"),
        ('msgctxt "a"\n', "not of a catalogue"),
    ],
)
def test_a_catalogue_with_a_mistake_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        catalogue.binary(text)


def test_words_that_are_not_there_are_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalogue, "LOCALE", tmp_path)
    with pytest.raises(ConfigError, match="the words in fr"):
        Words("fr")


def test_the_package_carries_the_catalogues() -> None:
    """setup.py names them; tools/deb copies agent/ whole."""
    (pattern,) = re.findall(r'"(locale/[^"]+\.po)"', (HOUSE / "setup.py").read_text("utf-8"))
    assert {path.parts[-3] for path in AGENT.glob(pattern)} == set(LANGUAGES)
    assert 'shutil.copytree(TREE / "agent", site / "agent"' in (HOUSE / "tools" / "deb").read_text("utf-8")


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="gettext's own msgfmt is not installed")
@pytest.mark.parametrize("language", LANGUAGES)
def test_gettext_itself_takes_the_catalogue(language: str, tmp_path: Path) -> None:
    import gettext

    path = catalogue.LOCALE / language / "LC_MESSAGES" / "bodycam.po"
    subprocess.run(["msgfmt", "-o", tmp_path / "x.mo", path], check=True)
    with (tmp_path / "x.mo").open("rb") as file:
        assert gettext.GNUTranslations(file)._catalog == catalogue.load(language)._catalog  # type: ignore[attr-defined]


# -- what is said ----------------------------------------------------------------------------------------------------

STATUS = {
    "state": "recording",
    "faults": {"lens": "nothing can be seen", "battery": "the battery is low: 15 %", "new": "x"},
    "officer": {
        "state": "muted",
        "did": "mute",
        "troubles": {"durable": "y"},
        "warnings": ["storage 5 %", "muted", "battery low"],
    },
    "room_minutes": 2,
    "power": {"battery_percent": 15},
}


def test_the_status_in_words_says_each_thing_once() -> None:
    said = Words("en").of_status(STATUS)
    assert said == [
        "Recording without sound",
        "The sound goes off.",
        "Nothing can be seen: uncover or clean the lens.",
        "Fault new: report it to the technician.",
        "What is recorded is not being saved: take another camera, and report it.",
        "Less than 5 % of the storage is left: dock the camera now.",
        "The sound is off: turn it on again as soon as the reason is over.",
        "Battery low: charge the camera soon.",
        "Room for 2 minutes of recording is left.",
        "Battery: 15 %",
    ]


def test_a_battery_that_charges_is_not_asked_to_be_charged() -> None:
    told = {
        "state": "recording",
        "faults": {"battery": "the battery is critical: 3 %, charging"},
        "officer": {"warnings": []},
        "power": {"battery_percent": 3, "charging": True},
    }
    assert Words("en").of_status(told) == [
        "Recording",
        "The battery is low, and it is charging: leave the camera on power.",
        "Battery: 3 %",
    ]


def test_who_is_told_to_take_another_camera_is_not_told_to_record_as_usual() -> None:
    """A mistake of the panel's is one of the settings, too. What is told to nobody is still shown to the technician."""
    officer: dict[str, Any] = {"state": "fault", "warnings": ["clock not set", "battery low"]}
    told = {"state": "fault", "faults": {"settings": "x", "panel": "x", "overload": "y"}, "officer": officer}
    assert Words("en").of_status(told) == [
        "Fault: a press would not record",
        "Button and lights do not answer: take another camera, and report it.",
        "Battery low: charge the camera soon.",
    ]
    late = {**told, "officer": {**officer, "troubles": {"durable": "z"}}, "faults": {"settings": "x"}}
    assert not any("as usual" in line for line in Words("en").of_status(late))
    alone = {**told, "faults": {"settings": "x", "overload": "y"}}
    assert Words("en").of_status(alone)[1:4] == [
        "Some settings of this camera are not valid: record as usual, and report it to the technician.",
        "The camera is too slow for its picture: keep recording, and report it after the shift.",
        "The clock is not set: record as usual, and dock the camera when you can.",
    ]


def test_which_lines_say_to_take_another_camera_and_which_to_record_as_usual() -> None:
    said = {key: forms[0] for key, forms in entries("en").items() if key.startswith(("fault.", "warning."))}
    usual = {key for key, text in said.items() if re.search("as usual|keep recording", text)}
    other = {key for key, text in said.items() if re.search(r"another (camera|one)\b", text)}
    unsure = {key for key in other if re.search("if (that|the alarm|it) |when you can", said[key])}
    assert usual == words.AS_USUAL and {key.removeprefix("fault.") for key in other - unsure} == words.ANOTHER


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_as_many_lines_and_no_key(language: str) -> None:
    said = Words(language).of_status(STATUS)
    assert len(said) == 10 and not any(re.match(r"[a-z]+\.[a-z]+", line) for line in said)


def test_a_stopped_camera_says_so() -> None:
    assert Words("en").of_status({"state": "stopped", "faults": {}})[0] == "Stopped"


def test_the_self_test_in_words() -> None:
    assert Words("en").of_selftest(7, []) == "Self-test passed: 7 checks."
    assert Words("ar").of_selftest(2, []) == "نجح الفحص الذاتي: فحصان."
    assert "objectif" not in Words("fr").of_selftest(5, ["storage", "key"])
    assert "mémoire, clé" in Words("fr").of_selftest(5, ["storage", "key"])


def test_what_a_gesture_did_and_that_it_did_nothing() -> None:
    assert Words("fr").of_deeds(["mark"]) == ["Ce moment est marqué."]
    assert Words("fr").of_deeds([]) == ["Rien : ce geste n'a pas de sens maintenant."]


def test_faults_that_are_warnings_too_are_known_by_both_names() -> None:
    for fault, warning in words.AS_WARNINGS.items():
        assert fault in faults() and any(warn.value.startswith(warning) for warn in Warn)


def test_a_camera_without_its_catalogue_records_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(catalogue, "LOCALE", tmp_path)
    said = Words.of_a_camera("ar").of_status(STATUS)
    assert said[0] == "state.muted" and "room.minutes" in said


def test_the_words_are_not_loaded_before_the_first_press_is_heard() -> None:
    """The button's line is asked for first, with the configuration alone: gettext comes after it."""
    code = "import sys, agent.config, agent.controls.panel; print({'gettext', 'agent.words'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("set()\n", "")
