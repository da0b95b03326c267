"""Every reader that is fuzzed."""

from __future__ import annotations

from tests.fuzz import targets_age, targets_log, targets_notes
from tests.fuzz.engine import Target

TARGETS: tuple[Target, ...] = (*targets_age.TARGETS, *targets_log.TARGETS, *targets_notes.TARGETS)
