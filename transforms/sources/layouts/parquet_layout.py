"""Which columns of a Parquet file are images, ids and labels: by name and type, or as named."""

import dataclasses
import enum
from collections.abc import Iterable

import pyarrow as pa

from ae_models.config.validated import suggestion
from ae_models.errors import InputError
from transforms.records.batches import ID, IMAGE, carried_name
from transforms.records.pixels import Shape
from transforms.sources.layouts.axes import height_width_channels
from transforms.sources.options import ReadOptions

LABEL = "label"
_SPARK_FIELDS = {"height", "width", "nChannels", "mode", "data"}
_MOST_TOLD = 20  # columns listed in a message


class Form(enum.Enum):
    """How a column stores images."""

    BYTES = enum.auto()  # binary, or struct<bytes, path>: encoded, or raw if the metadata say so
    TENSOR = enum.auto()  # arrow.fixed_shape_tensor
    SPARK = enum.auto()  # Spark's image struct
    PATH = enum.auto()  # the path of a file, as text


@dataclasses.dataclass(frozen=True)
class Layout:
    """The columns of a file.

    image: the column of images, in the form `form`; the first image of a list is read.
    identifier: the column of ids; None: records are numbered.
    needs_identifier: whether a null id makes the record a reject; otherwise it is numbered.
    carried: pairs of a column, of the file or of its partition, and its output name.
    """

    image: str
    form: Form
    identifier: str | None
    needs_identifier: bool
    carried: tuple[tuple[str, str], ...]


def find_layout(
    schema: pa.Schema, options: ReadOptions, partition: Iterable[str] = (), strict: bool = True
) -> Layout:
    """The roles of the columns of `schema` and of a hive partition.

    Args:
      strict: whether a missing label column is an error.

    Raises:
      InputError: there is no column of images, or several, or a named column does not exist or has
        an unsupported type.
    """
    known = list(dict.fromkeys([*schema.names, *partition]))
    image = options.image_column or _image_column(schema)
    _check_known(image, schema.names, schema)
    form = image_form(schema.field(image).type)
    if form is None:
        raise InputError(
            f"{image!r} must be binary or struct<bytes, path>, Spark's image struct, a "
            "fixed_shape_tensor of uint8 or uint16 in the order H, W, C, a string (the path of a "
            f"file), or a list of one of these. Received: {schema.field(image).type}"
        )
    named = options.id_column
    if named is not None:
        _check_known(named, schema.names, schema)
    identifier = named or (ID if ID in schema.names else None)
    if identifier is not None and pa.types.is_nested(schema.field(identifier).type):
        kind = schema.field(identifier).type
        raise InputError(f"{identifier!r} must be a scalar column. Received: {kind}")
    if strict and options.label_column is not None:
        _check_known(options.label_column, known, schema)
    others = [name for name in known if name not in (image, identifier)]
    carried = tuple((name, _output_name(name, options)) for name in others)
    _check_apart(schema, [output for _, output in carried])
    return Layout(image, form, identifier, named is not None, carried)


def image_form(kind: pa.DataType) -> Form | None:
    """The form of images in a column of this type; None if it cannot contain images."""
    kind = plain_type(item_type(kind))
    if pa.types.is_struct(kind):
        names = {kind.field(index).name for index in range(kind.num_fields)}
        if names >= _SPARK_FIELDS and _is_binary(kind.field("data").type):
            return Form.SPARK
        has_bytes = "bytes" in names and _is_bytes(kind.field("bytes").type)
        return Form.BYTES if has_bytes else None
    if isinstance(kind, pa.FixedShapeTensorType):
        return Form.TENSOR if tensor_shape(kind) is not None else None
    if _is_binary(kind):
        return Form.BYTES
    return Form.PATH if _is_text(kind) else None


def tensor_shape(kind: pa.FixedShapeTensorType) -> Shape | None:
    """(H, W, C) of the images in a column of tensors; None if they are not readable images."""
    in_order = kind.permutation in (None, list(range(len(kind.shape))))
    if kind.value_type not in (pa.uint8(), pa.uint16()) or not in_order:
        return None
    try:
        shape, _ = height_width_channels(tuple(kind.shape))
    except InputError:
        return None
    return shape


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type may contain several images per record."""
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in lists)


def item_type(kind: pa.DataType) -> pa.DataType:
    """The type of a list's items; for other types, the type itself."""
    return kind.value_type if is_list(kind) else kind


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type without encodings: that of its values for a dictionary, as dictionaries differ from
    batch to batch, and that of the underlying data for a view. A column without values has no type
    and is treated as text."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_null(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind


def _image_column(schema: pa.Schema) -> str:
    """The column `image`, or the only column whose type indicates images: a struct or tensor made
    for images or, if there is none, binary."""
    if IMAGE in schema.names:
        return IMAGE
    forms = {field.name: image_form(field.type) for field in schema}
    made_for_images = [
        field.name
        for field in schema
        if forms[field.name] not in (None, Form.PATH) and not _is_binary(plain_type(field.type))
    ]
    found = made_for_images or [name for name, form in forms.items() if form is Form.BYTES]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"several columns may contain images: {', '.join(found)}; "
            "choose one with --image_column"
        )
    raise InputError(
        f"no {IMAGE!r} column, and no other whose type indicates images (available: "
        f"{_told(schema)}); name the column of images, or of image paths, with --image_column"
    )


def _output_name(name: str, options: ReadOptions) -> str:
    if options.label_column in (None, LABEL):
        return carried_name(name)
    if name == options.label_column:
        return LABEL
    return f"input_{LABEL}" if name == LABEL else carried_name(name)


def _check_known(name: str, known: Iterable[str], schema: pa.Schema) -> None:
    known = list(known)
    if name not in known:
        nearest = suggestion(name, known)
        told = nearest if "mean" in nearest else f" (available: {_told(schema)})"
        raise InputError(f"no column {name!r}{told}")


def _check_apart(schema: pa.Schema, outputs: list[str]) -> None:
    names = [*outputs, *schema.names]
    twice = {name for name in outputs if outputs.count(name) > 1}
    twice |= {name for name in schema.names if schema.names.count(name) > 1}
    if twice:
        told = ", ".join(sorted(twice, key=names.index))
        raise InputError(f"several columns would have the name {told}")


def _told(schema: pa.Schema) -> str:
    told = [f"{field.name}: {field.type}" for field in list(schema)[:_MOST_TOLD]]
    left = len(schema) - len(told)
    return ", ".join([*told, f"{left} more"] if left else told) or "none"


def _is_bytes(kind: pa.DataType) -> bool:
    """Also True for a column of nulls only: paths may be given in another field."""
    return _is_binary(kind) or pa.types.is_null(kind)


def _is_binary(kind: pa.DataType) -> bool:
    checks = (
        *(pa.types.is_binary, pa.types.is_large_binary),
        *(pa.types.is_fixed_size_binary, pa.types.is_binary_view),
    )
    return any(check(kind) for check in checks)


def _is_text(kind: pa.DataType) -> bool:
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(check(kind) for check in checks)
