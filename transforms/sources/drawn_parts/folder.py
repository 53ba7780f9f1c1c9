"""The pictures of parts as files, in a folder with the layout of MVTec AD."""

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from transforms.sources.drawn_parts.album import PICTURES, PartPicture, jpeg
from transforms.sources.drawn_parts.part import GOOD

_AT_ONCE = 2  # drawing releases the interpreter lock


def write_parts(folder: Path) -> Iterator[int]:
    """Writes `train/good/*.jpg`, `test/KIND/*.jpg` and `ground_truth/KIND/*_mask.png`.

    Yields:
      How many pictures are written.

    Raises:
      OSError: the folder cannot be written.
    """
    files = [folder / picture.name for picture in PICTURES]
    files += [folder / picture.mask_name for picture in PICTURES if picture.kind != GOOD]
    for parent in {file.parent for file in files}:
        parent.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        written = pool.map(lambda picture: _write(folder, picture), PICTURES)
        yield from (count for count, _ in enumerate(written, 1))


def _write(folder: Path, picture: PartPicture) -> None:
    drawing = picture.draw()
    (folder / picture.name).write_bytes(jpeg(drawing.pixels))
    if picture.kind != GOOD:
        Image.fromarray(drawing.mask).save(folder / picture.mask_name)
