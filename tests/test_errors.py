"""The error family: a documented exit status each, and a next step."""

from __future__ import annotations

import pytest

from agent import errors
from agent.errors import AgentError, Exit

DOCUMENTED = {
    "EvidenceError": 1,
    "UsageError": 2,
    "ConfigError": 2,
    "DeviceError": 3,
    "UnheardError": 3,
    "StorageError": 4,
    "UnreadableError": 4,
    "NoRoomError": 4,
    "EncryptionError": 4,
    "StationError": 5,
    "KeyTrustError": 6,
    "DefectError": 70,
}


def family() -> dict[str, type[AgentError]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, AgentError) and value is not AgentError
    }


def test_each_error_has_its_documented_exit_status() -> None:
    assert {name: int(error.exit_status) for name, error in family().items()} == DOCUMENTED
    assert (Exit.OK, Exit.INTERRUPTED) == (0, 130)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_is_wrong_and_what_to_do_next(name: str) -> None:
    error = family()[name]("camera webcam:0 is busy", "close what uses it")
    assert isinstance(error, AgentError)
    assert str(error) == "camera webcam:0 is busy\n  next: close what uses it"
    assert (error.message, error.hint) == ("camera webcam:0 is busy", "close what uses it")
    assert str(family()[name]("only this")) == "only this"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/nope"), "No such file or directory"),
        (OSError(-9996, "Invalid input device"), "Invalid input device"),
        (TimeoutError("timed out"), "timed out"),
        (ValueError("bad"), "bad"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_reason_is_words_without_a_number(error: Exception, words: str) -> None:
    assert errors.reason(error) == words
