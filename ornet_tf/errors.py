"""Errors that a user can mend. Scripts show them in one sentence; any other error is a bug and keeps its traceback."""


class UserError(ValueError):
    """Something that the user gave is wrong: an option, a file, a folder, a run.

    The message is for the user: what was expected, what came, and what to do. It needs no traceback to be understood.
    A `ValueError` or `TypeError` that is no `UserError` is a mistake in the code that calls.
    """

    # AutoGraph raises what comes out of a graph's Python code anew: in the same class if it has this very constructor.
    __init__ = Exception.__init__


class NotFiniteError(UserError, FloatingPointError):
    """A loss, a gradient, something that training accumulates, a weight or an output is NaN or infinite."""


class MissingPackageError(UserError, ImportError):
    """An optional package is not installed."""


class ImageRefusedError(UserError):
    """A model refuses a request because of what it contains: one of several images may be the reason."""
