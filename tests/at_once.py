"""Each failure is told as it comes, with its trace, where several workers share the tests.

Such a run takes minutes: whoever reads its log, or stops it, need not wait for its end to learn what failed.
"""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    distributes = config.getoption("dist", default="no") != "no" and not hasattr(config, "workerinput")
    if distributes:
        config.pluginmanager.register(AtOnce(config))


class AtOnce:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if not report.failed or reporter is None:
            return
        # On a line of its own: the dots of tests that passed stand on one.
        reporter.write_line(f"\n{'FAILED' if report.when == 'call' else 'ERROR'} at once: {report.nodeid}")
        reporter.write_line(report.longreprtext)
