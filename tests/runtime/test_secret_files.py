from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyzk.config.jaas import Login
from pyzk.config.sasl import QuorumSaslConfig, SaslConfig
from pyzk.config.server import Property, ServerConfig, parse_config
from pyzk.config.tls import TlsConfig
from pyzk.runtime.secret_files import warning

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files have no modes here")

FILES = ("key", "trust", "key-password", "trust-password", "jaas", "keytab")
BEGIN = "every user of this machine can read files that hold secrets (chmod o-r): "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o644)
    return tmp_path


def config(folder: Path, **values: Any) -> ServerConfig:
    tls = TlsConfig(
        key_store=str(folder / "key"),
        trust_store=str(folder / "trust"),
        key_store_password_path=str(folder / "key-password"),
        trust_store_password_path=str(folder / "trust-password"),
    )
    return ServerConfig(client_tls=tls, **values)


def login(folder: Path, **values: Any) -> Login:
    return Login(section="Server", users={}, path=str(folder / "jaas"), **values)


def test_files_that_everybody_may_read_are_named(folder: Path) -> None:
    assert warning(config(folder, sasl=SaslConfig(login=login(folder)))) == (
        f"{BEGIN}ssl.keyStore.location: {folder}/key,"
        f" ssl.keyStore.passwordPath: {folder}/key-password,"
        f" ssl.trustStore.passwordPath: {folder}/trust-password,"
        f" java.security.auth.login.config: {folder}/jaas"
    )


def test_files_of_the_owner_are_not(folder: Path) -> None:
    for name in ("key", "key-password", "jaas"):
        (folder / name).chmod(0o640)
    (folder / "trust-password").unlink()
    assert warning(config(folder, sasl=SaslConfig(login=login(folder)))) is None
    assert warning(ServerConfig()) is None


def test_with_kerberos_the_keys_count_and_not_the_login_file(folder: Path) -> None:
    named = {"principal": "zk/host@R", "keytab": str(folder / "keytab")}
    mine = login(folder, uses_keytab=True, **named)
    assert warning(ServerConfig(sasl=SaslConfig(login=mine))) == (
        f"{BEGIN}keyTab of the section Server: {folder}/keytab"
    )
    assert warning(ServerConfig(sasl=SaslConfig(login=login(folder, **named)))) is None


def test_the_files_of_members_count(folder: Path) -> None:
    text = (
        "dataDir=/d\ninitLimit=9\nsyncLimit=9\nserver.1=127.0.0.1:1:2;3\nserver.2=127.0.0.1:4:5;6\nsslQuorum=true\n"
        f"ssl.quorum.keyStore.location={folder}/key\n"
        f"ssl.quorum.trustStore.location={folder}/trust\nquorum.auth.enableSasl=true\n"
        "quorum.auth.learnerRequireSasl=true\n"
    )
    sections = (
        'QuorumServer { D required user_m="s"; };\n'
        'QuorumLearner { D required username="m" password="s"; };\n'
    ).replace(" D ", " org.apache.zookeeper.server.auth.DigestLoginModule ")
    (folder / "jaas").write_text(sections)

    def read(path: str) -> bytes | None:
        return b"1" if path.endswith("myid") else Path(path).read_bytes()

    login_file = "java.security.auth.login.config"
    given = parse_config(
        text.encode(), (Property(login_file, f"{folder}/jaas", login_file),), read_file=read
    )
    assert given.ensemble is not None
    assert isinstance(given.ensemble.quorum_sasl, QuorumSaslConfig)
    assert warning(given) == (
        f"{BEGIN}ssl.quorum.keyStore.location: {folder}/key,"
        f" java.security.auth.login.config: {folder}/jaas"
    )
