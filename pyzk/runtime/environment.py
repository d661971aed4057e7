"""What the operating system says of this process, for ``envi`` and ``mntr``, and its open files.

Shell. The names are the original's; where Java has no counterpart here the value says so.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Final

from pyzk import __version__
from pyzk.data import tree

RESERVED_DESCRIPTORS: Final = 256
"""The descriptors that are kept from clients, for logs, snapshots, and clients that are being
refused; or a quarter of all, if that is less."""
_MANY_DESCRIPTORS: Final = 10240


class HostName:
    """The full name of this machine, which a name server knows: it may answer late, or never."""

    def __init__(self) -> None:
        self._full: str | None = None
        self._is_asked = False

    def look_up(self) -> None:
        """Begin to ask, on a thread of its own, unless that has begun before."""
        if not self._is_asked:
            self._is_asked = True
            threading.Thread(target=self._ask, name="host name", daemon=True).start()

    def _ask(self) -> None:
        self._full = socket.getfqdn()

    def __str__(self) -> str:
        """Return the full name; as long as that is being looked up, the one that the machine has
        for itself."""
        if self._full is None and not self._is_asked:
            self._is_asked = True
            self._ask()
        return self._full or socket.gethostname()


HOST_NAME: Final = HostName()


def describe_environment() -> Mapping[str, str]:
    """Return the values of ``envi`` by name."""
    # Only where it is asked for: start-up is measured.
    import platform
    import tempfile

    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page >> 20
    free = os.sysconf("SC_AVPHYS_PAGES") * page >> 20
    return {
        "host.name": str(HOST_NAME),
        "java.version": f"<none: {platform.python_implementation()} {platform.python_version()}>",
        "java.vendor": "<none>",
        "java.home": sys.prefix,
        "java.class.path": ":".join(sys.path),
        "java.library.path": "<none>",
        "java.io.tmpdir": tempfile.gettempdir(),
        "java.compiler": "<none>",
        "os.name": platform.system(),
        "os.arch": platform.machine(),
        "os.version": platform.release(),
        "user.name": user_name(),
        "user.home": os.path.expanduser("~"),
        "user.dir": os.getcwd(),
        "os.memory.free": f"{free}MB",
        "os.memory.max": f"{total}MB",
        "os.memory.total": f"{total}MB",
    }


def user_name() -> str:
    """Return the name of the user whom the process runs as; its number if it has no name."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def file_descriptors() -> tuple[int, int]:
    """Return how many file descriptors are open and how many may be; -1 where unknown."""
    try:
        is_open = len(os.listdir("/proc/self/fd"))
    except OSError:
        is_open = -1
    return is_open, resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def process_numbers() -> Mapping[str, float]:
    """Return what Prometheus is told of this process, under the names that all its clients use.

    Memory and the start are known on Linux only."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    threads = threading.enumerate()
    return {
        "process_cpu_seconds_total": used.ru_utime + used.ru_stime,
        **_of_proc(),
        "jvm_threads_current": len(threads),
        "jvm_threads_daemon": sum(thread.daemon for thread in threads),
    }


def _of_proc() -> dict[str, float]:
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open("/proc/stat", "rb") as file:
            booted = next(line.split()[1] for line in file if line.startswith(b"btime"))
    except (OSError, StopIteration):
        return {}
    # proc(5): behind the name of the process; field 3, its state, is the first here.
    begun, virtual, resident = (int(fields[number - 3]) for number in (22, 23, 24))
    return {
        "process_start_time_seconds": int(booted) + begun / os.sysconf("SC_CLK_TCK"),
        "process_virtual_memory_bytes": virtual,
        "process_resident_memory_bytes": resident * os.sysconf("SC_PAGE_SIZE"),
    }


def versions() -> Mapping[str, str]:
    """Return the versions of what runs here."""
    import platform  # only where it is asked for: start-up is measured

    return {
        "core": "compiled" if is_compiled() else "source",
        "python": platform.python_version(),
        "version": __version__,
    }


def raise_descriptor_limit() -> None:
    """Raise the number of files that this process may open as far as is allowed, as the JVM does at
    its start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, _MANY_DESCRIPTORS)
    if soft not in (wanted, resource.RLIM_INFINITY):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def first_reserved_descriptor() -> int:
    """Return the least file descriptor that no client may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 30
    return soft - min(RESERVED_DESCRIPTORS, soft // 4)


def is_compiled() -> bool:
    """Return whether the core runs in its compiled form (docs/decisions/0013)."""
    return not (tree.__file__ or "").endswith(".py")
