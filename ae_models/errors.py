"""The one tree of errors that a user can cause, each a single clear line."""


class LatentbeamError(Exception):
    """Base of every error that is the caller's to mend, by one line of text.

    Attributes:
      exit_status: of the command line.
    """

    exit_status = 2


class ConfigError(LatentbeamError):
    """A configuration, flag or column name that cannot be used; the message holds the value."""


class MissingExtraError(LatentbeamError):
    """An extra of this package that is not installed; the message names it."""


class InputError(LatentbeamError):
    """An input that does not exist, cannot be read as a whole, or holds no image."""


class BundleError(LatentbeamError):
    """A model bundle that is missing, damaged, altered or of an unknown format."""


class OutputError(LatentbeamError):
    """An output folder that is in use, holds results already, or cannot be written."""


class JobError(LatentbeamError):
    """A job that an engine did not bring to its end; the message holds what it said last."""

    exit_status = 1


class StageError(LatentbeamError):
    """A stage that fails whatever record it is given: a broken model, or no memory to work in."""

    exit_status = 1


class TooManyRejectsError(LatentbeamError):
    """A run of which more records were rejected than its limit allows; the message counts them."""

    exit_status = 1


class EmptyRunError(LatentbeamError):
    """A run that scored no record and was not to end so; the message counts what it read."""

    exit_status = 1
