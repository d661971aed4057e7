"""The program behind scripts/java: turns a java command line for a ZooKeeper server into pyzk's.

    java … -Dzookeeper.x=y org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg
    java … org.apache.zookeeper.server.ZooKeeperServerMain zoo.cfg | PORT DATADIR [TICK [MAX]]

Properties of ZooKeeper are handed on; those of the virtual machine, its heap and the class path
mean nothing here.
"""

from __future__ import annotations

import re
import sys
from typing import Final

SERVERS: Final = (
    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    "org.apache.zookeeper.server.ZooKeeperServerMain",
)
WITH_VALUE: Final = frozenset(
    {
        *("-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path"),
        *("--add-modules", "--add-opens", "--add-exports", "--add-reads"),
        "--enable-native-access",
    }
)
OF_THE_MACHINE: Final = re.compile(r"(java|javax|jdk|sun|com\.sun|log4j\d?|logback|org\.slf4j)\.")
OF_THE_MACHINE_TOO: Final = frozenset({"file.encoding", "user.timezone", "user.language"})
KNOWN: Final = frozenset({"java.security.auth.login.config", "java.security.krb5.conf"})
"""The properties of the virtual machine that pyzk has, too."""
USAGE: Final = (
    "this is pyzk's stand-in for java: it starts ZooKeeper servers only"
    f" ({', '.join(name.rpartition('.')[2] for name in SERVERS)} with a zoo.cfg)"
)


class RefusedError(Exception):
    """The command line starts no server that pyzk can be."""


def translate(words: list[str]) -> list[str]:
    """Return the arguments of pyzk for those of java."""
    properties: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith(("-", "@")):
        word = rest.pop(0)
        if word in WITH_VALUE:
            if not rest:
                raise RefusedError(f"{word} needs a value")
            rest.pop(0)
        elif word.startswith("-D"):
            name = word[2:].partition("=")[0]
            if name in KNOWN or not (OF_THE_MACHINE.match(name) or name in OF_THE_MACHINE_TOO):
                properties.append(word)
        elif word == "-jar" or word.startswith("@"):
            raise RefusedError(f"{word} is not understood; {USAGE}")
        elif not re.match(r"-(X|ea|da|esa|dsa|server|client|javaagent:|verbose|-)", word):
            raise RefusedError(f"{word}: {USAGE}")
    if not rest or rest[0] not in SERVERS:
        raise RefusedError(f"{rest[0]}: {USAGE}" if rest else USAGE)
    main, *arguments = rest
    if not arguments:
        raise RefusedError(f"{main} needs a zoo.cfg: {USAGE}")
    return ["serve", *properties, *arguments]


def main(words: list[str]) -> None:
    """Become the server, or say why not and exit with 1, as java does after a failed start."""
    try:
        arguments = translate(words)
    except RefusedError as refused:
        print(f"java: {refused}", file=sys.stderr)
        raise SystemExit(1) from None
    # Not before: a refusal needs none of it.
    from pyzk.cli import main as pyzk

    pyzk(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
