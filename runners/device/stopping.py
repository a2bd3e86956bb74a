"""How work on a device ends when the user wants it to."""


class Stopped(Exception):  # noqa: N818 - not an error: the user told every device to stop
    """The command is being ended; nothing more is to be done on the device."""
