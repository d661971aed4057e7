"""Logins over real sockets: kazoo at a server, and members at each other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import attrs
import pytest

from pyzk.config.jaas import Login
from pyzk.config.sasl import QuorumSaslConfig
from tests.processes import NO_ADMIN, begun
from tests.runtime.members import Ensemble, connect, ensemble_of, is_there

pytestmark = pytest.mark.live

SASL = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
USERS = """Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required user_bob="bobsecret";
};
"""
CLIENT = """
import sys
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError
from kazoo.security import make_acl
options = {"mechanism": "DIGEST-MD5", "username": "bob", "password": sys.argv[2]}
client = KazooClient(f"127.0.0.1:{sys.argv[1]}", sasl_options=options, timeout=20)
client.start(timeout=30)
try:
    client.create("/own", b"", acl=[make_acl("auth", "", all=True)])
    print(client.get_acls("/own")[0][0].id.id)
except AuthFailedError:
    print("refused")
client.stop()
"""


def test_kazoo_logs_in(tmp_path: Path, patience: float) -> None:
    (tmp_path / "jaas.conf").write_text(USERS)
    arguments = (
        "-m", "pyzk", "serve", NO_ADMIN, "--port", "0", f"-Dzookeeper.authProvider.1={SASL}",
        f"-Djava.security.auth.login.config={tmp_path / 'jaas.conf'}",
    )  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with begun(*arguments, cwd=tmp_path, env=environment) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split("127.0.0.1:")[1].split(",")[0]
        for password, expected in (("wrong", "refused\n"), ("bobsecret", "bob\n")):
            made = subprocess.run(
                [sys.executable, "-c", CLIENT, port, password],
                env=environment,
                capture_output=True,
                text=True,
                timeout=patience,
                check=False,
            )
            assert made.stdout == expected, made.stderr


def set_password(made: Ensemble, sid: int, password: str) -> None:
    """Have a member log in at the others with this password, and ask the others for the right
    one."""
    config = made.configs[sid]
    sasl = QuorumSaslConfig(
        server=Login(section="QuorumServer", users={"member": "secret"}),
        learner=Login(section="QuorumLearner", users={}, user="member", password=password),
        learner_requires=True,
        server_requires=True,
    )
    told = attrs.evolve(ensemble_of(config), quorum_sasl=sasl)
    made.configs[sid] = replace(config, ensemble=told)


async def test_members_log_in_at_each_other(tmp_path: Path) -> None:
    made = Ensemble(tmp_path)
    for sid in made.configs:
        set_password(made, sid, "secret")
    try:
        await made.start_all()
        await made.wait_until_whole()
        client = await connect(made.runners[1])
        assert await client.create("/a") == 0
        client.writer.close()
    finally:
        await made.close()


async def test_a_member_with_a_wrong_password_stays_outside(tmp_path: Path) -> None:
    made = Ensemble(tmp_path)
    for sid in made.configs:
        set_password(made, sid, "secret")
    try:
        await made.start_all()
        await made.wait_until_whole()
        await made.kill(1)
        set_password(made, 1, "wrong")
        outsider = await made.start(1)
        await made.wait_for(lambda: {made.runners[sid].role for sid in (2, 3)} != {""})
        client = await connect(made.runners[3])
        assert await client.create("/b") == 0
        client.writer.close()
        assert outsider.role == ""
        await made.kill(1)
        set_password(made, 1, "secret")
        await made.start(1)
        await made.wait_until_whole()
        client = await connect(made.runners[1])
        assert await is_there(client, "/b")
        client.writer.close()
    finally:
        await made.close()
