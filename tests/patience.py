"""How long a campaign in full may take, test by test, before the run is taken for hanging.

pytest gives each test `faulthandler_timeout`; then every thread's stack is shown and the run ends. A campaign in full
has `campaign_timeout` in its place, however it was asked for, unless pytest was told to wait longer, or for ever.
"""

from __future__ import annotations

import faulthandler
import os
import sys

import pytest

from tests import campaigns

ERRORS = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("campaign_timeout", "as faulthandler_timeout, for a campaign in full", default="3600")


def pytest_configure(config: pytest.Config) -> None:
    # While a test runs, what it writes to standard error is kept from whoever looks on.
    config.stash[ERRORS] = os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[ERRORS])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """There is one alarm in a process: this one takes the place of pytest's, and pytest takes it back in the end."""
    asked_s, limit_s = (float(item.config.getini(k) or 0) for k in ("faulthandler_timeout", "campaign_timeout"))
    if campaigns.FULL and item.get_closest_marker("campaign") and 0 < asked_s < limit_s:
        ends = bool(item.config.getini("faulthandler_exit_on_timeout"))
        faulthandler.dump_traceback_later(limit_s, exit=ends, file=item.config.stash[ERRORS])
