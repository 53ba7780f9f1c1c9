"""Malicious bundles with matching fingerprints: refused by name, without running any of them."""

import hashlib
import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.keras_check import load_keras_model
from ae_models.bundles.scorer import Scorer
from ae_models.errors import BundleError
from tests.support.signing import write_signed
from transforms.scoring.model_handler import LoadedModel

Bundles = Callable[[str], Path]


@pytest.fixture
def copy(bundle: Bundles, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(bundle("ae"), tmp_path / "copy"))


def _sign(bundle: Path, **changes: Any) -> None:
    """Writes the manifest that the author of these files would write."""
    manifest = json.loads((bundle / "manifest.json").read_text()) | changes
    files = (file for file in bundle.rglob("*") if file.is_file() and file.name != "manifest.json")
    manifest["files"] = {
        file.relative_to(bundle).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    write_signed(bundle, manifest)


def _refused(bundle: Path, message: str) -> None:
    for attempt in (open_bundle, lambda path: LoadedModel(str(path))):
        with pytest.raises(BundleError, match=message):
            attempt(bundle)


def _graph_of(function: Callable[[tf.Tensor], tf.Tensor], bundle: Path, graph: str) -> None:
    """Puts a SavedModel into the bundle in which every signature computes `function`."""
    module = tf.Module()
    spec = tf.TensorSpec((None, 8, 8, 1), tf.uint8, name="pixels")

    def scored(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        x = function(tf.cast(pixels, tf.float32))
        return {"latent_mean": x[:, 0, :6, 0], "score_reconstruction": x[:, 0, 0, 0]}

    concrete = tf.function(scored).get_concrete_function(spec)
    names = ("score", "score_with_maps", "reconstruct")
    shutil.rmtree(bundle / graph)
    module.kept = concrete
    tf.saved_model.save(module, str(bundle / graph), signatures=dict.fromkeys(names, concrete))


def _harmful(kind: str, mark: Path) -> Callable[[tf.Tensor], tf.Tensor]:
    """Adds to x, or executes, an operation that creates `mark` if it is run."""

    def called(x: Any) -> Any:
        mark.write_text("called")
        return x

    def function(x: tf.Tensor) -> tf.Tensor:
        if kind == "ReadFile":
            text = tf.io.read_file("/etc/passwd")
            return x + tf.cast(tf.strings.length(text), tf.float32)
        if kind == "WriteFile":
            with tf.control_dependencies([tf.io.write_file(str(mark), "written")]):
                return tf.identity(x)
        if kind == "PrintV2":
            tf.print("printed", output_stream=f"file://{mark}")
            return x
        if kind == "SaveV2":
            written = tf.raw_ops.SaveV2(
                prefix=str(mark), tensor_names=["x"], shape_and_slices=[""], tensors=[x]
            )
            with tf.control_dependencies([written]):
                return tf.identity(x)
        if kind == "EagerPyFunc":
            return tf.ensure_shape(tf.py_function(called, [x], tf.float32), x.shape)
        return tf.ensure_shape(tf.numpy_function(called, [x], tf.float32), x.shape)

    return function


HARM = ("ReadFile", "WriteFile", "PrintV2", "SaveV2", "EagerPyFunc", "PyFunc")


@pytest.mark.parametrize("graph", ["scoring", "transform_fn/transform_fn"])
@pytest.mark.parametrize("kind", HARM)
def test_a_graph_that_reads_writes_or_calls_is_refused(
    copy: Path, tmp_path: Path, kind: str, graph: str
) -> None:
    mark = tmp_path / "mark"
    _graph_of(_harmful(kind, mark), copy, graph)
    _sign(copy)
    what = "a call of .*, which reads" if kind == "SaveV2" else f"the operation {kind}"
    _refused(copy, f"{re.escape(graph)}/saved_model.pb contains {what}")
    assert not list(tmp_path.glob("mark*"))
    # The harm is real: TensorFlow itself runs it.
    if kind != "ReadFile":
        model = tf.saved_model.load(str(copy / graph))
        model.signatures["score"](pixels=tf.zeros((1, 8, 8, 1), tf.uint8))
        assert list(tmp_path.glob("mark*"))


def test_harm_in_a_function_that_another_calls_is_refused(copy: Path, tmp_path: Path) -> None:
    inner = tf.function(_harmful("WriteFile", tmp_path / "mark"))
    _graph_of(lambda x: tf.map_fn(inner, x), copy, "scoring")
    _sign(copy)
    _refused(copy, "the operation WriteFile")
    assert not (tmp_path / "mark").exists()


def test_a_graph_that_only_computes_is_not_refused(copy: Path) -> None:
    _graph_of(lambda x: tf.nn.relu(x) * 2.0, copy, "scoring")
    _sign(copy)
    open_bundle(copy)
    with pytest.raises(BundleError, match=r"cannot load scoring: .*score does not return"):
        LoadedModel(str(copy))  # its outputs differ from the configuration


def _edited(edit: Callable[[Any], None]) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        file = bundle / "scoring" / "saved_model.pb"
        model = SavedModel.FromString(file.read_bytes())
        edit(model)
        file.write_bytes(model.SerializeToString())

    return change


def _saver_called(model: Any) -> None:
    """A signature's function that calls the one that writes the variables to a path."""
    functions = model.meta_graphs[0].graph_def.library.function
    saver = next(each for each in functions if "traced_save" in each.signature.name)
    other = next(each for each in functions if "signature_wrapper" in each.signature.name)
    node = other.node_def.add(name="harm", op="StatefulPartitionedCall")
    node.attr["f"].func.name = saver.signature.name


def _saver_given(model: Any) -> None:
    """An object of the model that is that function."""
    functions = model.meta_graphs[0].graph_def.library.function
    saver = next(each for each in functions if "traced_save" in each.signature.name)
    added = model.meta_graphs[0].object_graph_def.nodes.add()
    added.bare_concrete_function.concrete_function_name = saver.signature.name


def _huge_constant(model: Any) -> None:
    function = model.meta_graphs[0].graph_def.library.function[0]
    tensor = function.node_def.add(name="huge", op="Const").attr["value"].tensor
    for _ in range(4):
        tensor.tensor_shape.dim.add(size=1 << 15)


def _asset(model: Any) -> None:
    model.meta_graphs[0].asset_file_def.add(filename="../../../etc/passwd")


def _resource(model: Any) -> None:
    model.meta_graphs[0].object_graph_def.nodes.add().resource.device = "x"


def _foreign_class(model: Any) -> None:
    model.meta_graphs[0].object_graph_def.nodes.add().user_object.identifier = "_tf_keras_model"


def _registered(model: Any) -> None:
    node = model.meta_graphs[0].object_graph_def.nodes.add(registered_name="package.Class")
    node.user_object.identifier = "_generic_user_object"


def _no_objects(model: Any) -> None:
    model.meta_graphs[0].ClearField("object_graph_def")


def _two_graphs(model: Any) -> None:
    model.meta_graphs.add().CopyFrom(model.meta_graphs[0])


EDITS: dict[str, tuple[Callable[[Any], None], str]] = {
    "the saver is called": (_saver_called, "a call of .*, which reads or writes files"),
    "the saver is an object": (_saver_given, "a call of .*, which reads or writes files"),
    "a constant of terabytes": (_huge_constant, "a constant with more than"),
    "an asset": (_asset, "assets"),
    "a resource": (_resource, "an object of kind resource"),
    "a Keras object": (_foreign_class, "_tf_keras_model"),
    "a registered class": (_registered, r"package\.Class"),
    "a graph of TensorFlow 1": (_no_objects, "was not written by tf.saved_model.save"),
    "two graphs": (_two_graphs, "was not written by tf.saved_model.save"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_forged_graph_is_refused(copy: Path, name: str) -> None:
    edit, message = EDITS[name]
    _edited(edit)(copy)
    _sign(copy)
    _refused(copy, message)


def test_a_pickle_is_refused_and_not_opened(copy: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "mark",))

    content = pickle.dumps(Harm())
    for name in ("model.pkl", "scoring/assets/data.pkl", "calibration.pkl"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(content)
        _sign(copy)
        _refused(copy, re.escape(f"lists '{name}', which is not a file of a bundle"))
        (copy / name).unlink()
    for name in ("calibration.parquet", "model.keras", "scoring/saved_model.pb"):
        before = (copy / name).read_bytes()
        (copy / name).write_bytes(content)
        _sign(copy)
        with pytest.raises(BundleError, match=re.escape(Path(name).name)):
            LoadedModel(str(copy))
        (copy / name).write_bytes(before)
    assert not (tmp_path / "mark").exists()
    pickle.loads(content)
    assert (tmp_path / "mark").exists(), "the pickle is harmless"


def _with_config(bundle: Path, config: Any, **more: bytes) -> None:
    file = bundle / "model.keras"
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {**members, "config.json": json.dumps(config).encode(), **more}.items():
            archive.writestr(name, data)


def test_a_lambda_in_the_keras_file_is_refused(copy: Path, tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    layer = keras.layers.Lambda(lambda x: (open(mark, "w").close(), x)[1], output_shape=(1,))
    keras.Sequential([keras.Input((1,)), layer]).save(copy / "model.keras")
    Path(mark).unlink(missing_ok=True)
    _sign(copy)
    _refused(copy, r"model\.keras: config\.json does not describe a bundle's model")
    assert not Path(mark).exists()


def _config_of(bundle: Path) -> dict[str, Any]:
    with zipfile.ZipFile(bundle / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize(
    "harm",
    [
        {"class_name": "__lambda__", "config": {"value": "x"}},
        {"module": "os", "class_name": "system", "config": {}, "registered_name": None},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/x"}},
        {"module": "keras.utils", "class_name": "get_file", "config": {}},
        {"module": "keras.optimizers", "class_name": "Adam", "registered_name": "other>Class"},
        {"registered_name": "other>Class"},
    ],
)
@pytest.mark.parametrize("place", ["loss", "optimizer"])
def test_a_foreign_class_in_the_keras_file_is_refused(
    copy: Path, harm: dict[str, Any], place: str
) -> None:
    config = _config_of(copy)
    config["compile_config"][place] = [{"deep": harm}]
    _with_config(copy, config)
    _sign(copy)
    _refused(copy, r"model\.keras: .* is not a class that a bundle's model is built from")
    with pytest.raises(BundleError, match="is not a class"):
        load_keras_model(copy / "model.keras")


def test_more_in_the_keras_file_is_refused(copy: Path) -> None:
    config = _config_of(copy)
    _with_config(copy, config, **{"assets/x.py": b""})
    _sign(copy)
    _refused(copy, r"model\.keras must contain config\.json, metadata\.json, model\.weights\.h5")


def test_a_config_that_inflates_without_end_is_refused(copy: Path) -> None:
    with zipfile.ZipFile(copy / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata.json", "model.weights.h5"):
            archive.writestr(name, b"{}")
        archive.writestr("config.json", b" " * (50 << 20))
    _sign(copy)
    _refused(copy, r"config\.json is larger than 1048576 bytes")


def _with_image(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["config"]["image"].update(values)


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "an image of a million pixels a side": (
        _with_image(height=10**6, width=10**6), "image must have at most"),
    "another image than the graph's": (
        _with_image(height=9), "score accepts .* not the configured images"),
    "no shape": (_with_image(height=None), "shape is not known"),
    "an endless latent": (
        lambda manifest: manifest["config"]["model"].update(latent_dim=10**12), "latent_dim must"),
    "no calibration": (lambda manifest: manifest.pop("calibration"), "calibration must be a map"),
    "a tail of nonsense": (
        lambda manifest: manifest["calibration"].update(pareto_tail={"shape": -1}), "pareto_tail"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_signed_manifest_of_absurd_numbers_is_refused(copy: Path, name: str) -> None:
    change, message = MANIFESTS[name]
    manifest = json.loads((copy / "manifest.json").read_text())
    change(manifest)
    write_signed(copy, manifest)
    with pytest.raises(BundleError, match=message):
        LoadedModel(str(copy))


def test_absurd_rows_of_a_batch_are_bounded(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["config"]["scoring"]["batch_rows"] = 10**12
    write_signed(copy, manifest)
    opened = open_bundle(copy)
    assert opened.config.batch_rows == (4 << 20) // 64 // 24 * 24
    Scorer(opened.path, opened.config).score(np.zeros((1, 8, 8, 1), np.uint8))


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"score": pa.array([], pa.float32())}),
        pa.table({"score": pa.array(["x"])}),
        pa.table({"score": pa.array([None, 1.0], pa.float32())}),
        pa.table({"other": pa.array([1.0], pa.float32())}),
    ],
)
def test_calibration_scores_must_be_numbers(copy: Path, table: pa.Table) -> None:
    pq.write_table(table, copy / "calibration.parquet")
    _sign(copy)
    with pytest.raises(BundleError, match=r"calibration\.parquet"):
        LoadedModel(str(copy))


def test_a_pipe_is_refused_and_not_waited_for(copy: Path) -> None:
    (copy / "scoring" / "fingerprint.pb").unlink()
    os.mkfifo(copy / "scoring" / "fingerprint.pb")
    _refused(copy, "it is not a regular file")
    (copy / "manifest.json").unlink()
    os.mkfifo(copy / "manifest.json")
    _refused(copy, r"manifest\.json is not in manifest\.json: it is not a regular file")
