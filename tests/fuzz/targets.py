"""Every reader that is fuzzed."""

from __future__ import annotations

from tests.fuzz import (
    targets_age,
    targets_export,
    targets_files,
    targets_log,
    targets_notes,
    targets_orders,
    targets_segment,
    targets_tree,
)
from tests.fuzz.engine import Target

TARGETS: tuple[Target, ...] = (
    *targets_age.TARGETS,
    *targets_log.TARGETS,
    *targets_notes.TARGETS,
    *targets_orders.TARGETS,
    *targets_files.TARGETS,
    *targets_segment.TARGETS,
    *targets_tree.TARGETS,
    *targets_export.TARGETS,
)
