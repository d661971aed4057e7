"""What the source tells mypyc of a class, which means nothing to Python.

Pure. This module is never compiled: mypyc looks at the first form below, Python at the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_):
        """Return a decorator that leaves a class as it is."""
        return lambda kind: kind
