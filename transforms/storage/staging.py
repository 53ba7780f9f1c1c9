"""Where a run's files are until it has succeeded, and errors in writing them."""

import contextlib
import posixpath
from collections.abc import Iterator

from ae_models.errors import LatentbeamError, OutputError
from transforms.storage.paths import is_local

STAGING = ".staging-"


def staging_folder(output: str, run_id: str) -> str:
    """Where a run's files are until it has succeeded; readers ignore names with a leading dot."""
    return posixpath.join(output, f"{STAGING}{run_id}")


@contextlib.contextmanager
def output_errors(folder: str) -> Iterator[None]:
    """Turns errors in writing to `folder`, a run's folder or its staging area, into an OutputError
    with the run's folder and the reason, for example a full disk."""
    try:
        yield
    except LatentbeamError:
        raise
    except Exception as error:
        if is_local(folder) and not isinstance(error, OSError):
            raise  # an error in this program, not of the file system
        output = folder.partition(f"/{STAGING}")[0]
        raise OutputError(f"cannot write to {output}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The system's message, from errors that Beam has wrapped once or twice."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        return _reason(next(iter(details.values())))
    if len(error.args) == 1 and isinstance(error.args[0], OSError):
        return _reason(error.args[0])
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"
