"""Why a process of pyzk has ended, as a number.

Pure. ZooKeeper: ExitCode, whose numbers and names the codes up to 14 are.
"""

from __future__ import annotations

from typing import Final


class HealthCode:
    """Exit codes of `pyzk health`; 2 is that of wrong arguments."""

    HEALTHY: Final = 0
    NOT_READY: Final = 1
    """The server answers, and says that it is not ready."""
    NO_ANSWER: Final = 3
    """No server answers, or what answers is none."""


class ExitCode:
    """Exit codes of the process; docs/operations.md says what to do about each."""

    EXECUTION_FINISHED: Final = 0
    UNEXPECTED_ERROR: Final = 1
    """A bug, a client port that is in use, or an error of the disk while serving."""
    INVALID_INVOCATION: Final = 2
    """The arguments or the configuration are wrong."""
    UNABLE_TO_ACCESS_DATADIR: Final = 3
    UNABLE_TO_BIND_QUORUM_PORT: Final = 14
    """The election port of a member is in use."""
    DATADIR_LOCKED: Final = 20
    """Another server has the data directory."""
    DATA_CORRUPT: Final = 21
    """What is stored contradicts itself."""
