"""Checks what a bundle's SavedModel contains, reading its file before TensorFlow loads it or is
even imported.

TensorFlow runs whatever a graph contains, and some operations read or write files, load libraries
or call Python. Only operations that compute with tensors are allowed, by name; all others are
refused.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ae_models.bundles.saved_model_proto import SavedModel
from ae_models.errors import BundleError

_MOST_ELEMENTS = 1 << 26  # in a constant, which a few bytes may describe
# The operations of our exports, and similar ones: all map tensors to tensors without side effects.
_COMPUTING = frozenset(
    """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool
    AvgPoolGrad BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BesselI0e BesselI1e
    Betainc BiasAdd BiasAddGrad Bincount BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs
    BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil Cholesky CholeskyGrad ClipByValue
    Complex ComplexAbs Concat ConcatOffset ConcatV2 Const Conv2D Conv2DBackpropFilter
    Conv2DBackpropInput Conv3D Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp
    DenseBincount DepthToSpace DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter
    DepthwiseConv2dNativeBackpropInput Diag DiagPart Digamma Div DivNoNan DynamicPartition
    DynamicStitch Einsum Elu EluGrad Empty EmptyTensorList EncodePng EnsureShape Equal Erf
    Erfc Erfinv Exp ExpandDims Expm1 FFT FFT2D Fill Floor FloorDiv FloorMod FusedBatchNormV3
    Gather GatherNd GatherV2 Greater GreaterEqual Identity IdentityN If IFFT2D Igamma
    Igammac Imag InTopKV2 Inv InvertPermutation InvGrad IRFFT2D IsFinite IsInf IsNan L2Loss
    LeakyRelu LeakyReluGrad LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogicalAnd
    LogicalNot LogicalOr LogMatrixDeterminant LogSoftmax MatMul MatrixBandPart
    MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3
    MatrixDiagV2 MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3
    MatrixSolve MatrixTriangularSolve Max Maximum MaxPool MaxPoolGrad MaxPoolV2 Mean Min
    Minimum MirrorPad MirrorPadGrad Mod Mul MulNoNan Ndtri Neg NextAfter NoOp NotEqual
    OneHot OnesLike Pack Pad PadV2 PartitionedCall Placeholder Polygamma Pow PreventGradient
    Prod Qr RandomStandardNormal RandomUniform RandomUniformInt Range Rank ReadVariableOp
    Real RealDiv Reciprocal ReciprocalGrad Relu Relu6 Relu6Grad ReluGrad Reshape ResizeArea
    ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reverse ReverseV2 RFFT2D RightShift
    Rint Roll Round Rsqrt RsqrtGrad ScatterNd Select SelectV2 SelfAdjointEigV2 Selu SeluGrad
    Shape ShapeN Sigmoid SigmoidGrad Sign Sin Sinh Size Slice Snapshot Softmax Softplus
    SoftplusGrad Softsign SoftsignGrad SpaceToBatchND SpaceToDepth Split SplitV Sqrt
    SqrtGrad Square SquaredDifference Squeeze StatefulPartitionedCall StatelessIf
    StatelessMultinomial StatelessRandomGetAlg StatelessRandomGetKeyCounter
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform
    StatelessRandomUniformInt StatelessRandomUniformV2 StatelessTruncatedNormal
    StatelessTruncatedNormalV2 StatelessWhile StopGradient StridedSlice StridedSliceGrad
    StringLength Sub Sum Svd Tan Tanh TanhGrad TensorListElementShape TensorListFromTensor
    TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListSetItem TensorListStack TensorScatterAdd
    TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncatedNormal TruncateMod
    Unique UniqueV2 Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
    UnsortedSegmentSum Where While Xdivy Xlog1py Xlogy ZerosLike Zeta
    """.split()  # noqa: SIM905 - at one per line, they would fill four screens
)
# The operations of the two functions that TensorFlow adds to save and restore variables, for
# programs of its first version. Loading restores variables without calling either, and nothing else
# here may call them: no function of the graph, and no object that is loaded.
_SAVING = frozenset(
    {
        *("AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2"),
        *("ShardedFilename", "StaticRegexFullMatch", "StringJoin"),
    }
)
# Nothing runs the graph around the functions: only its variables' and constants' values are read.
_AROUND = frozenset(
    {
        *("Const", "NoOp", "PartitionedCall", "Placeholder", "ReadVariableOp"),
        *("StatefulPartitionedCall", "VarHandleOp"),
    }
)
# Tables, assets and the classes of other libraries have different kinds and names.
_OBJECTS = {
    *("bare_concrete_function", "captured_tensor", "constant", "function", "user_object"),
    "variable",
}
_IDENTIFIERS = {
    *("_generic_user_object", "signature_map", "trackable_dict_wrapper"),
    *("trackable_list_wrapper", "trackable_tuple_wrapper"),
}
_REGISTERED = {"", "tf.TrackableConstant"}


def check_graph(file: Path, name: str) -> None:
    """Reads a `saved_model.pb` without running any of it.

    Args:
      file: the file.
      name: the file's name in error messages.

    Raises:
      BundleError: it is not a SavedModel, or has an operation or an object that no bundle needs.
    """
    try:
        model = SavedModel.FromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise BundleError(f"{name} is not a SavedModel: {error}") from error
    # With several graphs, or one without objects, TensorFlow would run nodes outside the functions.
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        raise BundleError(f"{name} was not written by tf.saved_model.save")
    graph = model.meta_graphs[0]
    try:
        _check_functions(graph)
        _check_objects(graph)
    except _RefusedError as error:
        raise BundleError(f"{name} contains {error}") from error


class _RefusedError(Exception):
    """Something that a graph must not contain."""


def _check_functions(graph: Any) -> None:
    library = graph.graph_def.library
    names = {function.signature.name for function in library.function}
    if library.gradient or graph.asset_file_def:
        raise _RefusedError("gradients or assets, which no bundle has")
    _check_operations(graph.graph_def.node, _AROUND)
    saving, called = set[str](), set[str]()
    for function in library.function:
        if _check_operations(function.node_def, _COMPUTING | names, _SAVING):
            saving.add(function.signature.name)
        else:
            called.update(_called(function.node_def))
    called.update(_functions_of_objects(graph))
    # Keras' SiLU has its own gradient, which TensorFlow registers when it loads the graph.
    called.update(gradient.gradient_func for gradient in library.registered_gradients)
    if reached := sorted(saving & called):
        raise _RefusedError(f"a call of {reached[0]}, which reads or writes files")


def _check_operations(
    nodes: Iterable[Any], allowed: frozenset[str], more: frozenset[str] = frozenset()
) -> bool:
    """Whether there are operations in `more` besides the allowed ones."""
    others = set()
    for node in nodes:
        if node.op not in allowed:
            others.add(node.op)
        elif node.op == "Const":
            shape = node.attr["value"].tensor.tensor_shape
            if math.prod(dimension.size for dimension in shape.dim) > _MOST_ELEMENTS:
                raise _RefusedError(f"a constant with more than {_MOST_ELEMENTS} elements")
    if refused := sorted(others - more):
        raise _RefusedError(f"the operation {refused[0]}, which no bundle needs")
    return bool(others)


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """The functions that nodes refer to, as operations or in their attributes."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            for function in value.list.func:
                yield function.name


def _functions_of_objects(graph: Any) -> Iterator[str]:
    objects = graph.object_graph_def
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield node.bare_concrete_function.concrete_function_name
        yield node.captured_tensor.concrete_function
        yield from node.function.concrete_functions


def _check_objects(graph: Any) -> None:
    for node in graph.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _OBJECTS:
            raise _RefusedError(f"an object of kind {kind}, which no bundle has")
        registered = (node.registered_name, node.registered_saver)
        if registered[0] not in _REGISTERED or registered[1] or node.saveable_objects:
            raise _RefusedError(f"an object of class {registered}, which no bundle has")
        if kind == "user_object" and node.user_object.identifier not in _IDENTIFIERS:
            raise _RefusedError(
                f"an object of class {node.user_object.identifier!r}, which no bundle has"
            )
