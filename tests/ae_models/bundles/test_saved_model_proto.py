"""The messages with which a graph is checked, compared with TensorFlow's own."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tensorflow.core.protobuf import saved_model_pb2

from ae_models.bundles.saved_model_proto import SavedModel

_EMPTY = "Other"  # a message whose content is not checked


def _facts(field: FieldDescriptor) -> tuple[Any, ...]:
    # An enumeration is read as the number that represents it.
    kind = field.TYPE_INT32 if field.type == field.TYPE_ENUM else field.type
    group = field.containing_oneof
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    return field.name, kind, field.is_repeated, group and group.name, is_map


def _pairs(ours: Descriptor, theirs: Descriptor) -> Iterator[tuple[Descriptor, Descriptor]]:
    """Each declared message with TensorFlow's message in the same place."""
    found = {ours.full_name: (ours, theirs)}
    waiting = [(ours, theirs)]
    while waiting:
        own, other = waiting.pop()
        yield own, other
        for field in own.fields:
            message = field.message_type
            if message and message.name != _EMPTY and message.full_name not in found:
                found[message.full_name] = (
                    message,
                    other.fields_by_number[field.number].message_type,
                )
                waiting.append(found[message.full_name])


def test_every_field_is_tensorflows() -> None:
    pairs = list(_pairs(SavedModel.DESCRIPTOR, saved_model_pb2.SavedModel.DESCRIPTOR))
    assert len(pairs) > 20
    for ours, theirs in pairs:
        for field in ours.fields:
            assert _facts(field) == _facts(theirs.fields_by_number[field.number]), ours.name


def test_groups_of_which_the_last_counts_are_declared_as_a_whole() -> None:
    pairs = _pairs(SavedModel.DESCRIPTOR, saved_model_pb2.SavedModel.DESCRIPTOR)
    groups = {}
    for ours, theirs in pairs:
        for group in theirs.oneofs:
            if any(field.number in ours.fields_by_number for field in group.fields):
                own = ours.oneofs_by_name[group.name]
                assert {f.name for f in own.fields} == {f.name for f in group.fields}
                groups[ours.name] = group.name
    assert groups == {"AttrValue": "value", "SavedObject": "kind"}
