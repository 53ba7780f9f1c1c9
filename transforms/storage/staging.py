"""Where a run's files lie until it has succeeded, and what goes wrong in writing them."""

import contextlib
import posixpath
from collections.abc import Iterator

from ae_models.errors import LatentbeamError, OutputError
from transforms.storage.paths import is_local

STAGING = ".staging-"


def staging_folder(output: str, run_id: str) -> str:
    """Where a run's files lie until it has succeeded; readers pass over dotted names."""
    return posixpath.join(output, f"{STAGING}{run_id}")


@contextlib.contextmanager
def output_errors(folder: str) -> Iterator[None]:
    """Turns what goes wrong in writing to `folder`, a run's or its staging area, into an
    OutputError that names the run's folder and the reason, such as a disk that is full."""
    try:
        yield
    except LatentbeamError:
        raise
    except Exception as error:
        if is_local(folder) and not isinstance(error, OSError):
            raise  # of a mistake here, not of the file system
        output = folder.partition(f"/{STAGING}")[0]
        raise OutputError(f"cannot write to {output}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What the system said, of errors that Beam has wrapped once or twice."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        return _reason(next(iter(details.values())))
    if len(error.args) == 1 and isinstance(error.args[0], OSError):
        return _reason(error.args[0])
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"
