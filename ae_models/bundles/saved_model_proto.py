"""The parts of TensorFlow's `SavedModel` message that are checked, without TensorFlow, whose import
takes seconds and which would run in a process that only reads.

Names and numbers are those of `tensorflow/core/protobuf/saved_model.proto` and its imports. Reading
skips whatever is not declared here, as usual in protocol buffers.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# MESSAGE FIELD NUMBER TYPE: `*` if repeated, `{}` if a map from text, `|` if it belongs to the
# message's one group in which only the last value set counts. All members of such a group are
# declared; if they were not, two values might be read where TensorFlow reads only the second.
_SCHEMA = """
SavedModel meta_graphs 2 MetaGraphDef*
MetaGraphDef graph_def 2 GraphDef
MetaGraphDef asset_file_def 6 Other*
MetaGraphDef object_graph_def 7 SavedObjectGraph
GraphDef node 1 NodeDef*
GraphDef library 2 FunctionDefLibrary
FunctionDefLibrary function 1 FunctionDef*
FunctionDefLibrary gradient 2 Other*
FunctionDefLibrary registered_gradients 3 RegisteredGradient*
RegisteredGradient gradient_func 1 string
FunctionDef signature 1 OpDef
FunctionDef node_def 3 NodeDef*
OpDef name 1 string
NodeDef op 2 string
NodeDef attr 5 AttrValue{}
AttrValue list 1 ListValue|
AttrValue s 2 bytes|
AttrValue i 3 int64|
AttrValue f 4 float|
AttrValue b 5 bool|
AttrValue type 6 int32|
AttrValue shape 7 TensorShapeProto|
AttrValue tensor 8 TensorProto|
AttrValue placeholder 9 string|
AttrValue func 10 NameAttrList|
ListValue func 9 NameAttrList*
NameAttrList name 1 string
TensorProto tensor_shape 2 TensorShapeProto
TensorShapeProto dim 2 Dim*
Dim size 1 int64
SavedObjectGraph nodes 1 SavedObject*
SavedObjectGraph concrete_functions 2 Other{}
SavedObject user_object 4 SavedUserObject|
SavedObject asset 5 Other|
SavedObject function 6 SavedFunction|
SavedObject variable 7 Other|
SavedObject bare_concrete_function 8 SavedBareConcreteFunction|
SavedObject constant 9 Other|
SavedObject resource 10 Other|
SavedObject captured_tensor 12 CapturedTensor|
SavedObject saveable_objects 11 Other{}
SavedObject registered_name 13 string
SavedObject registered_saver 16 string
SavedUserObject identifier 1 string
SavedFunction concrete_functions 1 string*
SavedBareConcreteFunction concrete_function_name 1 string
CapturedTensor concrete_function 2 string
"""
_GROUPS = {"AttrValue": "value", "SavedObject": "kind"}
_PACKAGE = "latentbeam.saved_model"
_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
}


def _file() -> FileDescriptorProto:
    """The schema as a protocol buffers descriptor."""
    file = FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    messages = {"Other": file.message_type.add(name="Other")}
    for message, name, number, kind in map(str.split, _SCHEMA.strip().splitlines()):
        if message not in messages:
            messages[message] = file.message_type.add(name=message)
        _declare(messages[message], name, int(number), kind)
    return file


def _declare(message: DescriptorProto, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number)
    if kind.endswith("{}"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _declare(entry, "key", 1, "string")
        _declare(entry, "value", 2, kind.removesuffix("{}"))
        kind = f"{message.name}.{entry.name}*"
    elif kind.endswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name=_GROUPS[message.name])
        field.oneof_index = 0
    bare = kind.rstrip("*|")
    field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
    field.type = _SCALARS.get(bare, field.TYPE_MESSAGE)
    if field.type == field.TYPE_MESSAGE:
        field.type_name = f".{_PACKAGE}.{bare}"


_pool = DescriptorPool()  # separate: TensorFlow, if loaded, registers its messages too
_pool.Add(_file())
SavedModel: Any = GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.SavedModel"))
