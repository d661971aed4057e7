"""Gives a server names of hosts of its own; Python imports this by itself if it is on its path.

Shell.

A file `hosts` beside the zoo.cfg on the command line has lines `address name`.  So processes on one
machine that share a configuration reach each other at different addresses: through a gate for each
two of them, which can be shut.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any


def use(file: Path) -> None:
    """Lets names have the addresses of a file in this process."""
    pairs = (line.split() for line in file.read_text().splitlines())
    hosts = {name: address for address, name in pairs}
    system = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **options: Any) -> Any:
        return system(hosts.get(host, host), *rest, **options)

    socket.getaddrinfo = look_up


for argument in sys.orig_argv:
    if argument.endswith("zoo.cfg"):
        use(Path(argument).with_name("hosts"))
