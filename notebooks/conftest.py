"""nbval: what the comparison of stored and fresh outputs leaves out."""

import pytest


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Leave out stderr: warnings differ between machines. Tables (text/html) stay compared."""
    if collector.path.suffix == ".ipynb":
        collector.skip_compare += ("stderr",)  # type: ignore[attr-defined]
