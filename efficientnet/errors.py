"""Errors that the user can fix."""

import contextlib
from collections.abc import Callable, Iterator


class UserError(ValueError):
    """Bad input. The message is one sentence: the thing, what was expected, what to do.

    Command lines print it as `error: ...` and exit with status 1, without a traceback.
    """


@contextlib.contextmanager
def explained(explain: Callable[[Exception], str | None]) -> Iterator[None]:
    """Turns the errors for which `explain` has a sentence into a `UserError`."""
    try:
        yield
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise UserError(sentence) from error
