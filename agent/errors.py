"""One error family. Each error knows its exit status and says what is wrong, with which thing, and what to do
next.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of every command, as documented in README."""

    OK = 0
    EVIDENCE = 1
    USAGE = 2
    DEVICE = 3
    STORAGE = 4
    NETWORK = 5
    KEYS = 6
    SOFTWARE = 70
    """EX_SOFTWARE of sysexits(3): a defect of ours, which must not be taken for a verdict about evidence."""
    INTERRUPTED = 130
    PIPE = 141
    """What a shell gives a command that SIGPIPE ended: nobody reads its output any more."""


EXIT_STATUSES = """exit status: 0 done; 1 the evidence does not verify; 2 usage or configuration;
3 a device is missing or fails; 4 storage; 5 network or station; 6 keys or trust;
70 a defect of this program; 130 interrupted; 141 nobody reads the output"""
"""For --help; README has them too."""


def reason(err: BaseException) -> str:
    """Why, in words: what the system says without its number and path, which the sentence around it names itself. One
    of ours without its next step.
    """
    if isinstance(err, AgentError):
        return err.message
    return str(getattr(err, "strerror", None) or err) or type(err).__name__


def printable(text: str) -> str:
    """Evidence may be hostile: nothing in it may steer the terminal or break the line."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


class AgentError(Exception):
    """Base of all errors this project raises on purpose.

    `message` names the thing that is wrong; `hint` is the next step for the person who reads it.
    """

    exit_status: Exit = Exit.USAGE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message


class EvidenceError(AgentError):
    """Evidence that is damaged, altered or not what it claims to be."""

    exit_status = Exit.EVIDENCE


class UsageError(AgentError):
    """A wrong argument or a wrong configuration."""

    exit_status = Exit.USAGE


class ConfigError(UsageError):
    """All mistakes of one configuration file, together."""


class DeviceError(AgentError):
    """A camera, microphone or other device that is missing, busy or failing."""

    exit_status = Exit.DEVICE


class UnheardError(DeviceError):
    """Nobody did what was asked for in time, and nobody will."""


class StorageError(AgentError):
    """A disk that is full, read-only, stalled or broken."""

    exit_status = Exit.STORAGE


class UnreadableError(StorageError):
    """A file of evidence that the disk does not give, in part or at all, or that may not be opened."""


class EncryptionError(StorageError):
    """What was to be stored could not be encrypted, so it was not stored."""


class NoRoomError(StorageError):
    """A card without room for what was asked for. Only an answer: the fault `storage` says it of the camera."""


class StationError(AgentError):
    """The network or the station refuses, or does not answer."""

    exit_status = Exit.NETWORK


class KeyTrustError(AgentError):
    """A key, certificate or recipient that is missing, malformed or not trusted."""

    exit_status = Exit.KEYS


class DefectError(AgentError):
    """Something that this program did not foresee, in work that is tried again or left; the journal says where."""

    exit_status = Exit.SOFTWARE

    @classmethod
    def of(cls, err: Exception) -> DefectError:
        return cls(f"a defect of this program: {type(err).__name__}: {reason(err)}", "tell who maintains it")


def of_status(status: object, message: str, hint: str) -> AgentError:
    """The error of an exit status, as another process told it; a UsageError for one that none of these has."""
    for kind in (EvidenceError, DeviceError, StorageError, StationError, KeyTrustError):
        if status == kind.exit_status:
            return kind(message, hint)
    return UsageError(message, hint)
