"""Reads, which are answered from the tree inside the call that brought the request.

Pure. ZooKeeper: FinalRequestProcessor, its reads.
Each function takes (server, connection, xid, buffer, offset, end) and returns the whole reply
frame; the record stands between ``offset`` and ``end``. It may raise JuteError or KeeperError: the
connection makes an error reply of it. Paths are not validated: a malformed one is not found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.auth.access import mask_digest_ids
from pyzk.constants import AddWatchMode, ErrorCode, EventType, OpCode, Perms, WatchKind, Xid
from pyzk.data.acl import OPEN_ACL_ID
from pyzk.data.node import STAT_BYTES, DataNode
from pyzk.errors import (
    BadArguments,
    KeeperError,
    MarshallingError,
    NoAuth,
    NoNode,
    NoWatcher,
    Truncated,
)
from pyzk.jute.archive import (
    decode_string,
    decode_text,
    encode_buffer,
    encode_string,
    encode_strings,
)
from pyzk.jute.packing import pack_iiqii, pack_iiqiiss, pack_int, unpack_int
from pyzk.jute.records import (
    ACL,
    AddWatchRequest,
    CheckWatchesRequest,
    ClientInfo,
    ErrorResponse,
    PathRequest,
    PathWatchRequest,
    SetWatches,
    SetWatches2,
    WhoAmIResponse,
)
from pyzk.server.multi import WrongOperation, decode_reads
from pyzk.server.reply import (
    HEADER_BYTES,
    LONG_BYTES,
    MULTI_END,
    encode_error,
    encode_error_result,
    encode_head,
    encode_reply,
    encode_result,
)

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server

MULTI_READ_LIMIT_BYTES: Final = 64 << 20
"""The results of one multiRead may have so many bytes: with more for its client to read no
connection is kept open."""

_DATA_REPLY_BYTES: Final = HEADER_BYTES + 4 + STAT_BYTES


def _path_and_watch(buffer: bytes, offset: int, end: int) -> tuple[str, int]:
    """Return the path and the watch byte (0: no watch) from the record that most reads have."""
    start = offset + 4
    if start > end:
        raise Truncated("no path")
    (length,) = unpack_int(buffer, offset)
    stop = start + length
    if length < 0 or stop >= end:
        record, _ = PathWatchRequest.decode(buffer, offset, end)
        return _required(record.path), record.watch
    return decode_text(buffer[start:stop]), buffer[stop]


def _required(path: str | None) -> str:
    if path is None:
        raise MarshallingError("null path")
    return path


def _readable(server: Server, connection: Connection, path: str) -> DataNode:
    """Return the znode; raise NoNode, or NoAuth without READ on it."""
    node = server.tree.find(path)
    if node is None:
        raise NoNode(path)
    if node.acl_id != OPEN_ACL_ID and not server.permits(
        node.acl_id, Perms.READ, connection.auth_ids
    ):
        raise NoAuth(path)
    return node


def get_data(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    # The most frequent request (scripts/bench) does not call _path_and_watch and _readable: what
    # they do is written out.
    start = offset + 4
    if start > end:
        raise Truncated("no path")
    (length,) = unpack_int(buffer, offset)
    stop = start + length
    if length < 0 or stop >= end:
        path, watch = _path_and_watch(buffer, offset, end)
    else:
        raw = buffer[start:stop]
        try:
            path = raw.decode()
        except UnicodeDecodeError:
            path = decode_text(raw)
        watch = buffer[stop]
    tree = server.tree
    node = tree.nodes.get(path) or tree.find(path)
    if node is None:
        return encode_error(xid, tree.last_zxid, ErrorCode.NO_NODE)
    if node.acl_id != OPEN_ACL_ID and not server.permits(
        node.acl_id, Perms.READ, connection.auth_ids
    ):
        return encode_error(xid, tree.last_zxid, ErrorCode.NO_AUTH)
    if watch:
        tree.watches.add_data(path, connection)
    stat = node.stat or server.stats.encode(path, node)
    data = node.data
    if data is None:
        return pack_iiqii(_DATA_REPLY_BYTES, xid, tree.last_zxid, 0, -1) + stat
    length = len(data)
    size = _DATA_REPLY_BYTES + length
    if length > LONG_BYTES:
        return b"".join((pack_iiqii(size, xid, tree.last_zxid, 0, length), data, stat))
    return pack_iiqiiss(size, xid, tree.last_zxid, 0, length, data, stat)


def exists(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    path, watch = _path_and_watch(buffer, offset, end)
    if "\0" in path:
        raise BadArguments(path)
    tree = server.tree
    node = tree.find(path)
    if node is not None and not server.permits(node.acl_id, Perms.READ, connection.auth_ids):
        raise NoAuth(path)
    if watch:
        tree.watches.add_data(path, connection)
    if node is None:
        return encode_error(xid, tree.last_zxid, ErrorCode.NO_NODE)
    return encode_reply(xid, tree.last_zxid, node.stat or server.stats.encode(path, node))


def get_children(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    path, watch = _path_and_watch(buffer, offset, end)
    node = _readable(server, connection, path)
    if watch:
        server.tree.watches.add_child(path, connection)
    return encode_reply(xid, server.tree.last_zxid, node.encode_children(server.lists))


def get_children2(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    path, watch = _path_and_watch(buffer, offset, end)
    node = _readable(server, connection, path)
    if watch:
        server.tree.watches.add_child(path, connection)
    names, stat = node.encode_children(server.lists), node.encode_stat()
    head = encode_head(xid, server.tree.last_zxid, len(names) + len(stat))
    return b"".join((head, names, stat))


def get_acl(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    record, _ = PathRequest.decode(buffer, offset, end)
    path = _required(record.path)
    node = server.tree.find(path)
    if node is None:
        raise NoNode(path)
    ids = connection.auth_ids
    if not server.permits(node.acl_id, Perms.READ | Perms.ADMIN, ids):
        raise NoAuth(path)
    acl: list[ACL] = list(server.tree.acls.get(node.acl_id))
    if not server.permits(node.acl_id, Perms.ADMIN, ids):
        acl = mask_digest_ids(acl)
    body = b"".join((pack_int(len(acl)), *(entry.encode() for entry in acl), node.encode_stat()))
    return encode_reply(xid, server.tree.last_zxid, body)


def get_all_children_number(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    record, _ = PathRequest.decode(buffer, offset, end)
    path = _required(record.path)
    _readable(server, connection, path)
    count = server.tree.count_descendants(path)
    return encode_reply(xid, server.tree.last_zxid, pack_int(count))


def get_ephemerals(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    """Return the session's ephemerals; a prefix is compared as text, not by path components."""
    record, _ = PathRequest.decode(buffer, offset, end)
    prefix = record.path
    owned = server.tree.ephemerals.get(connection.session_id)
    paths = [] if owned is None else owned.clone().names()
    if prefix is not None and prefix.strip() and prefix.strip() != "/":
        paths = [path for path in paths if path.startswith(prefix)]
    return encode_reply(xid, server.tree.last_zxid, encode_strings(paths))


def sync(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    """Answer at once: on the server that orders the writes, a sync waits only for the writes of its
    own session."""
    path, _ = decode_string(buffer, offset, end)
    return encode_reply(xid, server.tree.last_zxid, encode_string(path))


def ping(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    """Answer with xid -2, whatever xid the ping had."""
    return encode_error(Xid.PING, server.tree.last_zxid, ErrorCode.OK)


def multi_read(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    """Answer all operations, also those behind one that fails; set no watch.

    A short operation can ask for a long answer, and many of them for more than there is memory: the
    original dies of that, here it is an error of the request.
    """
    try:
        operations = decode_reads(buffer, offset, end)
    except WrongOperation:
        # The one error with a body: the end of an empty result.
        return encode_reply(xid, server.tree.last_zxid, MULTI_END, ErrorCode.MARSHALLING_ERROR)
    parts = []
    size = 0
    for kind, record in operations:
        try:
            node = _readable(server, connection, _required(record.path))
        except KeeperError as error:
            if isinstance(error, MarshallingError):
                raise
            parts.append(encode_error_result(error.code))
            continue
        if kind == OpCode.GET_DATA:
            body = encode_buffer(node.data) + node.encode_stat()
        else:
            body = node.encode_children(server.lists)
        parts.append(encode_result(kind, body))
        size += len(body)
        if size > MULTI_READ_LIMIT_BYTES:
            raise MarshallingError(f"multiRead whose reply has over {MULTI_READ_LIMIT_BYTES} bytes")
    parts.append(MULTI_END)
    return encode_reply(xid, server.tree.last_zxid, b"".join(parts))


def set_watches(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    record, _ = SetWatches.decode(buffer, offset, end)
    _catch_up(server, connection, record)
    return encode_error(xid, server.tree.last_zxid, ErrorCode.OK)


def set_watches2(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    record, _ = SetWatches2.decode(buffer, offset, end)
    _catch_up(server, connection, record)
    watches = server.tree.watches
    for path in _present(record.persistent_watches):
        watches.add_persistent(path, connection)
    for path in _present(record.persistent_recursive_watches):
        watches.add_recursive(path, connection)
    return encode_error(xid, server.tree.last_zxid, ErrorCode.OK)


def _present(paths: list[str | None] | None) -> list[str]:
    if paths is None:
        raise MarshallingError("null list")
    return [_required(path) for path in paths]


def _catch_up(server: Server, connection: Connection, record: SetWatches | SetWatches2) -> None:
    """Send events for what has changed since the client's last zxid, and set watches on the rest
    (DataTree.setWatches).

    The events go before the reply, with zxid -1 and without a look at ACLs. The lists are served
    one after the other: a null one is an error only when its turn comes.
    """
    since = record.relative_zxid
    tree = server.tree
    for path in _present(record.data_watches):
        node = tree.find(path)
        if node is None:
            connection.send_missed(EventType.NODE_DELETED, path)
        elif node.mzxid > since:
            connection.send_missed(EventType.NODE_DATA_CHANGED, path)
        else:
            tree.watches.add_data(path, connection)
    for path in _present(record.exist_watches):
        if tree.find(path) is not None:
            connection.send_missed(EventType.NODE_CREATED, path)
        else:
            tree.watches.add_data(path, connection)
    for path in _present(record.child_watches):
        node = tree.find(path)
        if node is None:
            connection.send_missed(EventType.NODE_DELETED, path)
        elif node.pzxid > since:
            connection.send_missed(EventType.NODE_CHILDREN_CHANGED, path)
        else:
            tree.watches.add_child(path, connection)


def add_watch(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    record, _ = AddWatchRequest.decode(buffer, offset, end)
    if record.mode not in (AddWatchMode.PERSISTENT, AddWatchMode.PERSISTENT_RECURSIVE):
        raise MarshallingError(f"watch mode {record.mode}")
    if record.path is not None:  # a null path is accepted, and never matches
        if record.mode == AddWatchMode.PERSISTENT:
            server.tree.watches.add_persistent(record.path, connection)
        else:
            server.tree.watches.add_recursive(record.path, connection)
    return encode_reply(xid, server.tree.last_zxid, ErrorResponse(ErrorCode.OK).encode())


def check_watches(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    path, kind = _watch_of(buffer, offset, end)
    if path is None or not server.tree.watches.contains(path, kind, connection):
        raise NoWatcher(path or "")
    return encode_error(xid, server.tree.last_zxid, ErrorCode.OK)


def remove_watches(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    path, kind = _watch_of(buffer, offset, end)
    if path is None or not server.tree.watches.remove(path, kind, connection):
        raise NoWatcher(path or "")
    return encode_error(xid, server.tree.last_zxid, ErrorCode.OK)


def _watch_of(buffer: bytes, offset: int, end: int) -> tuple[str | None, int]:
    record, _ = CheckWatchesRequest.decode(buffer, offset, end)
    if not WatchKind.CHILDREN <= record.type <= WatchKind.PERSISTENT_RECURSIVE:
        raise MarshallingError(f"watch type {record.type}")
    return record.path, record.type


def who_am_i(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    name = server.registry.user_name
    info = [ClientInfo(auth_id.scheme, name(auth_id)) for auth_id in connection.auth_ids]
    return encode_reply(xid, server.tree.last_zxid, WhoAmIResponse(info).encode())


ReadHandler = Callable[["Server", "Connection", int, bytes, int, int], bytes]


def unreadable(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    """Answer a write whose record cannot be decoded: in its turn, but without a transaction."""
    return encode_error(xid, server.tree.last_zxid, ErrorCode.MARSHALLING_ERROR)


READS: Final[dict[int, ReadHandler]] = {
    OpCode.EXISTS: exists,
    OpCode.GET_DATA: get_data,
    OpCode.GET_ACL: get_acl,
    OpCode.GET_CHILDREN: get_children,
    OpCode.SYNC: sync,
    OpCode.PING: ping,
    OpCode.GET_CHILDREN2: get_children2,
    OpCode.CHECK_WATCHES: check_watches,
    OpCode.REMOVE_WATCHES: remove_watches,
    OpCode.MULTI_READ: multi_read,
    OpCode.SET_WATCHES: set_watches,
    OpCode.GET_EPHEMERALS: get_ephemerals,
    OpCode.GET_ALL_CHILDREN_NUMBER: get_all_children_number,
    OpCode.SET_WATCHES2: set_watches2,
    OpCode.ADD_WATCH: add_watch,
    OpCode.WHO_AM_I: who_am_i,
}
"""Opcode of a request that needs no transaction, but waits for its session's writes -> what answers
it."""
