"""A batch that fails loses only the bad record; one that exhausts memory is retried in halves."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import ImageConfig
from ae_models.errors import BundleError, StageError
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from tests.support.reading import read_batches
from transforms import AutoencoderModelHandler
from transforms.execution.isolation import isolated
from transforms.images import decode_batch as module
from transforms.images.decode_batch import decode_batch
from transforms.images.plain_png import PlainPngs, plain_png
from transforms.records.batches import REJECT_TYPE, image_records
from transforms.records.rejects import Reason, Stage, reject

Bundles = Callable[[str], Path]
GIVEN = reject(Stage.READ, Reason.UNREADABLE, "gone")
EXHAUSTED = [
    MemoryError("no room"),
    tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\n\na tensor"),
    pa.ArrowMemoryError("malloc of 99 failed"),
]


def _batch(start: int, rows: int, rejected: Sequence[int] = ()) -> pa.RecordBatch:
    rejects = [GIVEN if row in rejected else None for row in range(start, start + rows)]
    ids = [str(row) for row in range(start, start + rows)]
    return image_records(ids, "file", [b"x"] * rows, rejects=rejects)


class _Work:
    """Returns its input; raises if a record is bad, or if there are too many."""

    def __init__(self, bad: Sequence[str] = (), most: int = 1 << 30, error: Any = None):
        self.bad, self.most, self.error = set(bad), most, error or ValueError("first\nsecond")
        self.calls = 0

    def __call__(self, elements: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        self.calls += 1
        rows = [row for element in elements for row in element.to_pylist() if not row["reject"]]
        if len(rows) > self.most or self.bad & {row["id"] for row in rows}:
            raise self.error
        return list(elements)


def _elements() -> list[pa.RecordBatch]:
    return [_batch(0, 7, rejected=[2]), _batch(7, 1), _batch(8, 0), _batch(8, 24, rejected=[9])]


def _isolated(work: _Work) -> list[pa.RecordBatch]:
    return isolated(work, _elements(), Stage.SCORE, Reason.SCORE_FAILED)


@pytest.mark.parametrize("bad", [[], ["0"], ["7"], ["31"], ["1", "3", "8"], range(32)])
def test_bad_records_alone_are_rejected_each_batch_for_its_own(bad: Sequence[Any]) -> None:
    bad = [str(row) for row in bad]
    done = _isolated(_Work(bad))
    given = _elements()
    assert [element.column("id").to_pylist() for element in done] == [
        element.column("id").to_pylist() for element in given
    ]
    before = [row["reject"] for element in given for row in element.to_pylist()]
    after = [row["reject"] for element in done for row in element.to_pylist()]
    expected = [
        old or ({"stage": "score", "reason": "score_failed", "message": "ValueError: first"}
                if str(row) in bad else None)
        for row, old in enumerate(before)
    ]  # fmt: skip
    assert after == expected


def test_the_bad_record_of_many_is_found_in_few_calls() -> None:
    work = _Work(["700"])
    isolated(work, [_batch(0, 1024)], Stage.SCORE, Reason.SCORE_FAILED)
    assert work.calls == 1 + 2 * 10 + 1  # by halves, and once more as a reject


@pytest.mark.parametrize("error", EXHAUSTED)
@pytest.mark.parametrize("most", [1, 3, 8])
def test_what_exhausts_memory_is_tried_in_halves(error: Exception, most: int) -> None:
    done = _isolated(_Work(most=most, error=error))
    assert [element.to_pylist() for element in done] == [
        element.to_pylist() for element in _elements()
    ]


@pytest.mark.parametrize("error", EXHAUSTED)
def test_one_record_that_exhausts_memory_is_rejected(error: Exception) -> None:
    done = _isolated(_Work(["11"], error=error))
    rejects = [row for element in done for row in element.to_pylist() if row["reject"]]
    assert [row["id"] for row in rejects] == ["2", "9", "11"]
    assert rejects[-1]["reject"]["reason"] == "out_of_memory"
    assert (
        rejects[-1]["reject"]["message"]
        == f"{type(error).__name__}: " + (str(error).splitlines()[0])
    )


def test_a_batch_without_rejects_gets_their_column() -> None:
    def work(elements: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """Like a model handler, which accepts such batches and adds the column to all of them."""
        given = [
            element if "reject" in element.schema.names else element.append_column("reject", nulls)
            for element in elements
            for nulls in [pa.nulls(len(element), REJECT_TYPE)]
        ]
        return _Work(["1"])(given)

    bare = _batch(0, 3).drop_columns(["reject"])
    (done,) = isolated(work, [bare], Stage.SCORE, Reason.SCORE_FAILED)
    assert [value is None for value in done["reject"].to_pylist()] == [True, False, True]


@pytest.mark.parametrize("error", [ValueError("always\n"), MemoryError()])
def test_work_that_cannot_be_done_at_all_is_no_records_fault(error: Exception) -> None:
    def work(_: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        raise error

    with pytest.raises(
        StageError, match=f"^score stage failed even with no records: {type(error).__name__}"
    ):
        isolated(work, _elements(), Stage.SCORE, Reason.SCORE_FAILED)


@pytest.mark.parametrize("error", [BundleError("broken"), KeyboardInterrupt()])
def test_other_errors_end_the_run_at_once(error: BaseException) -> None:
    work = _Work(["3"], error=error)
    with pytest.raises(type(error)):
        _isolated(work)
    assert work.calls == 1


class _Faulty(Scorer):
    """Raises within a graph if an image begins with a marked pixel, and as if out of memory if too
    many images, or calls, are processed at once."""

    marked: ClassVar[int] = 255
    most: ClassVar[int] = 1 << 30

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        for name in ("score", "score_with_maps"):
            self._functions = {**self._functions, name: self._checked(self._functions[name])}

    def _checked(self, function: Any) -> Any:
        @tf.function
        def asserted(pixels: Any) -> Any:
            unmarked = tf.reduce_all(tf.cast(pixels[:, 0, 0, 0], tf.int32) != self.marked)
            with tf.control_dependencies([tf.debugging.Assert(unmarked, ["marked\npixel"])]):
                return tf.identity(pixels)

        def checked(pixels: np.ndarray) -> Any:
            if np.count_nonzero(pixels.any(axis=(1, 2, 3))) > self.most:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM")
            return function(asserted(tf.constant(pixels)).numpy())

        return checked


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> type[_Faulty]:
    monkeypatch.setattr("transforms.scoring.model_handler.Scorer", _Faulty)
    monkeypatch.setattr(_Faulty, "marked", 255)
    monkeypatch.setattr(_Faulty, "most", 1 << 30)
    return _Faulty


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """700 digits, three of which begin with a pixel of 255."""
    pixels = (load_digits().images[:700] * 15).astype(np.uint8)
    pixels[[0, 431, 699], 0, 0] = 255
    path = tmp_path_factory.mktemp("marked") / "set.npz"
    np.savez(path, x=pixels)
    return str(path)


def _scores(run: Path) -> pa.Table:
    return pq.read_table(run / "scores").sort_by("id")


def test_a_record_for_which_the_model_raises_is_rejected_and_no_other_score_changes(
    bundle: Bundles, tmp_path: Path, marked: str, faulty: type[_Faulty]
) -> None:
    ledger = score([marked], str(bundle("ae")), str(tmp_path / "run"))
    faulty.marked = 256  # no pixel is
    score([marked], str(bundle("ae")), str(tmp_path / "whole"))
    assert ledger["records"]["rejected_by_reason"] == {"score_failed": 3}
    rejects = pq.read_table(tmp_path / "run" / "rejects").sort_by("id").to_pylist()
    bad = ["set.npz#0", "set.npz#431", "set.npz#699"]
    assert [row["id"] for row in rejects] == bad
    assert {row["stage"] for row in rejects} == {"score"}
    told = "InvalidArgumentError: assertion failed: [marked"
    assert all(row["message"].startswith(told) for row in rejects)
    whole = _scores(tmp_path / "whole")
    kept = whole.filter(pa.array([i not in bad for i in whole["id"].to_pylist()]))
    assert _scores(tmp_path / "run").equals(kept)
    assert verify(str(tmp_path / "run"), [marked])["ok"]


def test_scores_are_the_same_bits_where_memory_allows_few_at_a_time(
    bundle: Bundles, marked: str, faulty: type[_Faulty]
) -> None:
    faulty.marked = 256
    model = AutoencoderModelHandler(str(bundle("ae"))).load_model()
    image = open_bundle(bundle("ae")).config.image
    (decoded,) = (decode_batch(batch, image) for batch in read_batches(marked))
    elements = [decoded.slice(0, 3), decoded.slice(3, 597), decoded.slice(600, 6)]
    expected = model.score(elements)
    for most in (300, 50):
        faulty.most = most
        assert model.score(elements) == expected
    elements = [decoded.slice(0, 3), decoded.slice(3, 9)]
    expected = model.score(elements)
    faulty.most = 1
    assert model.score(elements) == expected
    faulty.most = -1
    with pytest.raises(
        StageError, match="failed even with no records: ResourceExhaustedError: OOM"
    ):
        model.score(elements)


def test_no_call_is_left_running_when_one_has_failed(
    bundle: Bundles, faulty: type[_Faulty]
) -> None:
    """A retry needs the memory that the others used."""
    opened = open_bundle(bundle("ae"))
    scorer = faulty(opened.path, opened.config)
    running = 0
    given = scorer._functions["score"]

    def counted(pixels: Any) -> Any:
        nonlocal running
        running += 1
        try:
            return given(pixels)
        finally:
            running -= 1

    scorer._functions = {"score": counted}
    pixels = np.ones((20 * scorer.batch_rows, *scorer.image.shape), np.uint8)
    pixels[0, 0, 0] = 255
    with pytest.raises(tf.errors.InvalidArgumentError):
        scorer.score(pixels)
    assert running == 0


GREY = ImageConfig(height=8, width=8, channels=1, bits=8)


def _pngs(folder: Path, count: int) -> list[bytes]:
    paths = [folder / f"{n}.png" for n in range(count)]
    for n, path in enumerate(paths):
        Image.new("L", (8, 8), n + 1).save(path)
    return [path.read_bytes() for path in paths]


@pytest.mark.parametrize(
    "error",
    [MemoryError("x"), RecursionError("x"), SystemError("x"), OSError("x"), StopIteration("x")],
)
def test_whatever_a_decoder_raises_rejects_its_own_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    images, draw = _pngs(tmp_path, 6), PlainPngs.draw
    bad = plain_png(images[3], 64)

    def draw_others(self: PlainPngs, index: int, png: Any) -> bool:
        if png == bad:
            raise error
        return draw(self, index, png)

    monkeypatch.setattr(PlainPngs, "draw", draw_others)
    batch = decode_batch(image_records([str(n) for n in range(6)], "f", images), GREY)
    reasons = [value and value["reason"] for value in batch["reject"].to_pylist()]
    reason = "out_of_memory" if isinstance(error, MemoryError) else "decode_failed"
    assert reasons == [None] * 3 + [reason] + [None] * 2
    levels = [image and image[0] for image in batch["image"].to_pylist()]
    assert levels == [1, 2, 3, None, 5, 6]


def test_a_batch_whose_pixels_do_not_fit_into_memory_is_decoded_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, zeros = _pngs(tmp_path, 9), np.zeros

    def limited(shape: Any, *arguments: Any) -> np.ndarray:
        if np.prod(shape) > 4 * 64:
            raise MemoryError
        return zeros(shape, *arguments)

    given = image_records([str(n) for n in range(9)], "f", images)
    expected = decode_batch(given, GREY)
    monkeypatch.setattr(module.np, "zeros", limited)
    assert decode_batch(given, GREY).equals(expected, check_metadata=True)


def test_out_of_memory_in_decoding_is_told_in_the_run(
    bundle: Bundles, tmp_path: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, numbers = PlainPngs.draw, itertools.count()

    def draw(*arguments: Any) -> Any:
        if next(numbers) == 0:
            raise MemoryError
        return original(*arguments)

    monkeypatch.setattr(PlainPngs, "draw", draw)
    score([str(image_folder)], str(bundle("ae")), str(tmp_path / "run"))
    assert json.loads((tmp_path / "run/run.json").read_text())["records"]["scored"] == 40
