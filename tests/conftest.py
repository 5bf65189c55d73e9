"""What all tests share: the long files start first, and CI skips nothing that it could run."""

import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "output_timeout"):  # a notebook's cell; nbval waits only 5 s for its output
            item.output_timeout = 60
        # One worker takes a whole file, or the fixtures and the kernel would start twice; the claims, which
        # take longest, are shared out by notebook.
        group = item.name if item.path.name == "test_claims.py" else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (item.path.name != "test_claims.py", item.path.suffix != ".ipynb"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """In CI a skipped test has failed, unless its reason begins `optional: `, as for want of a GPU."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        if not report.longrepr[2].startswith("Skipped: optional: "):
            report.outcome, report.longrepr = "failed", f"CI must not skip: {report.longrepr}"
    return report
