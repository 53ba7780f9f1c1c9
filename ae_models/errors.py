"""The one tree of errors that a user can cause, each a single clear line."""


class LatentbeamError(Exception):
    """Base of every error that is the caller's to mend; the command line exits with status 2."""


class ConfigError(LatentbeamError):
    """A configuration, flag or column name that cannot be used; the message holds the value."""


class InputError(LatentbeamError):
    """An input that does not exist, cannot be read as a whole, or holds no image."""


class BundleError(LatentbeamError):
    """A model bundle that is missing, damaged, altered or of an unknown format."""


class OutputError(LatentbeamError):
    """An output folder that is in use, holds results already, or cannot be written."""
