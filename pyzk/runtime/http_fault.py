"""What is said of something that is no request of HTTP: never a byte of it.

Shell. aiohttp's errors quote what they are about, and a broken line may be the one with a password.
The log is shown by the console, and an answer may be read by whoever has put bytes behind those of
somebody else, so neither has more than aiohttp's own words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

from aiohttp import http_exceptions, web

from pyzk.admin.answer import BAD_REQUEST
from pyzk.outsiders import about

log = logging.getLogger(__name__)

COMMON_HEADERS: Final = {"Server": "pyzk", "X-Content-Type-Options": "nosniff"}
"""The headers of every answer; without the first one aiohttp tells its version and Python's."""
_SPEAKING: Final = (
    http_exceptions.BadHttpMessage,
    http_exceptions.BadHttpMethod,
    http_exceptions.BadStatusLine,
    http_exceptions.InvalidHeader,
    http_exceptions.LineTooLong,
)
"""Errors, each without its subclasses, whose texts begin with words of aiohttp."""
_quotes: Final = re.compile(r"[:\n]|\sb?['\"]")
"""Where a text begins to quote."""


def what_is_wrong(error: object) -> str:
    """Return the words of an error of aiohttp before what it quotes; "" if it has none."""
    if not isinstance(error, http_exceptions.HttpProcessingError) or type(error) not in _SPEAKING:
        return ""
    return _quotes.split(error.message, maxsplit=1)[0].strip()[:80]


class QuietHandler(web.RequestHandler):
    """The protocol of one connection, whose answers to what is no request quote nothing."""

    __slots__ = ()

    @property
    def has_more(self) -> bool:
        """Whether something has come behind the request that is being answered: another one, or
        what is none."""
        return bool(self._messages)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what is no request, or a bug outside of the pages."""
        said = what_is_wrong(exc)
        if status == BAD_REQUEST:
            said = said or "Bad Request"
        response = super().handle_error(request, status, exc, said)
        response.headers.update(COMMON_HEADERS)
        return response


class Complaints(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp has to say: one line, without a trace, for what a stranger has sent."""

    def __init__(self, name: str) -> None:
        super().__init__(log, {})
        self._name = name

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Takes whatever goes wrong outside of a handler: a request that is none, in general."""
        error = kwargs.get("exc_info")
        if not isinstance(error, BaseException):
            super().log(level, msg, *args, **kwargs)
            return
        host = str(args[0]) if args else ""
        said = what_is_wrong(error)
        log.log(
            min(level, logging.INFO),
            "%s: no request of HTTP from %s: %s",
            self._name,
            host,
            f"{type(error).__name__}, {said}" if said else type(error).__name__,
            extra=about(host),
        )

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Returns both as they are."""
        return msg, kwargs
