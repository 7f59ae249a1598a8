"""Errors that a user can fix. Programs report them in one sentence; other errors are bugs and show a traceback."""


class UserError(ValueError):
    """The user gave something wrong: an option, a file, a folder or a run.

    The message is for the user: what was expected, what came, and what to do. It is clear without a traceback.
    A `ValueError` or `TypeError` that is not a `UserError` is a mistake in the calling code.
    """

    # AutoGraph re-raises an error of a graph's Python code in the same class only if it has exactly this constructor.
    __init__ = Exception.__init__


class NotFiniteError(UserError, FloatingPointError):
    """A loss, a gradient, an accumulated statistic, a weight or an output is NaN or infinite."""


class MissingPackageError(UserError, ImportError):
    """An optional package is not installed."""


class ImageRefusedError(UserError):
    """A model refuses a request because of what it contains: one of several images may be the reason."""
