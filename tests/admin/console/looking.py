"""A server with znodes of all kinds of ACLs, and those who look at it."""

from __future__ import annotations

from typing import Any

from pyzk.admin.console import View, nodes
from pyzk.admin.console.listing import Listings, done
from pyzk.admin.console.visitor import Visitor, visitor
from pyzk.auth.digest import generate_digest
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import ACL, AuthPacket
from tests.frames import OPEN
from tests.world import Client, World

SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
ELSEWHERE = "10.9.8.7"
BOB = generate_digest("bob:secret")
ONLY_BOB = [ACL(31, "digest", BOB)]
BOB_ADMIN_ALL_READ = [ACL(16, "digest", BOB), ACL(1, "world", "anyone")]


def world(**config: Any) -> World:
    return World(ServerConfig(super_digest=SUPER, extended_types_enabled=True, **config))


def who(of: World, credentials: str | None = None, host: str = ELSEWHERE) -> Visitor:
    """Somebody who looks from elsewhere; with user:password, as that user."""
    return visitor(of.server, host, None if credentials is None else f"digest {credentials}")


def bob(of: World) -> Client:
    """A client of Bob's, with a session."""
    client = of.connect(ELSEWHERE)
    client.call(OpCode.AUTH, AuthPacket(0, "digest", b"bob:secret"), -4)
    return client


def with_tree(**config: Any) -> World:
    """/open, /open/a ... /open/e; /bob and what is below only for Bob; /shown, which Bob alone may
    administrate and all may read."""
    made = world(**config)
    client = bob(made)
    client.create("/open", b"hello")
    for name in "edcba":
        client.create(f"/open/{name}", name.encode())
    client.create("/bob", b"secret", acl=ONLY_BOB)
    client.create("/bob/open", b"below", acl=OPEN)
    client.create("/open/bob", b"hidden", acl=ONLY_BOB)
    client.create("/shown", b"shown", acl=BOB_ADMIN_ALL_READ)
    return made


def children(of: World, looking: Visitor, path: str, start: int = 0, **options: Any) -> View:
    window = nodes.Window(path, start, options.pop("count", nodes.WINDOW), **options)
    return done(nodes.children(of.tree, looking, window, Listings(), 0))


def names(view: View) -> list[Any]:
    rows: Any = view["rows"]
    return [row["name"] for row in rows]
