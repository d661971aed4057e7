"""Numbers on the command line, and the messages about what is not a number or out of range.

Shell. click speaks of integer ranges; this says what the number is, and its least and greatest
value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import click

DEFAULT_TIMEOUT_S: Final = 3.0
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Number(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A number from ``low`` to ``high``, without a limit if that is None, whole where ``low`` is.

    ``meaning`` says what it is, with its article: "a number of servers".
    """

    name = "number"

    def __init__(self, meaning: str, low: float, high: float | None = None) -> None:
        self._meaning = meaning
        self._low = low
        self._high = high
        self._kind: type[int] | type[float] = int
        if isinstance(low, float):
            self._kind = float

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """Return the number, or fail with a message that says what is expected."""
        try:
            number = self._kind(value)
        except ValueError:
            self._refuse(value, param, ctx)
        if math.isnan(number) or number < self._low:
            self._refuse(value, param, ctx)
        if self._high is not None and number > self._high:
            self._refuse(value, param, ctx)
        return number

    def _refuse(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> NoReturn:
        to = f"{self._low:g} or more" if self._high is None else f"{self._low:g} to {self._high:g}"
        self.fail(f"{value!r} is not {self._meaning}; give {to}.", param, ctx)


def timeout_option(what: str) -> Callable[[_Command], _Command]:
    """Return the option --timeout of commands that ask servers, with its help; the function of
    the command has the parameter ``timeout_s``."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=Number("a number of seconds", 0.1, 600),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help=what,
    )
