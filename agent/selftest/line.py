"""What each check of the self-test says: one line, with its figures. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from agent.errors import AgentError, Exit


class Verdict(Enum):
    OK = "ok"
    FAIL = "FAIL"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Line:
    """`measured` and `limit` are for people, `figures` for machines. `status` is the exit status if this fails first,
    `hint` the next step then.
    """

    name: str
    verdict: Verdict
    measured: str
    limit: str = ""
    hint: str = ""
    status: Exit = Exit.DEVICE
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "measured": self.measured,
            "limit": self.limit,
            "hint": self.hint,
            "figures": dict(self.figures),
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is beyond its limit, and what to do."""

    what: str
    hint: str = ""


def judged(
    name: str,
    measured: str,
    limit: str,
    faults: list[Fault],
    status: Exit = Exit.DEVICE,
    figures: Mapping[str, Any] | None = None,
) -> Line:
    """A line that fails where there are faults, and says which."""
    if not faults:
        return Line(name, Verdict.OK, measured, limit, "", status, figures or {})
    told = "; ".join([fault.what for fault in faults] + ([measured] if measured else []))
    hint = next((fault.hint for fault in faults if fault.hint), "")
    return Line(name, Verdict.FAIL, told, limit, hint, status, figures or {})


def failed(name: str, error: AgentError, limit: str = "") -> Line:
    """A line for what could not even be measured."""
    return Line(name, Verdict.FAIL, error.message, limit, error.hint, error.exit_status)


def skipped(name: str, why: str) -> Line:
    return Line(name, Verdict.SKIPPED, why)
