"""Members that prove to each other who they are, for tests of the exchange and of both links."""

from __future__ import annotations

from random import Random
from typing import Any

from pyzk.config.jaas import Login
from pyzk.config.members import Membership, parse_membership
from pyzk.config.sasl import QuorumSaslConfig
from pyzk.config.server import ServerConfig
from pyzk.quorum.authentication import QuorumLogins
from pyzk.quorum.configurations import Configurations
from pyzk.server.host import Host
from pyzk.server.server import Server
from tests.server.test_sasl import Threads
from tests.world import World

USER = "learner"
SERVERS = parse_membership(b"server.1=h1:2888:3888\nserver.2=H2.example:2888:3888\n")


def logins(
    *,
    password: str = "secret",
    is_kerberos: bool = False,
    threads: Threads | None = None,
    membership: Membership = SERVERS,
    principal: str = "zkquorum/h1@R",
    **values: Any,
) -> QuorumLogins:
    """Return the logins of one member; both keys of a login are required unless said otherwise."""
    if is_kerberos:
        server = Login(section="S", users={}, principal=principal, uses_keytab=True)
        learner = Login(section="L", users={}, principal="learner/h1@R", uses_keytab=True)
    else:
        server = Login(section="S", users={USER: password})
        learner = Login(section="L", users={}, user=USER, password=password)
    values = {"learner_requires": True, "server_requires": True} | values
    config = QuorumSaslConfig(server=server, learner=learner, **values)
    world: Server = World(ServerConfig()).server
    world.host = Host(kerberos=threads)
    configs = Configurations(membership, None, is_enabled=True)
    return QuorumLogins(config, configs, world, Random(1), lambda: None)
