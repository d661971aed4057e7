"""Passwords are shown nowhere: a real server, what it writes, and what it can be asked."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

from pyzk.four_letter_words import FOUR_LETTER_WORDS
from tests.certificates import Authority, write
from tests.processes import begun, python

pytestmark = pytest.mark.live

CA = Authority()
SECRETS = ("geheim-eins", "geheim-zwei", "geheim-drei")


def zoo_cfg(folder: Path) -> str:
    own = CA.issue("localhost")
    keys = write(folder / "k.pem", own.pem(SECRETS[0]))
    trust = write(folder / "t.pem", CA.certificate_pem)
    write(folder / "password", SECRETS[2].encode())
    config = f"""dataDir={folder}/data
clientPort=0
secureClientPort=0
clientPortAddress=127.0.0.1
secureClientPortAddress=127.0.0.1
4lw.commands.whitelist=*
client.certReload=true
ssl.keyStore.location={keys}
ssl.keyStore.password={SECRETS[0]}
ssl.trustStore.location={trust}
ssl.trustStore.password={SECRETS[1]}
ssl.quorum.keyStore.passwordPath={folder}/password
ssl.keyStore.pasword={SECRETS[0]}
admin.enableServer=false
"""
    return write(folder / "zoo.cfg", config.encode())


def ask(port: int, word: str) -> str:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(word.encode())
        return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode(errors="replace")


def test_passwords_are_shown_nowhere(tmp_path: Path) -> None:
    cfg = zoo_cfg(tmp_path)
    with begun("-m", "pyzk", "serve", cfg, "--log-level", "debug") as server:
        assert server.stdout is not None
        ready = server.stdout.readline()
        found = re.search(r"127\.0\.0\.1:([0-9]+)", ready)
        assert found is not None, ready
        words = [word for word in FOUR_LETTER_WORDS if word not in ("crst", "srst", "gtmk", "stmk")]
        answers = [ask(int(found[1]), word) for word in words]
        server.send_signal(signal.SIGTERM)
        said = [*answers, ready, *server.communicate(timeout=60)]
    checked = python("-m", "pyzk", "config", "check", "--all", cfg)
    said += [checked.stdout, checked.stderr]
    assert "(set)" in checked.stdout
    assert "secureClientPort=" in "".join(answers)
    # Wrong passwords are not shown either.
    write(tmp_path / "k.pem", CA.issue().pem("another"))
    refused = python("-m", "pyzk", "serve", cfg, check=False)
    assert refused.returncode == 2
    assert "the password is wrong" in refused.stderr
    said += [refused.stdout, refused.stderr]
    for secret in SECRETS:
        assert [text for text in said if secret in text] == []
