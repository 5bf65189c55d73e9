"""What all tests share: the long files start first, and CI skips nothing."""

import os

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "output_timeout"):  # a notebook's cell; nbval waits only 5 s for its output
            item.output_timeout = 60
    items.sort(key=lambda item: (item.path.name != "test_claims.py", item.path.suffix != ".ipynb"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"CI must skip nothing, and this was skipped: {report.longrepr}"
    return report
