"""The single hierarchy of errors that a user can cause, each one clear line."""


class LatentbeamError(Exception):
    """Base of every error that the caller can fix, described in one line of text.

    Attributes:
      exit_status: of the command line.
    """

    exit_status = 2


class ConfigError(LatentbeamError):
    """A configuration, flag or column name that cannot be used; the message contains the value."""


class MissingExtraError(LatentbeamError):
    """An extra of this package that is not installed; the message names it."""


class InputError(LatentbeamError):
    """An input that does not exist, cannot be read at all, or contains no image."""


class BundleError(LatentbeamError):
    """A model bundle that is missing, damaged, altered or of an unknown format."""


class OutputError(LatentbeamError):
    """An output folder that is in use, already contains results, or cannot be written."""


class JobError(LatentbeamError):
    """A job that an engine did not complete; the message contains the engine's last message."""

    exit_status = 1


class StageError(LatentbeamError):
    """A stage that fails on every record: a broken model, or insufficient memory."""

    exit_status = 1


class TooManyRejectsError(LatentbeamError):
    """A run that rejected more records than its limit allows; the message counts them."""

    exit_status = 1


class EmptyRunError(LatentbeamError):
    """A run that scored no record although it was required to; the message counts what it read."""

    exit_status = 1
