"""pyzk: a ZooKeeper-compatible server in Python.

Pure. The version, and nothing else: importing this costs nothing.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
