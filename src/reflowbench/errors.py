"""The one exception type that a user is meant to see as a message instead of a traceback."""


class ReflowbenchError(Exception):
    """Something the user can fix: names the parameter or file, and the remedy, in one paragraph."""
