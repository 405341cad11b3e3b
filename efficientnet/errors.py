"""The one exception that says the user can mend something."""


class UserError(ValueError):
    """Bad input: its message is one sentence that names the thing, what was expected, what to do.

    Command lines print it as `error: ...` and exit with status 1, without a traceback.
    """
