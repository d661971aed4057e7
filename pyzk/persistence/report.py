"""What a server's storage says of itself to an operator.

Pure. A storage makes the report, the four-letter words and the admin server show it. A further fact
is added here, in the storage that knows it, and where it is shown.
"""

from __future__ import annotations


# No NamedTuple: making the class would cost each start a sixth of a millisecond.
class StorageReport:
    """The state of the storage at one moment; the defaults are those of a server without one."""

    def __init__(
        self,
        snapshot_bytes: int = 0,
        log_bytes: int = 0,
        last_snapshot_zxid: int = -1,
        last_snapshot_s: int = -1,
    ) -> None:
        self.snapshot_bytes = snapshot_bytes
        """The length of all files in the directory of the snapshots."""
        self.log_bytes = log_bytes
        """The length of all files in the directory of the logs."""
        self.last_snapshot_zxid = last_snapshot_zxid
        """The zxid of the newest snapshot, -1 if there is none."""
        self.last_snapshot_s = last_snapshot_s
        """When the newest snapshot was written, in seconds since 1970; -1 if there is none."""
