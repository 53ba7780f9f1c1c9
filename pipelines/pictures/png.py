"""A figure as a PNG file, here or on an object store."""

import io
import os
import posixpath

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from matplotlib.figure import Figure

from ae_models.errors import OutputError
from pipelines.pictures.text import missing_glyphs
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
    with missing_glyphs():
        figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    with (
        output_errors(posixpath.dirname(path) or "."),
        FileSystems.create(
            path, mime_type="image/png", compression_type=CompressionTypes.UNCOMPRESSED
        ) as file,
    ):
        file.write(content.getvalue())
