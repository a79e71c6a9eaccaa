"""The one exception for input that cannot be used."""


class InputError(ValueError):
    """A file or a setting that cannot be used.

    The message names the file, the value found and the mend.
    """
