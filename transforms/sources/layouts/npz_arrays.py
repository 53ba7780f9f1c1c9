"""Which arrays of a NumPy archive are images, labels and ids: by the usual names, or by shape."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ae_models.config.validated import suggestion
from ae_models.errors import InputError
from transforms.sources.options import ReadOptions

_IMAGES = ("x", "X", "images", "image", "imgs", "data")
_LABELS = {"x": ("y",), "X": ("Y", "y"), "data": ("labels", "target", "y"), "imgs": ("labels",)}
_MOST_TOLD = 20


class Arrays(NamedTuple):
    """The names of a set's arrays in the archive."""

    images: str
    labels: str | None
    ids: str | None


def choose_arrays(
    names: Sequence[str],
    part: str,
    options: ReadOptions,
    shape_of: Callable[[str], tuple[int, ...]],
) -> Arrays:
    """The arrays of a set of images.

    Args:
      names: the names of all arrays.
      part: the part after `.npz#`, for example `test` for `x_test`, or the name of an array.
      shape_of: returns the shape of an array; may raise InputError.

    Raises:
      InputError: there is no array of images, or several, or a named array does not exist.
    """
    given = (options.image_column, options.label_column, options.id_column)
    for name in filter(None, given):
        if name not in names:
            raise InputError(f"no array {name!r}{suggestion(name, names)}")
    if options.image_column is not None:
        images = options.image_column
    elif part:
        images = _of_part(names, part)
    else:
        images = _alone(names, shape_of)
    labels = options.label_column or next((it for it in _label_names(images) if it in names), None)
    return Arrays(images, labels, options.id_column)


def _of_part(names: Sequence[str], part: str) -> str:
    for form in ("x_{}", "X_{}", "{}_images", "images_{}", "{}_x", "{}_X", "{}_data", "{}"):
        if (name := form.format(part)) in names:
            return name
    parts = _parts(names)
    told = f"; did you mean #{suggested}?" if (suggested := _nearest(part, parts)) else ""
    raise InputError(
        f"no array {f'x_{part}'!r} or {f'{part}_images'!r} (available: {_told(names)}){told}"
    )


def _alone(names: Sequence[str], shape_of: Callable[[str], tuple[int, ...]]) -> str:
    if usual := [name for name in _IMAGES if name in names]:
        return usual[0]
    if parts := _parts(names):
        if len(parts) == 1:
            return next(iter(parts.values()))
        told = ", ".join(f"#{part} ({name})" for part, name in parts.items())
        raise InputError(f"several sets of images: {told}; append one of them to .npz")
    shapes = {name: shape_of(name) for name in names}
    of_images = [name for name, shape in shapes.items() if len(shape) >= 3]
    if len(of_images) == 1:
        return of_images[0]
    shown = [f"{name} {list(shape)}" for name, shape in shapes.items()]
    if of_images:
        raise InputError(
            f"several arrays may be images (available: {_told(shown)}); "
            "choose one with --image_column"
        )
    raise InputError(f"no array of images, (N, H, W) or (N, H, W, C) (available: {_told(shown)})")


def _parts(names: Sequence[str]) -> dict[str, str]:
    """The arrays of images whose name contains a part, by that part."""
    found: dict[str, str] = {}
    for name in names:
        for part in _named_parts(name):
            found.setdefault(part, name)
    return found


def _named_parts(name: str) -> Iterator[str]:
    for usual in ("x", "X", "images", "data"):
        if name.startswith(f"{usual}_"):
            yield name.removeprefix(f"{usual}_")
        elif name.endswith(f"_{usual}"):
            yield name.removesuffix(f"_{usual}")


def _nearest(part: str, parts: dict[str, str]) -> str | None:
    if not parts:
        return None
    told = suggestion(part, parts)
    return told.split("'")[1] if "mean" in told else next(iter(parts))


def _label_names(images: str) -> Iterator[str]:
    """The possible names of the labels that belong to images of this name."""
    for usual in (*_LABELS, "images", "image"):
        labels = _LABELS.get(usual, (usual.replace("image", "label"),))
        for label in labels:
            if images == usual:
                yield label
            elif images.startswith(f"{usual}_"):
                yield f"{label}_{images.removeprefix(f'{usual}_')}"
            elif images.endswith(f"_{usual}"):
                yield f"{images.removesuffix(f'_{usual}')}_{label}"


def _told(names: Sequence[str]) -> str:
    told = list(names[:_MOST_TOLD])
    left = len(names) - len(told)
    return ", ".join([*told, f"{left} more"] if left else told) or "none"
