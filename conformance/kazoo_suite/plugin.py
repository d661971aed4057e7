"""A pytest plugin: what is listed in cannot_pass is expected to fail, for its reason.

Shell.  Loaded in the suite's own environment, where there is nothing else of this project.
"""

from __future__ import annotations

import pytest

from conformance.kazoo_suite import cannot_pass


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the listed tests."""
    for item in items:
        why = cannot_pass.reason(item.nodeid)
        if why is not None:
            item.add_marker(pytest.mark.xfail(reason=why, strict=True))
