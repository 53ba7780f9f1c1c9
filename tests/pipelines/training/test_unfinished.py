"""An interrupted training, and the same command with --resume."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import pipelines.commands.train as train_program
from ae_models.bundles.keras_check import load_keras_model
from ae_models.errors import ConfigError, InputError, OutputError
from ae_models.training.checkpoint import Checkpoint
from pipelines.commands.train import train, train_configuration
from pipelines.training import stages, unfinished
from pipelines.training.model import Trainer
from pipelines.training.progress import TrainingProgress
from tests.support.checkpoints import best_weights
from tests.support.command import run_command
from tests.support.digits import digit_pixels
from transforms.storage import local

_TINY = (
    "model.network=dense",
    "model.latent_dim=2",
    "model.widths=[8]",
    "scoring.scores=[reconstruction_mse, reconstruction_mae]",
    "training.batch_size=64",
)


class _CutOffError(Exception):
    pass


def _train(output: Path, *more: str, kind: str = "ae", epochs: int = 3, **flags: Any) -> dict:
    config = train_configuration(kind, overrides=[*_TINY, *more], flags={"epochs": epochs})
    return train(["builtin:digits"], config, str(output), where=["label=1,2"], **flags)


def _weights(bundle: Path) -> list[np.ndarray]:
    return load_keras_model(bundle / "model.keras").get_weights()


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Trainings fail within their second epoch until this is undone."""

    def cut(self: TrainingProgress, epoch: int, done: int, steps: int, losses: dict) -> None:
        del self, done, steps, losses
        if epoch == 1:
            raise _CutOffError

    monkeypatch.setattr(TrainingProgress, "__call__", cut)
    return monkeypatch


def test_it_ends_as_if_it_had_not_been_cut_off_and_reads_nothing_again(
    tmp_path: Path, cut_off: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(_CutOffError):
        _train(tmp_path / "m")
    unfinished = tmp_path / "m-unfinished"
    assert Checkpoint(unfinished / "checkpoint.npz").standing().epoch == 1
    told = capsys.readouterr().err
    assert f"{unfinished} keeps 1 epoch of training: rerun the command with --resume" in told
    cut_off.undo()

    def read_again(*_: Any) -> None:
        raise AssertionError

    cut_off.setattr(stages, "read_records", read_again)
    cut_off.setattr(stages, "survey_images", read_again)
    cut_off.setattr(stages, "analyse", read_again)
    manifest = _train(tmp_path / "m", resume=True)
    cut_off.undo()
    other = _train(tmp_path / "other")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["m", "other"]
    assert all(map(np.array_equal, _weights(tmp_path / "m"), _weights(tmp_path / "other")))
    for name in ("curves", "records", "control", "recommended", "advice", "passed_over"):
        assert manifest["training"][name] == other["training"][name], name
    assert manifest["calibration"] == other["calibration"]


@pytest.mark.parametrize("stage", ["read_records", "analyse", "chosen_augmentation", "Trainer"])
def test_it_may_be_cut_off_in_any_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Leftovers of a stage that was killed halfway do no harm."""
    work = tmp_path / "m-unfinished"

    def killed(*arguments: Any, **more: Any) -> None:
        of_stage(*arguments, **more)
        if stage == "Trainer":
            (work / "rehearsal").mkdir()
        monkeypatch.setattr(unfinished, "_left", lambda *_, **__: None)  # as SIGKILL leaves it
        raise _CutOffError

    of_stage = getattr(stages if stage != "Trainer" else train_program, stage)
    with monkeypatch.context() as patched:
        patched.setattr(stages if stage != "Trainer" else train_program, stage, killed)
        with pytest.raises(_CutOffError):
            _train(tmp_path / "m")
    assert work.is_dir()
    manifest = _train(tmp_path / "m", resume=True)
    assert manifest["training"]["epochs"] == 3
    assert not work.exists()


@pytest.mark.usefixtures("cut_off")
def test_what_was_trained_is_not_lost_without_resume(tmp_path: Path) -> None:
    with pytest.raises(_CutOffError):
        _train(tmp_path / "m")
    with pytest.raises(
        OutputError, match=r"an unfinished training: give --resume .* or --overwrite"
    ):
        _train(tmp_path / "m")
    with pytest.raises(ConfigError, match=r"training.learning_rate is 0.001, not 0.5; rerun that"):
        _train(tmp_path / "m", "training.learning_rate=0.5", resume=True)
    config = train_configuration("ae", overrides=_TINY, flags={"epochs": 3})
    with pytest.raises(ConfigError, match=r"its where is \['label=1,2'\], not \[\]"):
        train(["builtin:digits"], config, str(tmp_path / "m"), resume=True)
    assert Checkpoint(tmp_path / "m-unfinished" / "checkpoint.npz").standing().epoch == 1
    with pytest.raises(_CutOffError):
        _train(tmp_path / "m", "training.learning_rate=0.5", overwrite=True)
    with pytest.raises(_CutOffError):
        _train(tmp_path / "m", "training.learning_rate=0.1", overwrite=True, resume=True)


def test_a_training_that_diverged_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"diverged.*learning_rate 1e\+30$"):
        _train(tmp_path / "m", "training.learning_rate=1e30")
    assert not list(tmp_path.iterdir())


def test_as_many_epochs_as_were_done_end_it_with_the_best_weights(
    tmp_path: Path, cut_off: pytest.MonkeyPatch
) -> None:
    with pytest.raises(_CutOffError):
        _train(tmp_path / "m")
    best = best_weights(tmp_path / "m-unfinished" / "checkpoint.npz")
    manifest = _train(tmp_path / "m", epochs=1, resume=True)
    assert manifest["training"]["epochs"] == 1
    assert all(map(np.array_equal, _weights(tmp_path / "m"), best))
    del cut_off


def test_a_finished_bundle_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = _train(tmp_path / "m", epochs=1)
    before = (tmp_path / "m" / "manifest.json").stat()
    assert _train(tmp_path / "m", epochs=1, resume=True) == manifest
    assert (tmp_path / "m" / "manifest.json").stat() == before
    assert "is already finished" in capsys.readouterr().err
    with pytest.raises(OutputError, match="already exists"):
        _train(tmp_path / "m", "model.latent_dim=3", epochs=1, resume=True)


def test_two_trainings_do_not_work_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Trainer.fit

    def meanwhile(self: Trainer, log: None = None) -> dict:
        with pytest.raises(OutputError, match="another training is running in"):
            _train(tmp_path / "m", resume=True)
        return fit(self, log)

    monkeypatch.setattr(Trainer, "fit", meanwhile)
    _train(tmp_path / "m", epochs=1)


def test_a_folder_of_that_name_that_is_none_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m-unfinished").mkdir()
    (tmp_path / "m-unfinished" / "thesis.txt").write_text("mine")
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match="is not an unfinished training: remove or rename it"):
            _train(tmp_path / "m", **flags)
    assert (tmp_path / "m-unfinished" / "thesis.txt").read_text() == "mine"


def test_it_goes_on_where_the_images_are_gone(tmp_path: Path, cut_off: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images.npz"
    np.savez(images, x=digit_pixels()[:60])

    def trained(output: str, resume: bool) -> dict:
        config = train_configuration("ae", overrides=_TINY, flags={"epochs": 3})
        return train([str(images)], config, str(tmp_path / output), resume=resume)

    with pytest.raises(_CutOffError):
        trained("m", False)
    images.unlink()
    cut_off.undo()
    assert trained("m", True)["training"]["epochs"] == 3
    with pytest.raises(InputError, match=r"images\.npz"):
        trained("other", True)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("removed", range(6))
@pytest.mark.usefixtures("cut_off")
def test_a_folder_that_was_being_emptied_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    with pytest.raises(_CutOffError):
        _train(tmp_path / "m")
    work, done = unfinished.UnfinishedTraining(*[tmp_path / "m-unfinished"] * 2), itertools.count()
    remove = local.remove

    def killed(path: str) -> None:
        if next(done) == removed:
            raise _CutOffError
        remove(path)

    with monkeypatch.context() as patched:
        patched.setattr(local, "remove", killed)
        with pytest.raises(_CutOffError):
            work.remove()
    monkeypatch.undo()
    assert _train(tmp_path / "m", resume=True)["training"]["epochs"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_bundle_that_has_left_its_folder_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died after the bundle was in place, before the folder was removed."""
    with monkeypatch.context() as patched:
        patched.setattr(unfinished.UnfinishedTraining, "remove", lambda self: None)
        _train(tmp_path / "m")
    assert (tmp_path / "m-unfinished").is_dir()
    manifest = _train(tmp_path / "m", epochs=4, resume=True, overwrite=True)
    assert manifest["training"]["epochs"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_full_disk_keeps_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", full)
        with pytest.raises(OutputError) as caught:
            _train(tmp_path / "m")
    place = tmp_path / "m-unfinished"
    assert str(caught.value) == (
        f"cannot write {place}: No space left on device; {place} keeps the records that were "
        "read: rerun the command with --resume to continue"
    )
    assert _train(tmp_path / "m", resume=True)["training"]["epochs"] == 3


def test_a_disk_that_is_full_at_the_end_costs_no_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Trainer.export

    def full(*_: Any, **__: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "m.pb; No space left on device")

    with monkeypatch.context() as patched:

        def of_trained(self: Trainer) -> Any:
            patched.setattr(tf.saved_model, "save", full)
            return export(self)

        patched.setattr(Trainer, "export", of_trained)
        with pytest.raises(OutputError, match=r"No space left on device; .* keeps 3 epochs of tra"):
            _train(tmp_path / "m")
    assert _train(tmp_path / "m", resume=True)["training"]["epochs"] == 3


def test_another_tail_is_checked_as_a_training_goes_on(
    tmp_path: Path, cut_off: pytest.MonkeyPatch
) -> None:
    with pytest.raises(_CutOffError):
        _train(tmp_path / "m")
    cut_off.undo()
    with pytest.raises(ConfigError, match=r"tail 'pareto' needs 300 calibration records.*--resume"):
        _train(tmp_path / "m", "scoring.tail=pareto", resume=True)
    assert _train(tmp_path / "m", resume=True)["training"]["epochs"] == 3


@pytest.mark.usefixtures("cut_off")
def test_its_place_is_told_as_the_user_knows_it(tmp_path: Path) -> None:
    """Not by the link given to TensorFlow if a name looks like a pattern."""
    for _ in range(2):
        with pytest.raises((_CutOffError, OutputError)) as caught:
            _train(tmp_path / "m[1]")
    assert str(tmp_path / "m[1]-unfinished") in str(caught.value)


def test_a_command_that_is_refused_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "--input", "builtin:digits", "--model", "ae", "--output", str(tmp_path / "m")]
    status, _, error = run_command([*line, "--where", "label=99"], capsys)
    assert status == 2
    assert error.count("\n") >= 1
    assert list(tmp_path.iterdir()) == []


def test_losses_are_written_for_tensorboard(tmp_path: Path) -> None:
    manifest = _train(tmp_path / "m", tensorboard=str(tmp_path / "log"))
    (file,) = (tmp_path / "log").iterdir()
    found: dict[str, list[float]] = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    curves = manifest["training"]["curves"]
    np.testing.assert_allclose(found["epoch_loss"], curves["loss"], rtol=1e-6)
    np.testing.assert_allclose(found["epoch_val_loss"], curves["validation_loss"][1:], rtol=1e-6)


def test_a_log_that_cannot_be_written_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.summary, "write", full)
    manifest = _train(tmp_path / "m", tensorboard=str(tmp_path / "log"))
    assert manifest["training"]["epochs"] == 3
    told = f"losses are no longer written to {tmp_path / 'log'}: No space left on device"
    assert capsys.readouterr().err.count(told) == 1


def _command(output: Path, more: Sequence[str]) -> list[str]:
    settings = [part for setting in _TINY for part in ("--set", setting)]
    where = ["--input", "builtin:digits", "--where", "label!=0", "--output", str(output)]
    budget = ["--epochs", "200", "--set", "training.patience=200"]
    return [
        sys.executable, "-m", "pipelines.cli", "train", "--model", "dae", *where, *settings,
        *budget, *more,
    ]  # fmt: skip


def _interrupted(output: Path, how: signal.Signals) -> str:
    """The output of a command that receives a signal after an epoch of training."""
    checkpoint = output.with_name(f"{output.name}-unfinished") / "checkpoint.npz"
    with subprocess.Popen(
        _command(output, ()), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            while not checkpoint.exists():
                assert process.poll() is None
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, how)
        return process.communicate()[1]


@pytest.mark.slow
def test_a_killed_command_is_gone_on_with(tmp_path: Path) -> None:
    _interrupted(tmp_path / "m", signal.SIGKILL)
    for name, more in (("m", ["--resume"]), ("other", [])):
        subprocess.run(_command(tmp_path / name, more), check=True, capture_output=True)
    assert all(map(np.array_equal, _weights(tmp_path / "m"), _weights(tmp_path / "other")))


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_weights_and_says_how_to_finish(tmp_path: Path) -> None:
    said = _interrupted(tmp_path / "m", signal.SIGINT)
    assert "Traceback" not in said
    assert said.endswith("latentbeam: interrupted\n")
    (hint,) = (line for line in said.splitlines() if "m-unfinished" in line)
    assert hint.startswith(f"{tmp_path / 'm-unfinished'} keeps ")
    epochs = hint.partition("--epochs ")[2].split()[0]
    best = best_weights(tmp_path / "m-unfinished" / "checkpoint.npz")
    line = _command(tmp_path / "m", ["--resume", "--epochs", epochs])
    subprocess.run(line, check=True, capture_output=True)
    assert all(map(np.array_equal, _weights(tmp_path / "m"), best))
