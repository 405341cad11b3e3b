"""The exception for errors that the user can fix."""


class UserError(ValueError):
    """Bad input. The message is one sentence: the thing, what was expected, what to do.

    Command lines print it as `error: ...` and exit with status 1, without a traceback.
    """
