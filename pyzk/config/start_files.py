"""The files that a member has beside zoo.cfg, as one start reads them.

Pure. ZooKeeper: QuorumPeerConfig.parse, and its reading of myid and of the dynamic file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from pyzk.config.dynamic_files import next_name
from pyzk.config.settings import Settings

SASL_KEY: Final = "quorum.auth.enableSasl"


class StartFiles(NamedTuple):
    """The files that a member has beside zoo.cfg, as they were read."""

    myid: bytes | None = None
    """The content of the file; None if there is none."""
    myid_path: str = "dataDir/myid"
    dynamic: bytes | None = None
    """The content of `Settings.dynamic_file`; None if there is none."""
    next: bytes | None = None
    """The content of the file of the configuration that was proposed last; None if there is
    none."""
    next_path: str = "zoo.cfg.dynamic.next"
    config_path: str | None = None
    """The path of zoo.cfg; None if the settings did not come from a file."""
    login: bytes | None = None
    """The content of the login file, if members use one; None if there is none."""


def start_files(
    settings: Settings, data_dir: str, path: str | None, read: Callable[[str], bytes | None]
) -> StartFiles:
    """Read the files that a member has beside the zoo.cfg at ``path``."""
    myid_path = f"{data_dir}/myid"
    dynamic = settings.dynamic_file
    next_path = next_name(path or "zoo.cfg")
    login = ""
    if SASL_KEY in settings.known:
        from pyzk.config import sasl  # most need it not, and start sooner

        login = sasl.login_path(settings)
    return StartFiles(
        read(myid_path),
        myid_path,
        read(dynamic) if dynamic else None,
        read(next_path) if dynamic and path else None,
        next_path,
        path,
        read(login) if login else None,
    )
