"""The places where this server deliberately answers differently from the original.

Pure.

Each entry names its reason.  A difference that is not written here is a defect: of the server, or
of the recording.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Difference:
    """Lines of a recording that are not replayed, or answered with other bytes."""

    recording: str
    first: int
    last: int
    reason: str
    zxids_less: int = 0
    """How many zxids the original used in these lines and this server does not."""


KNOWN: Final[tuple[Difference, ...]] = (
    Difference(
        "acl_ops",
        89,
        92,
        "the original's ip scheme knows no IPv6 and refuses such an ACL; here it is valid",
        zxids_less=2,
    ),
    Difference(
        "sync_ping_misc",
        137,
        148,
        "deleteContainer is the server's own; the original lets any client delete any empty node"
        " with it, without asking the ACL, here a client gets BADARGUMENTS (as from 3.8)",
        zxids_less=6,
    ),
    Difference(
        "sync_ping_misc",
        157,
        158,
        "the list of nodes that deleteContainer removed there",
    ),
    Difference(
        "sync_ping_misc",
        159,
        164,
        "createSession on an open connection is no client's request: the original makes a session"
        " that nobody holds, here it is an unknown operation; and the root's statistics after it",
        zxids_less=1,
    ),
)

SKIPPED: Final[dict[str, str]] = {
    "crash_createttl_flag0_ttl_minus1": (
        "the original dies of it and cannot start again; here it is an error of that request"
    ),
}
"""Recordings that are not replayed at all."""

# What the differential run leaves out for the same reasons:
#
# - createTTL with flags of no TTL node and a negative time to live: the original dies of it;
# - deleteContainer and createSession from a client: see above;
# - multiRead with a path that is null: the original sends the results before it along with the
#   error, which no client reads; here there is only the error;
# - requests in one piece behind a setACL: they are checked against the old ACL until the new one is
#   applied, which is a race on both;
# - createContainer with the flags of an ephemeral and closeSession in one piece: the original
#   deletes the container if it is not yet applied, which is a race; here it stays;
# - ACLs of scheme ip with IPv6 addresses: see above;
# - writes whose transaction is longer than jute.maxbuffer and its extra size: the original logs it
#   and cannot start again, nor can its followers read it; here the request gets BADARGUMENTS, and a
#   closeSession leaves out its list of ephemerals;
# - more than 1000 identities, or 1 MiB of them, on one connection: here it gets AUTHFAILED.

ODD_WORDS: Final[dict[str, str]] = {
    "stmk without argument": (
        "the original closes when the mask is not in the same packet; here its bytes are awaited"
    ),
}
"""Four-letter words that get another answer."""

ONLY_OURS_IN_ADMIN: Final = ("shed_connections",)
"""Commands of the admin server that 3.9 does not have; the release after it does."""

_NO_CONTENT_TYPE: Final = (
    "the original's index has no content type, and a browser may show it as text"
)
ADMIN_QUESTIONS: Final[dict[str, str]] = {
    **{
        f"{method} {path}": _NO_CONTENT_TYPE
        for method in ("GET", "HEAD", "POST")
        for path in ("/commands", "/commands/")
    },
    **{f"3.8 OPTIONS /commands{path}": "POST came with 3.9" for path in ("", "/ruok", "/nosuch")},
    **{
        f"3.8 POST /commands/{path}": "POST came with 3.9, and here it is answered as there"
        for path in ("nosuch", "ruok", "stmk?traceMask=1")
    },
}
"""Requests to the admin server that get another answer, those of one version with its number, and
why."""

# Of the path of a request no more is compared than clients send: Jetty takes `;x` out of it, goes
# up at `..`, reads bytes that are no UTF-8 as ISO-8859-1, and refuses `%zz` and `%00` with 400;
# here all of these are names of commands that there are not. Nor is a request by TLS compared whose
# header Host is no name of the certificate, though the name that TLS was asked for is: Jetty
# answers 400 if the certificate has several names, and here Host does not matter.

SINCE_39_IN_MNTR: Final = (
    *("restore_error_count", "restore_rate_limited_count"),
    *("snapshot_error_count", "snapshot_rate_limited_count"),
    *(f"{kind}_restore_time" for kind in ("avg", "min", "max", "cnt", "sum")),
)
"""What mntr has since 3.9, without its prefix."""

OURS_IN_MNTR: Final = ("zk_unsaved_configs", "zk_tree_digest", "zk_tree_digest_zxid")
"""What mntr has behind all that the original has."""
