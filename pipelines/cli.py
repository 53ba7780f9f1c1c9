"""The command `latentbeam`: flags in, one call, results out.

Keras and Beam are imported when a command runs, never for `--help`.
"""

import importlib
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pipelines.terminal import shown

if TYPE_CHECKING:
    from ae_models.errors import LatentbeamError

_SEVERAL_VALUES = ("--input", "--where", "--set")
_MISMATCH = 1
_FOR_BEAM = {"ignore_unknown_options": True, "allow_extra_args": True}


class _Examples(click.Command):
    """A command whose help ends with an example, its lines kept as they are."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._example = example

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        del context
        if self._example:
            formatter.write("\nExample:\n\n")
            for line in self._example.splitlines():
                formatter.write(f"  {line}\n")


_input = click.option(
    "--input",
    "inputs",
    metavar="URI...",
    multiple=True,
    required=True,
    help="Folder or glob of images, *.parquet, *.tfrecord, *.tar, FILE.npz#test, builtin:digits.",
)
_where = click.option(
    "--where",
    metavar="COLUMN=VALUE[,VALUE]",
    multiple=True,
    help="Only records whose column is, or with != is not, one of the values.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_overwrite = click.option(
    "--overwrite", is_flag=True, help="Replace what --output holds, once the work has succeeded."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="latentbeam")
def cli() -> None:
    """Finds the odd ones among very many images.

    Trains auto-encoders and applies them in an Apache Beam pipeline, which writes latents, anomaly
    scores and p-values to Parquet.
    """


@cli.command(cls=_Examples, example="latentbeam demo --output latentbeam-demo")
@click.option(
    "--output",
    default="latentbeam-demo",
    show_default=True,
    help="Folder to write; an earlier demo in it is replaced.",
)
@_json
def demo(output: str, as_json: bool) -> None:
    """Train, score and evaluate on embedded digits."""
    program = _program("demo")

    result = program.demo(output)
    _print(result, as_json, _demo_lines)


@cli.command(
    cls=_Examples,
    context_settings=_FOR_BEAM,
    example="latentbeam train --input images/ --where label=good --model vae --output bundle/ \\\n"
    "    --set model.latent_dim=16",
)
@_input
@click.option("--model", type=click.Choice(["ae", "dae", "vae"]), required=True)
@click.option("--output", metavar="BUNDLE", required=True, help="Folder of the model bundle.")
@click.option(
    "--config", metavar="FILE.yaml", help="Configuration; README and docs/models.md list its keys."
)
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="One key: model.latent_dim=16."
)
@_where
@click.option("--epochs", type=int, help="At most so many; early stopping may end sooner.")
@click.option("--seed", type=int, help="Same seed, same machine: same weights.")
@_overwrite
@_json
@click.pass_context
def train(
    context: click.Context,
    inputs: Sequence[str],
    model: str,
    output: str,
    config: str | None,
    overrides: Sequence[str],
    where: Sequence[str],
    epochs: int | None,
    seed: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a model on normal images and write its bundle.

    Flags that are not listed here go to Beam.
    """
    program = _program("train")

    beam_flags = _beam_flags(context)
    configuration = program.train_configuration(
        model, config, overrides, {"epochs": epochs, "seed": seed}
    )
    manifest = program.train(inputs, configuration, output, where, beam_flags, overwrite)
    _print(manifest, as_json, lambda _: _trained_lines(manifest, output))


@cli.command(
    cls=_Examples,
    context_settings=_FOR_BEAM,
    example="latentbeam score --input images/ --model bundle/ --output run/",
)
@_input
@click.option("--model", metavar="BUNDLE", required=True, help="Folder that train wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the run.")
@_where
@click.option("--fpr", type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="Flag p_value <= FPR.  [default: the bundle's]")  # fmt: skip
@click.option("--portable_schema", is_flag=True, help="Plain lists and doubles in Parquet.")
@click.option("--error_maps", is_flag=True, help="A column of each pixel's squared error too.")
@click.option("--outputs", metavar="COLUMN[,COLUMN]",
              help="Only these latents and scores, besides score and p_value.  "
                   "[default: all]")  # fmt: skip
@click.option("--checkpoint_every", type=click.IntRange(min=1), metavar="N",
              help="Keep what is done after each N records or a few more, for --resume. Each part "
                   "starts a pipeline and loads the model: 100000 and more.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Go on with the unfinished run of the same command in --output, if there is "
                   "one; leave a finished one as it is.")  # fmt: skip
@click.option("--max_rejects", metavar="N|SHARE",
              help="End with exit status 1 if more records are rejected: 1000, 1%, 0.01.  "
                   "[default: no limit]")  # fmt: skip
@_overwrite
@_json
@click.pass_context
def score(
    context: click.Context,
    inputs: Sequence[str],
    model: str,
    output: str,
    where: Sequence[str],
    fpr: float | None,
    portable_schema: bool,
    error_maps: bool,
    outputs: str | None,
    checkpoint_every: int | None,
    resume: bool,
    max_rejects: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score images and write latents, scores and rejects to Parquet.

    Flags that are not listed here go to Beam, --runner=FlinkRunner for one.
    """
    program = _program("score")

    ledger = program.score(
        inputs,
        model,
        output,
        where,
        _beam_flags(context),
        fpr,
        overwrite,
        portable_schema,
        error_maps,
        None if outputs is None else outputs.split(","),
        checkpoint_every,
        resume,
        max_rejects,
    )
    _print(ledger, as_json, lambda _: _scored_lines(ledger, output))


@cli.command(
    cls=_Examples, example="latentbeam evaluate --scores run/ --anomalous label!=good --json"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--anomalous", metavar="COLUMN=VALUE[,VALUE]", required=True,
              help="Which records are anomalous in truth; != for all others.")  # fmt: skip
@_json
def evaluate(scores: str, anomalous: str, as_json: bool) -> None:
    """AUROC and average precision of a run's scores, with bootstrap intervals."""
    program = _program("evaluate")

    _print(program.evaluate(scores, anomalous), as_json, _evaluated_lines)


@cli.command(
    cls=_Examples, example="latentbeam relabel --scores run/ --output relabelled/ --fdr 0.1"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the relabelled run.")
@click.option("--fpr", type=float, help="Flag p_value <= FPR.")
@click.option("--fdr", type=float, help="Flag by Benjamini and Hochberg's rule at this rate.")
@_overwrite
@_json
def relabel(
    scores: str,
    output: str,
    fpr: float | None,
    fdr: float | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Set a run's flags anew, from its p-values alone: no model, no images.

    Exactly one of --fpr and --fdr is given. --fdr bounds the expected share of false flags among
    all flags.
    """
    program = _program("relabel")

    ledger = program.relabel(scores, output, fpr, fdr, overwrite)
    _print(ledger, as_json, lambda _: _relabelled_lines(ledger, output))


@cli.command(
    cls=_Examples, example="latentbeam report --scores run/ --model bundle/ --output report.html"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--model", metavar="BUNDLE", required=True, help="The bundle that scored it.")
@click.option("--output", metavar="FILE.html", required=True, help="The page; replaced if there.")
@click.option("--clusters", metavar="DIR", help="Folder of the run's clusters.")
@click.option("--input", "inputs", metavar="URI...", multiple=True,
              help="Where the images are now.  [default: where score read them]")  # fmt: skip
@click.option("--label", metavar="COLUMN",
              help="Column of labels.  [default: label, if there is one]")  # fmt: skip
@click.option("--map", "projection", type=click.Choice(["pca", "umap"]), default="pca",
              show_default=True, help="How latents come to lie in two dimensions.")  # fmt: skip
@click.option("--anomalies", type=click.IntRange(1, 500), default=24, show_default=True,
              help="How many of the most anomalous records to show.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Of the records that are drawn where there are too many.")  # fmt: skip
@_json
def report(
    scores: str,
    model: str,
    output: str,
    clusters: str | None,
    inputs: Sequence[str],
    label: str | None,
    projection: str,
    anomalies: int,
    seed: int,
    as_json: bool,
) -> None:
    """Write a run's report: one HTML file that works offline."""
    program = _program("report")

    result = program.report(
        scores, model, output, clusters, inputs, label, projection, seed, anomalies
    )
    _print(result, as_json, _report_lines)


@cli.command(cls=_Examples, example="latentbeam verify --scores run/ --input images/")
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@_input
@_json
@click.pass_context
def verify(context: click.Context, scores: str, inputs: Sequence[str], as_json: bool) -> None:
    """Check that every input record is in exactly one of scores and rejects.

    Exit status 1 if one is not.
    """
    program = _program("verify")

    result = program.verify(scores, inputs)
    _print(result, as_json, _verified_lines)
    if not result["ok"]:
        context.exit(_MISMATCH)


@cli.command(cls=_Examples, example="latentbeam inspect bundle/")
@click.argument("bundle")
@_json
def inspect(bundle: str, as_json: bool) -> None:
    """Show what a bundle is, after checking that no byte of it was changed."""
    program = _program("inspect")

    _print(program.inspect(bundle), as_json, lambda manifest: program.summary(manifest).split("\n"))


def _program(name: str) -> Any:
    """The module behind a command, imported without the lines that TensorFlow's native code
    prints on the way, which no setting of its own keeps off stderr."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        program = importlib.import_module(f"pipelines.{name}")
        importlib.import_module("tensorflow").config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    from pipelines.progress import configure_logging

    configure_logging()
    return program


def _beam_flags(context: click.Context) -> list[str]:
    from pipelines.beam_flags import check_beam_flags

    check_beam_flags(context.args, context.command.params)
    return context.args


def _print(result: Any, as_json: bool, lines: Any) -> None:
    click.echo(json.dumps(result, indent=2) if as_json else "\n".join(map(shown, lines(result))))


def _demo_lines(result: Mapping[str, Any]) -> list[str]:
    written = [f"{name}: {result[name]}" for name in ("bundle", "scores", "picture")]
    return [*_evaluated_lines(result["evaluation"]), *written]


def _trained_lines(manifest: Mapping[str, Any], output: str) -> list[str]:
    training, calibration = manifest["training"], manifest["calibration"]
    return [
        f"bundle: {output}",
        f"fingerprint: {manifest['fingerprint']}",
        f"records: {training['records']['train']} train, "
        f"{training['records']['validation']} validation, {calibration['records']} calibration, "
        f"{sum(training['rejected_by_reason'].values())} rejected",
        f"epochs: {training['epochs']}, best {training['best_epoch']} "
        f"(validation loss {training['validation_loss']:.5g})",
    ]


def _scored_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    if "job" in ledger:
        return _job_lines(ledger["job"])
    records = ledger["records"]
    reasons = ", ".join(f"{n} {reason}" for reason, n in records["rejected_by_reason"].items())
    passed_over = ledger["files_passed_over"]
    return [
        f"run: {output}",
        f"records: {records['read']} read, {records['scored']} scored, "
        f"{records['rejected']} rejected" + (f" ({reasons})" if reasons else ""),
        *([f"files passed over: {passed_over}"] if passed_over else []),
        *_tail_lines(ledger["model"]["pareto_tail"]),
        f"seconds: {ledger['seconds']}",
    ]


def _job_lines(job: Mapping[str, Any]) -> list[str]:
    done = {
        "checked": f"checked: the graph of job {job['name']}; it was not submitted",
        "template": f"template: {job['location']}; job {job['name']} was not submitted",
        "submitted": f"submitted: job {job['id']}, which is not waited for: {job['location']}",
    }
    workers = [
        ", ".join([found["image"], *(f"{k}={v}" for k, v in found["resource_hints"].items())])
        for found in job["environments"]
    ]
    return [
        done[job["state"]],
        f"graph: {job['graph_bytes']} bytes",
        *(f"workers: {line}" for line in workers),
    ]


def _tail_lines(tail: Mapping[str, Any] | None) -> list[str]:
    if tail is None:
        return []
    smallest = 1 / (tail["records"] + 1)
    return [f"p-values below {smallest:.2g} are extrapolated by a generalised Pareto tail"]


def _relabelled_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    changed = ledger["relabelled"]
    return [
        f"run: {output}",
        f"rule: --{changed['rule']} {changed['rate']:g}, p_value <= {changed['threshold']:.6g}",
        f"flagged: {changed['flagged']} of {ledger['records']['scored']} records",
    ]


def _report_lines(result: Mapping[str, Any]) -> list[str]:
    return [
        f"report: {result['report']}, {result['bytes'] / 1e6:.1f} MB",
        f"records: {result['records']:,}, {result['flagged']:,} flagged, "
        f"{result['map_records']:,} on the map",
        f"pictures: {result['pictures']['found']:,}, {result['pictures']['missing']:,} missing",
    ]


def _evaluated_lines(result: Mapping[str, Any]) -> list[str]:
    percent = f"{result['confidence']:.0%}"
    metrics = [
        f"{label}: {_measured(result[name], percent)}"
        for name, label in (("auroc", "AUROC"), ("average_precision", "average precision"))
    ]
    flagged = result["flagged"]
    return [
        f"records: {result['records']}, {result['anomalous']} anomalous",
        *metrics,
        f"flagged: {flagged['true_positive_rate']:.1%} of the anomalous, "
        f"{flagged['false_positive_rate']:.1%} of the others",
    ]


def _measured(metric: Mapping[str, float | None], percent: str) -> str:
    if metric["low"] is None:
        return f"{metric['value']:.4f}"
    return f"{metric['value']:.4f} ({percent} interval {metric['low']:.4f} to {metric['high']:.4f})"


def _verified_lines(result: Mapping[str, Any]) -> list[str]:
    if result["ok"]:
        return [f"ok: all {result['expected']} records are in exactly one of scores and rejects"]
    return [f"{problem}" for problem in result["problems"]]


def repeat_flags(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    """`--input a b c` as `--input a --input b --input c`, so that a shell's glob works.

    Args:
      arguments: the command line.
      flags: those that take several values.
    """
    result: list[str] = []
    current, has_value = "", False
    for argument in arguments:
        if argument.startswith("-"):
            current, has_value = (argument if argument in flags else ""), False
        elif current and has_value:
            result.append(current)
        else:
            has_value = True
        result.append(argument)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; a `LatentbeamError` gives one line on stderr and its exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = repeat_flags(sys.argv[1:] if arguments is None else arguments, _SEVERAL_VALUES)
    try:
        status = cli.main(args=list(arguments), prog_name="latentbeam", standalone_mode=False)
    except click.ClickException as error:
        _fail(f"{error.format_message()}", error.exit_code)
    except click.Abort:
        _fail("interrupted", 130)
    except Exception as error:
        known = _known_error(error)
        if known is None:
            raise
        _fail(" ".join(str(known).split()), known.exit_status)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _known_error(error: BaseException | None) -> "LatentbeamError | None":
    """The `LatentbeamError`, also where Beam has wrapped it, else None."""
    from ae_models.errors import LatentbeamError

    while error is not None:
        if isinstance(error, LatentbeamError):
            return error
        error = error.__cause__
    return None


def _fail(line: str, status: int) -> None:
    print(f"latentbeam: {shown(line)}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
