"""`latentbeam train`: images to a bundle."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ae_models.bundles.bundle import Bundle, seal_bundle
from ae_models.bundles.calibration_file import write_calibration
from ae_models.bundles.export import export
from ae_models.bundles.model_card import model_card
from ae_models.bundles.names import CALIBRATION, MANIFEST, MODEL_CARD, TRANSFORM_OUTPUT
from ae_models.bundles.scorer import Scorer
from ae_models.calibration.pareto_tail import LEAST_RECORDS
from ae_models.config.configuration import (
    Configuration,
    ScoringConfig,
    configuration_from_mapping,
    configuration_to_mapping,
    read_mapping,
    with_overrides,
)
from ae_models.errors import ConfigError, InputError, OutputError
from ae_models.models.registry import build_model
from ae_models.scores import SCORES, primary_score, score_names
from ae_models.training import splits
from ae_models.training.fit import fit, initialise
from ae_models.training.fit_scores import fit_to_records
from ae_models.training.image_store import ImageStore, write_image_store
from ae_models.training.preprocessing import Preprocessing
from pipelines.beam.dataflow import is_handed_over
from pipelines.beam.run import decoding_threads, pipeline_options, run, versions
from pipelines.console.progress import Progress, say
from pipelines.console.unread import warn_of_unread
from transforms import ReadImages, ReadOptions
from transforms.images.decode_batch import check_target
from transforms.reading.probe import probe_image
from transforms.reading.read import RECORDS_READ, common_carried
from transforms.records.batches import TARGET
from transforms.records.where import Where
from transforms.runs.shards import Shard, rejected_by_reason
from transforms.scoring.bundle_cache import check_place, put_bundle
from transforms.sources import resolve_inputs
from transforms.storage.paths import is_local
from transforms.training.prepare import PrepareTraining, read_shards, read_tallies, split_reader

_LEAST_RECORDS = 8  # of each split, below which its numbers mean nothing
_PARITY_RECORDS = 64


def train_configuration(
    kind: str,
    config_file: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Configuration:
    """The configuration from a file, then `--set`, then the flags of their own.

    Raises:
      ConfigError: the file, a key or a value cannot be used.
    """
    mapping = read_mapping(config_file) if config_file else {}
    mapping = with_overrides(mapping, overrides)
    model = mapping.setdefault("model", {})
    if isinstance(model, dict) and model.setdefault("kind", kind) != kind:
        raise ConfigError(f"--model is {kind}, but the configuration says {model['kind']!r}")
    training = mapping.setdefault("training", {})
    if isinstance(training, dict):
        training.update({key: value for key, value in (flags or {}).items() if value is not None})
    config = configuration_from_mapping(mapping)
    primary_score(config)  # fails here rather than after hours of training
    return config


def train(
    inputs: Sequence[str],
    config: Configuration,
    output: str,
    *,
    where: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Trains a model and writes its bundle; gives the bundle's manifest.

    `reading` is how the inputs are read: the fields of `ReadOptions` that are not the usual ones.

    Raises:
      LatentbeamError: an input, a condition, the configuration or the output cannot be used.
    """
    options = pipeline_options(beam_flags)
    if is_handed_over(options):
        raise ConfigError("train needs what its pipeline gives: run it to its end, on this machine")
    _check_output(output, overwrite)
    wheres = [Where.parse(text) for text in where]
    read_options = ReadOptions(**(reading or {}))
    sources = resolve_inputs(inputs, read_options)
    if config.target:
        check_target(common_carried(sources), config.target)
    config = config.with_image(probe_image(sources, wheres, config.image))
    primary_score(config)  # again: some scores ask for the shape
    say(f"images are {' x '.join(map(str, config.image.shape))}, {config.image.bits} bits")
    with _work_folder(output) as work:
        bundle, records = work / "bundle", work / "records"
        bundle.mkdir()
        run(
            lambda pipeline: (
                pipeline
                | ReadImages(inputs, where=wheres, options=read_options)
                | PrepareTraining(
                    config,
                    str(records),
                    str(bundle / TRANSFORM_OUTPUT),
                    decoding_threads(options),
                )
            ),
            options,
            "reading and analysing",
            counter=RECORDS_READ,
        )
        passed_over = read_tallies(str(records)).passed_over
        warn_of_unread(passed_over.by_cause(), passed_over.names)
        shards = read_shards(str(records))
        training = _write_model(bundle, config, _stores(shards, config, work))
        calibration = write_calibration(
            bundle / CALIBRATION,
            Scorer(bundle, config),
            split_reader(shards, splits.CALIBRATION, config.image)(),
            config.scoring.tail,
        )
        _warn_of_p_values(calibration, config.scoring)
        facts = {
            "config": configuration_to_mapping(config),
            "versions": versions(),
            "training": {
                "inputs": list(inputs),
                "where": list(where),
                "reading": read_options.given(),
                "rejected_by_reason": rejected_by_reason(shards),
                "passed_over": passed_over.by_cause(),
                **training,
            },
            "calibration": calibration,
        }
        (bundle / MODEL_CARD).write_text(model_card(facts), encoding="utf-8")
        sealed = seal_bundle(bundle, facts)
        with _kept_on_failure(bundle, output):
            _check_output(output, overwrite)  # hours have passed
            _put_in_place(sealed, output, work)
    return sealed.manifest


def _check_output(output: str, overwrite: bool) -> None:
    if not is_local(output):
        check_place(output, overwrite)
        return
    path = Path(output)
    is_bundle = (path / MANIFEST).is_file()
    is_empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not is_empty and not (is_bundle and overwrite):
        hint = ", or give --overwrite" if is_bundle else ""
        raise OutputError(f"{output} exists already: choose another folder{hint}")


@contextlib.contextmanager
def _work_folder(output: str) -> Iterator[Path]:
    """A folder beside `output`, and so on its file system, gone when the work ends; of a remote
    one a temporary folder of this machine's."""
    path = Path(output).absolute()
    try:
        if is_local(output):
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent)
        else:
            folder = tempfile.TemporaryDirectory(prefix="latentbeam-")
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error}") from error
    with folder as name:
        yield Path(name)


@contextlib.contextmanager
def _kept_on_failure(bundle: Path, output: str) -> Iterator[None]:
    """What was trained outlasts a remote path that cannot be written."""
    try:
        yield
    except OutputError as error:
        if is_local(output):
            raise
        kept = Path(tempfile.mkdtemp(prefix="latentbeam-")) / "bundle"
        bundle.rename(kept)
        raise OutputError(f"{error}; the bundle is kept in {kept}") from error


def _put_in_place(bundle: Bundle, output: str, work: Path) -> None:
    """Makes the finished bundle appear under its name at once; an earlier one goes with `work`."""
    if not is_local(output):
        put_bundle(bundle, output)
        return
    path = Path(output)
    if path.exists():
        path.rename(work / "earlier")
    bundle.path.rename(path)


def _stores(shards: list[Shard], config: Configuration, work: Path) -> dict[str, ImageStore]:
    """The splits that training reads, by name.

    Raises:
      InputError: a split, the one for calibration included, has too few records.
      ConfigError: the one for calibration has too few for `scoring.tail`.
    """
    counts = dict.fromkeys(splits.SPLITS, 0)
    for shard in shards:
        if shard.kind in counts:
            counts[shard.kind] += shard.rows
    if min(counts.values()) < _LEAST_RECORDS:
        found = ", ".join(f"{count} {name}" for name, count in counts.items())
        reasons = rejected_by_reason(shards)
        rejected = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        raise InputError(
            f"too few records to train on: {found}; each split needs {_LEAST_RECORDS}"
            + (f" (rejected: {rejected})" if rejected else "")
        )
    held_out = counts[splits.CALIBRATION]
    if config.scoring.tail == "pareto" and held_out < LEAST_RECORDS:
        raise ConfigError(
            f"scoring.tail 'pareto' needs {LEAST_RECORDS} calibration records: train on more, or "
            f"raise training.calibration_share. Received: {held_out}"
        )
    stores = {}
    for name in (splits.TRAIN, splits.VALIDATION):
        stores[name] = write_image_store(
            work / f"{name}.npy", split_reader(shards, name, config.image)
        )
        if config.target:
            reader = split_reader(shards, name, config.image, TARGET)
            targets = write_image_store(work / f"{name}-{TARGET}.npy", reader)
            stores[name] = ImageStore(stores[name].path, targets)
    return stores


def _write_model(
    bundle: Path, config: Configuration, stores: dict[str, ImageStore]
) -> dict[str, Any]:
    """Trains, fits the scores and exports; gives what the manifest says of the training."""
    train_store, validation_store = stores[splits.TRAIN], stores[splits.VALIDATION]
    preprocessing = Preprocessing(bundle / TRANSFORM_OUTPUT)
    model = build_model(config.model, config.image.shape, config.training.seed)
    initialise(model, preprocessing, train_store)
    with Progress("training", unit=" batches") as progress:
        summary = fit(
            model,
            preprocessing,
            train_store,
            validation_store,
            config=config.training,
            on_progress=lambda epoch, done, steps, losses: progress.show(
                epoch * steps + done, _note(epoch, config.training.epochs, losses)
            ),
        )
    scores = [SCORES[name]() for name in score_names(config)]
    rows = config.batch_rows
    fit_to_records(scores, model, preprocessing, train_store, rows)
    sample = validation_store.read(0, min(rows, _PARITY_RECORDS))
    export(
        bundle,
        image=config.image,
        preprocessing=preprocessing,
        model=model,
        scores=scores,
        sample=sample,
    )
    counts = {name: len(store) for name, store in stores.items()}
    return {"records": counts, "parameters": model.count_params(), **vars(summary)}


def _note(epoch: int, epochs: int, losses: dict[str, float]) -> str:
    shown = {"loss": "loss", "val_loss": "validation loss"}
    parts = [f"{label} {losses[name]:.5g}" for name, label in shown.items() if name in losses]
    return ", ".join([f"epoch {epoch + 1}/{epochs} at most", *parts])


def _warn_of_p_values(calibration: Mapping[str, Any], scoring: ScoringConfig) -> None:
    if calibration["pareto_tail"] is not None:
        return
    records = calibration["records"]
    smallest = 1 / (records + 1)
    if scoring.tail == "pareto":
        say(
            "warning: no generalised Pareto tail fits the greatest calibration scores (too many "
            f"are equal, or they have no likeliest tail): no p-value is below {smallest:.2g}"
        )
    if smallest > scoring.fpr:
        say(
            f"warning: {records} calibration records give no p-value below {smallest:.2g}, so none "
            f"is flagged at fpr {scoring.fpr:g}; train on more records, or score with a larger "
            "--fpr"
        )
