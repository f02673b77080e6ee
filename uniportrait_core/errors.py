"""The one error that users are meant to read."""


class UniPortraitError(Exception):
    """Bad input, in two sentences: what was found against what is needed, then what to do about it."""
