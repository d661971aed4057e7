"""What a server's storage says of itself to an operator.

Pure. A storage makes the report, the four-letter words show it. A further fact is added here, in
the storage that knows it, and in the word that shows it.
"""

from __future__ import annotations

from typing import NamedTuple


class StorageReport(NamedTuple):
    """The state of the storage at one moment; the defaults are those of a server without one."""

    snapshot_bytes: int = 0
    """The length of all files in the directory of the snapshots."""
    log_bytes: int = 0
    """The length of all files in the directory of the logs."""
