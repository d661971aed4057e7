"""Files that hold secrets, and whether everybody on the machine may read them.

Shell. Private keys, keys of Kerberos, passwords, login files; not what only says whom to trust.
ZooKeeper says nothing about them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyzk.config.jaas import Login
    from pyzk.config.server import ServerConfig
    from pyzk.config.tls import TlsConfig


def warning(config: ServerConfig) -> str | None:
    """Return a sentence that names the files that everybody may read, None if there are none."""
    found: dict[str, str] = {}
    for key, path in _files(config):
        if path not in found and _is_open(path):
            found[path] = key
    if not found:
        return None
    said = ", ".join(f"{key}: {path}" for path, key in found.items())
    return f"every user of this machine can read files that hold secrets (chmod o-r): {said}"


def _files(config: ServerConfig) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of each file with a secret."""
    ensemble = config.ensemble
    admin = config.admin
    for tls in (
        config.client_tls,
        None if ensemble is None else ensemble.quorum_tls,
        None if admin is None else admin.tls,
    ):
        if tls is not None:
            yield from _of_tls(tls)
    if config.sasl is not None and config.sasl.login is not None:
        yield from _of_login(config.sasl.login)
    if ensemble is not None and ensemble.quorum_sasl is not None:
        yield from _of_login(ensemble.quorum_sasl.server)
        yield from _of_login(ensemble.quorum_sasl.learner)


def _of_tls(tls: TlsConfig) -> Iterator[tuple[str, str]]:
    yield tls.key("keyStore.location"), tls.key_store
    for suffix, path in (
        ("keyStore.passwordPath", tls.key_store_password_path),
        ("trustStore.passwordPath", tls.trust_store_password_path),
    ):
        if path is not None:
            yield tls.key(suffix), path


def _of_login(login: Login) -> Iterator[tuple[str, str]]:
    if login.path and not login.is_kerberos:
        yield "java.security.auth.login.config", login.path
    if login.keytab is not None and login.uses_keytab:
        yield f"keyTab of the section {login.section}", login.keytab


def _is_open(path: str) -> bool:
    """Return whether everybody may read a file; one that is not there is the matter of others."""
    if os.name != "posix":
        return False
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & stat.S_IROTH)
