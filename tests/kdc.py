"""A Kerberos realm of a test's own, on loopback: Debian's krb5-kdc, its files in one folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from pyzk.runtime.free_ports import free_port
from tests.conftest import TIMEOUT_FACTOR

REALM = "PYZK.TEST"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_ATTEMPTS = 5

KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
"""
KDC_CONF = """\
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/acl
        max_life = 1h
    }}
"""


def missing() -> str:
    """Returns what is not installed here that a realm needs, "" if nothing."""
    return ", ".join(name for name in PROGRAMS if shutil.which(name, path=_PATH) is None)


class Realm:
    """The realm while its KDC runs."""

    def __init__(self, folder: Path, name: str = REALM) -> None:
        self.folder = folder
        self.name = name
        self.krb5_conf = folder / "krb5.conf"
        self.environment = os.environ | {
            "PATH": _PATH,
            "KRB5_CONFIG": str(self.krb5_conf),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{folder}/cache",
            "KRB5RCACHENAME": f"file2:{folder}/replays",
        }

    def keytab(self, *principals: str) -> Path:
        """Makes principals of services or users, and returns the file with their keys."""
        path = self.folder / f"{principals[0].replace('/', '_')}.keytab"
        for principal in principals:
            self._admin(f"addprinc -randkey {principal}")
            self._admin(f"ktadd -k {path} {principal}")
        return path

    def log_in(self, principal: str, keytab: Path) -> None:
        """Puts a ticket of this principal into the cache of the environment."""
        self._run("kinit", "-k", "-t", str(keytab), principal)

    def _admin(self, query: str) -> None:
        self._run("kadmin.local", "-r", self.name, "-q", query)

    def _run(self, *command: str) -> None:
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=60)

    def create(self) -> None:
        """Makes the database."""
        self.write(0)
        self._run("kdb5_util", "create", "-s", "-r", self.name, "-P", "master")

    def write(self, port: int) -> None:
        """Writes the files that name the port."""
        values = {"realm": self.name, "port": port, "folder": self.folder}
        self.krb5_conf.write_text(KRB5_CONF.format(**values))
        (self.folder / "kdc.conf").write_text(KDC_CONF.format(**values))

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the KDC on a port that is free, and waits until it answers there."""
        for _ in range(_ATTEMPTS):
            port = free_port()
            self.write(port)
            child = subprocess.Popen(
                ["krb5kdc", "-n", "-r", self.name, "-P", str(self.folder / "pid")],
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._is_up(child, port):
                return child
        raise AssertionError("the KDC does not start")

    def _is_up(self, child: subprocess.Popen[bytes], port: int) -> bool:
        end = time.monotonic() + 20 * TIMEOUT_FACTOR
        while child.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
        child.kill()
        child.wait()
        return False


@contextlib.contextmanager
def realm(folder: Path, name: str = REALM) -> Iterator[Realm]:
    """Runs a realm, which ends with the block."""
    made = Realm(folder, name)
    made.create()
    child = made.start()
    try:
        yield made
    finally:
        child.terminate()
        child.wait()
