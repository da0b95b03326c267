"""Series of cases that are long: tests marked `wide`. `make test` runs a sample of each with a fixed seed,
`make test-wide` the cases which that leaves out, .ci/run both, and pytest by itself all.
"""

from __future__ import annotations

import os
from collections import defaultdict
from random import Random

import pytest

ONE_OF = 10
"""So many cases to one of the sample, which has one of each series at least."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    which = os.environ.get("BODYCAM_WIDE", "all")
    if which == "all":
        return
    if which not in ("sample", "rest"):
        raise pytest.UsageError(f"BODYCAM_WIDE is {which!r}; it may be all, sample or rest")
    sampled, wide = sample_of([item.nodeid for item in items if item.get_closest_marker("wide")])
    left_out = wide - sampled if which == "sample" else {item.nodeid for item in items} - (wide - sampled)
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


def sample_of(cases: list[str]) -> tuple[set[str], set[str]]:
    """(the sample, all) of these, by their names alone, so that it is the same in whatever order they come. Series of
    one file that have the same cases have the same ones in the sample: what is made for a case there is made once.
    """
    series = defaultdict(list)
    for case in cases:
        series[case.partition("[")[0]].append(case)
    sampled = {
        case
        for name, those in series.items()
        for case in Random(name.partition("::")[0]).sample(sorted(those), -(-len(those) // ONE_OF))
    }
    return sampled, set(cases)
