"""The commands, as thin as they can be: they load an app, and run its worker."""

from tasqueue.cli.command import main

__all__ = ["main"]
