"""pyzk: a ZooKeeper-compatible server in Python.

Pure. The version; importing this costs nothing. `pyzk.testing` is imported when it is asked for.
"""

from typing import TYPE_CHECKING

__all__ = ["__version__"]

__version__ = "0.1.0"

if not TYPE_CHECKING:  # Type checkers would take every other name, too.

    def __getattr__(name: str) -> object:
        """Import `pyzk.testing` for those who imported `pyzk` alone, as help(pyzk.testing) does."""
        if name == "testing":
            import importlib

            return importlib.import_module("pyzk.testing")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
