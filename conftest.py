"""What all tests and notebooks share: time for a cell's output, long files first, and no skipping in CI."""

import os
import signal

import pytest

# A shell's background job ignores Ctrl-C, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "output_timeout"):  # a notebook's cell; nbval waits only 5 s for its output
            item.output_timeout = 60
            compared = item.options["check"] and item.cell.execution_count is not None
            item.user_properties.append(("compared", bool(compared)))
    longest = ["test_devices.py", "test_claims.py", "test_colab.py"]
    items.sort(key=lambda item: (item.path.name not in longest, item.path.suffix != ".ipynb"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """In CI a skipped test has failed, unless its reason begins `optional: `, as for want of a GPU."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        if not report.longrepr[2].startswith("Skipped: optional: "):
            report.outcome, report.longrepr = "failed", f"CI must not skip: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter):
    """Say how many of the notebooks' cells were not only run, but compared with their stored output."""
    passed = [dict(report.user_properties) for report in terminalreporter.stats.get("passed", [])]
    cells = [properties["compared"] for properties in passed if "compared" in properties]
    if cells:
        line = f"{len(cells)} cells of notebooks ran, {sum(cells)} of them compared with their stored output"
        terminalreporter.write_line(line)
