"""A figure as a PNG file, here or on an object store."""

import io
import os
import posixpath
import warnings

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from matplotlib.figure import Figure

from ae_models.errors import OutputError
from transforms.files import is_local
from transforms.staging import output_errors

DOTS_PER_INCH = 120


def check_picture(path: str) -> None:
    """Whether a picture can be written there; one that is there already is replaced.

    Raises:
      OutputError: the name does not end in .png, is a folder's, or its folder is not there.
    """
    if not path.lower().endswith(".png"):
        raise OutputError(f"a picture's name must end in .png. Received: {path!r}")
    if not is_local(path):
        return
    if os.path.isdir(path):
        raise OutputError(f"{path} is a folder")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise OutputError(f"cannot write {path}: there is no folder {folder}")


def write_png(figure: Figure, path: str) -> None:
    """Writes a figure; the same figure gives the same bytes.

    Raises:
      OutputError: it cannot be written.
    """
    content = io.BytesIO()
    with warnings.catch_warnings():
        # An id may be in a script that matplotlib's font lacks: boxes stand for it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    with (
        output_errors(posixpath.dirname(path) or "."),
        FileSystems.create(
            path, mime_type="image/png", compression_type=CompressionTypes.UNCOMPRESSED
        ) as file,
    ):
        file.write(content.getvalue())
