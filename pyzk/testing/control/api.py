"""The methods of `ZooKeeperServer` as JSON, which `ControlEndpoint` offers to other processes.

Shell. One table lists the endpoints with their arguments, so that messages about a wrong argument
are as clear as in Python, and `GET /` returns the table. Znode data is text if it is UTF-8,
otherwise ``{"base64": "..."}``; session ids are text, as they do not fit into a number of
JavaScript. ZooKeeper: ControlCommand, whose commands are here under the names of `ZooKeeperServer`.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pyzk import __version__
from pyzk.int64 import hex_id
from pyzk.testing.core.inspection import SessionInfo, WatchInfo
from pyzk.testing.errors import FixtureError
from pyzk.testing.seams.faults import Fault
from pyzk.testing.server import WAIT_S, ZooKeeperServer

Json = Any
"""A value that the json module reads and writes."""

MAX_WAIT_S: Final = 600.0
KEPT_FAULTS: Final = 1000
"""How many faults keep their numbers; older ones stay in force without one."""

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "text": (str,),
    "integer": (int,),
    "seconds": (int, float),
    "boolean": (bool,),
    "data": (str, dict),
    "tree": (dict,),
    "session": (str, int),
    "error": (str, int),
}


class UnknownEndpointError(FixtureError):
    """A request has an unknown path."""


class WrongMethodError(FixtureError):
    """A request has a known path, and the other method."""


class Argument(NamedTuple):
    """One argument of an endpoint."""

    name: str
    kind: str
    is_required: bool = False
    default: Json = None
    null: str = ""
    """What null means, if it does not mean the default."""


class Endpoint(NamedTuple):
    """One line of the table."""

    method: str
    path: str
    run: Callable[[ControlApi, dict[str, Json]], dict[str, Json] | None]
    arguments: tuple[Argument, ...]
    text: str


class ControlApi:
    """Calls the methods of one server by name. Any thread may use it."""

    def __init__(self, server: ZooKeeperServer) -> None:
        self.server = server
        self.life = threading.Lock()
        """Held by kill, restart and reset, which run one at a time."""
        self._faults: dict[str, Fault] = {}
        self._fault_count = 0
        self._faults_lock = threading.Lock()

    def call(self, method: str, path: str, arguments: Mapping[str, Json]) -> dict[str, Json]:
        """Return the answer. Raises FixtureError (or one of its kinds), TimeoutError."""
        endpoint = find_endpoint(method, path)
        return endpoint.run(self, check_arguments(endpoint, arguments)) or {}

    # --- inspection -----------------------------------------------------------------

    def describe(self, given: dict[str, Json]) -> dict[str, Json]:
        return {
            **self.status({}),
            "endpoints": [
                {
                    "method": endpoint.method,
                    "path": endpoint.path,
                    "arguments": {entry.name: _describe(entry) for entry in endpoint.arguments},
                    "text": endpoint.text,
                }
                for endpoint in ENDPOINTS
            ],
        }

    def status(self, given: dict[str, Json]) -> dict[str, Json]:
        server = self.server
        return {
            "version": __version__,
            "connect_string": server.connect_string,
            "state": server.state,
        }

    def sessions(self, given: dict[str, Json]) -> dict[str, Json]:
        return {"sessions": [_session(session) for session in self.server.sessions]}

    def watches(self, given: dict[str, Json]) -> dict[str, Json]:
        return {"watches": [_watch(watch) for watch in self.server.watches]}

    def tree(self, given: dict[str, Json]) -> dict[str, Json]:
        tree = self.server.tree(given["path"])
        return {"tree": {path: encode_data(data) for path, data in tree.items()}}

    def events(self, given: dict[str, Json]) -> dict[str, Json]:
        return {"events": self.server.events}

    def report(self, given: dict[str, Json]) -> dict[str, Json]:
        return {"report": self.server.report()}

    def faults(self, given: dict[str, Json]) -> dict[str, Json]:
        in_force = self.server.faults
        with self._faults_lock:
            known = list(self._faults.items())
        return {
            "faults": [
                {
                    "fault": number,
                    "text": str(fault),
                    "fired": fault.fired,
                    "in_force": fault in in_force,
                }
                for number, fault in known
            ]
        }

    # --- sessions and connections ---------------------------------------------------

    def drop_connections(self, given: dict[str, Json]) -> dict[str, Json]:
        return {"dropped": self.server.drop_connections()}

    # --- faults ---------------------------------------------------------------------

    def keep(self, fault: Fault) -> dict[str, Json]:
        """Give a fault a number."""
        with self._faults_lock:
            self._fault_count += 1
            number = str(self._fault_count)
            self._faults[number] = fault
            if len(self._faults) > KEPT_FAULTS:
                del self._faults[next(iter(self._faults))]
        return {"fault": number, "text": str(fault)}

    def remove_fault(self, given: dict[str, Json]) -> None:
        with self._faults_lock:
            fault = self._faults.get(given["fault"])
            if fault is None:
                raise FixtureError(f"there is no fault {given['fault']!r}; GET /faults lists them")
        fault.remove()

    def reset_faults(self, given: dict[str, Json]) -> None:
        self.server.reset_faults()
        self.forget_faults()

    def forget_faults(self) -> None:
        """Forget the numbers of faults that are gone."""
        with self._faults_lock:
            self._faults.clear()

    # --- the tree and waiting -------------------------------------------------------

    def load(self, given: dict[str, Json]) -> None:
        self.server.load({path: decode_data(path, data) for path, data in given["tree"].items()})

    def wait_for_session(self, given: dict[str, Json]) -> dict[str, Json]:
        session = self.server.wait_for_session(
            given["session"], exists=given["exists"], timeout=given["timeout"]
        )
        return {"session": None if session is None else _session(session)}

    def wait_for_node(self, given: dict[str, Json]) -> None:
        data = given["data"]
        self.server.wait_for_node(
            given["path"],
            exists=given["exists"],
            data=None if data is None else decode_data(given["path"], data),
            timeout=given["timeout"],
        )

    def wait_for_watch(self, given: dict[str, Json]) -> dict[str, Json]:
        return {"watch": _watch(self.server.wait_for_watch(**given))}


# --- the table ------------------------------------------------------------------------

_CLIENT: Final = Argument("client", "session")
_PATH: Final = Argument("path", "text")
_OPERATION: Final = Argument("operation", "text", True)
_ON: Final = Argument("on", "boolean", default=True)
_TIMEOUT: Final = Argument("timeout", "seconds", default=WAIT_S)
_ONCE: Final = Argument("times", "integer", default=1, null="every time")
_TIMES: Final = Argument("times", "integer", null="every time")


def _get(
    path: str, run: Callable[[ControlApi, dict[str, Json]], dict[str, Json]], text: str,
    *arguments: Argument,
) -> Endpoint:  # fmt: skip
    return Endpoint("GET", path, run, arguments, text)


def _post(
    run: Callable[[ControlApi, dict[str, Json]], dict[str, Json] | None],
    text: str,
    *arguments: Argument,
) -> Endpoint:
    return Endpoint("POST", f"/{run.__name__}", run, arguments, text)


def _order(order: Callable[..., None], text: str, *arguments: Argument) -> Endpoint:
    """A method of the server that returns nothing."""

    def run(api: ControlApi, given: dict[str, Json]) -> None:
        getattr(api.server, order.__name__)(**given)

    return Endpoint("POST", f"/{order.__name__}", run, arguments, text)


def _fault(add: Callable[..., Fault], text: str, *arguments: Argument) -> Endpoint:
    """A method of the server that adds a fault."""

    def run(api: ControlApi, given: dict[str, Json]) -> dict[str, Json]:
        return api.keep(getattr(api.server, add.__name__)(**given))

    return Endpoint("POST", f"/{add.__name__}", run, arguments, text)


def _life(change: Callable[[ZooKeeperServer], None], text: str) -> Endpoint:
    """A method of the server that begins or ends a life, and ends all faults."""

    def run(api: ControlApi, given: dict[str, Json]) -> None:
        with api.life:
            getattr(api.server, change.__name__)()
        api.forget_faults()

    return Endpoint("POST", f"/{change.__name__}", run, (), text)


ENDPOINTS: Final = (
    _get("/", ControlApi.describe, "this list"),
    _get("/status", ControlApi.status, "where the server is, and whether it runs"),
    _get("/sessions", ControlApi.sessions, "all sessions, oldest first"),
    _get("/watches", ControlApi.watches, "all watches, by path"),
    _get(
        "/tree", ControlApi.tree, "the znodes at and below a path, without /zookeeper",
        Argument("path", "text", default="/"),
    ),
    _get("/faults", ControlApi.faults, "the faults, and how often each has hit"),
    _get("/events", ControlApi.events, "what happened last, one line each"),
    _get("/report", ControlApi.report, "sessions, faults and events as text, in any state"),
    _order(
        ZooKeeperServer.expire_session, "expire a session; answers when its ephemerals are gone",
        Argument("session", "session", True),
    ),
    _order(
        ZooKeeperServer.drop_connection,
        "cut the connection of a session, or of a client's host:port",
        Argument("client", "session", True),
    ),
    _post(ControlApi.drop_connections, "cut every connection; answers how many there were"),
    _order(ZooKeeperServer.reject_connections, "close every new connection at once", _ON),
    _fault(
        ZooKeeperServer.delay, "hold requests, or with operation event the watch events",
        _OPERATION, Argument("seconds", "seconds", True), _TIMES,
        _CLIENT, _PATH,
    ),
    _fault(
        ZooKeeperServer.fail, "answer the next requests with an error, without executing them",
        _OPERATION, Argument("error", "error", True), _ONCE, _CLIENT, _PATH,
    ),
    _fault(
        ZooKeeperServer.no_response, "never answer the next requests, nor what follows them",
        _OPERATION, _ONCE, Argument("executed", "boolean", default=True), _CLIENT, _PATH,
    ),
    _post(
        ControlApi.remove_fault, "undo one delay, fail or no_response",
        Argument("fault", "text", True),
    ),
    _post(
        ControlApi.reset_faults,
        "undo delay, fail, no_response, reject_connections and stall_disk",
    ),
    _order(ZooKeeperServer.stall_disk, "let no write become durable, so none is answered", _ON),
    _order(ZooKeeperServer.pause, "stand still, as a process under SIGSTOP"),
    _order(ZooKeeperServer.resume, "go on after a pause"),
    _life(ZooKeeperServer.kill, "end as under SIGKILL: what is not synced is lost"),
    _life(ZooKeeperServer.restart, "come up again, with the same data on the same port"),
    _life(ZooKeeperServer.reset, "be a new server with an empty tree on the same port"),
    _order(
        ZooKeeperServer.advance, "let time pass at once",
        Argument("seconds", "seconds", True), Argument("keep_sessions", "boolean", default=False),
    ),
    _post(
        ControlApi.load, "create znodes with their parents, set the data of those that are there",
        Argument("tree", "tree", True),
    ),
    _post(
        ControlApi.wait_for_session, "wait until a session (any, or this one) is connected or gone",
        Argument("session", "session"), Argument("exists", "boolean", default=True), _TIMEOUT,
    ),
    _post(
        ControlApi.wait_for_node, "wait until a znode is there (with this data), or is not",
        Argument("path", "text", True), Argument("exists", "boolean", default=True),
        Argument("data", "data"), _TIMEOUT,
    ),
    _post(
        ControlApi.wait_for_watch,
        "wait until somebody watches a path; kinds: data, children, persistent, recursive",
        Argument("path", "text", True), Argument("kind", "text"), _CLIENT, _TIMEOUT,
    ),
    _order(
        ZooKeeperServer.wait_until_idle,
        "wait until all that clients have sent is served and answered",
        _TIMEOUT,
    ),
)  # fmt: skip
_BY_PATH: Final = {endpoint.path: endpoint for endpoint in ENDPOINTS}


def find_endpoint(method: str, path: str) -> Endpoint:
    """Return the endpoint of a request. Raises UnknownEndpointError, WrongMethodError."""
    endpoint = _BY_PATH.get(path)
    if endpoint is None:
        close = difflib.get_close_matches(path, list(_BY_PATH), n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise UnknownEndpointError(f"unknown endpoint {path}{meant}; GET / lists them")
    if endpoint.method != method:
        raise WrongMethodError(f"{path} takes {endpoint.method}, not {method}")
    return endpoint


def check_arguments(endpoint: Endpoint, given: Mapping[str, Json]) -> dict[str, Json]:
    """Return all arguments, with defaults. Raises FixtureError for a wrong, unknown or missing
    one."""
    known = [argument.name for argument in endpoint.arguments]
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise FixtureError(f"{endpoint.path}: unknown argument {name!r}{meant}; it {takes}")
    checked: dict[str, Json] = {}
    for argument in endpoint.arguments:
        value = given.get(argument.name, argument.default)
        if value is None and not argument.null:
            value = argument.default
        if value is not None:
            _check_kind(endpoint, argument, value)
        elif argument.is_required:
            raise FixtureError(
                f"{endpoint.path}: argument {argument.name!r} is missing, {_A[argument.kind]}"
            )
        checked[argument.name] = value
    return checked


def _check_kind(endpoint: Endpoint, argument: Argument, value: Json) -> None:
    kinds = _KINDS[argument.kind]
    is_right = isinstance(value, kinds) and isinstance(value, bool) == (kinds == (bool,))
    if not is_right:
        raise FixtureError(
            f"{endpoint.path}: argument {argument.name!r} is {value!r}, not {_A[argument.kind]}"
        )
    if argument.name == "timeout" and not 0 <= value <= MAX_WAIT_S:
        raise FixtureError(
            f"{endpoint.path}: argument 'timeout' is {value!r}, not 0 to {MAX_WAIT_S:g} seconds"
        )


_A: Final[Mapping[str, str]] = {
    "text": "a string",
    "integer": "an integer",
    "seconds": "a number of seconds",
    "boolean": "true or false",
    "data": 'a string or {"base64": "..."}',
    "tree": "an object of paths and data",
    "session": "a session id (a string such as 0x1000000000000001)",
    "error": "a code such as -101 or a name such as NoNode",
}


def _describe(argument: Argument) -> str:
    text = _A[argument.kind]
    if argument.null:
        text += f", or null: {argument.null}"
    if argument.is_required:
        return f"{text}; required"
    if argument.default is None:
        return f"{text}; optional"
    return f"{text}; default {str(argument.default).lower()}"


# --- values ---------------------------------------------------------------------------


def encode_data(data: bytes) -> Json:
    """Return a znode's data as JSON."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def decode_data(path: str, value: Json) -> bytes:
    """Return the bytes that ``encode_data`` has encoded; null stands for b"". Raises
    FixtureError."""
    if value is None:
        return b""
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and list(value) == ["base64"]:
            return base64.b64decode(value["base64"], validate=True)
    except (UnicodeEncodeError, binascii.Error, TypeError, ValueError) as error:
        raise FixtureError(f"the data of {path} is neither text nor base64: {error}") from None
    raise FixtureError(f"the data of {path} is {value!r}, not {_A['data']}")


def _session(session: SessionInfo) -> dict[str, Json]:
    return {
        "session": hex_id(session.session_id),
        "timeout": session.timeout,
        "address": session.address,
        "ephemerals": list(session.ephemerals),
    }


def _watch(watch: WatchInfo) -> dict[str, Json]:
    return {"path": watch.path, "kind": watch.kind, "session": hex_id(watch.session_id)}
