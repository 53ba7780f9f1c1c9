"""The command `latentbeam`: flags in, one call, results out.

Keras and Beam are imported when a command runs, never for `--help`.
"""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pipelines.command_line import (
    WithExample,
    inputs_option,
    json_option,
    load_program,
    overwrite_option,
    print_result,
    where_option,
)
from pipelines.explore.command_line import explore
from pipelines.terminal import shown

if TYPE_CHECKING:
    from ae_models.errors import LatentbeamError

_SEVERAL_VALUES = ("--input", "--where", "--set")
_MISMATCH = 1
_FOR_BEAM = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="latentbeam")
def cli() -> None:
    """Finds the odd ones among very many images.

    Trains auto-encoders and applies them in an Apache Beam pipeline, which writes latents, anomaly
    scores and p-values to Parquet.
    """


@cli.command(cls=WithExample, example="latentbeam demo --output latentbeam-demo")
@click.option(
    "--output",
    default="latentbeam-demo",
    show_default=True,
    help="Folder to write; an earlier demo in it is replaced.",
)
@json_option
def demo(output: str, as_json: bool) -> None:
    """Train, score and evaluate on embedded digits."""
    program = load_program("demo")

    result = program.demo(output)
    print_result(result, as_json, _demo_lines)


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam train --input images/ --where label=good --model vae --output bundle/ \\\n"
    "    --set model.latent_dim=16",
)
@inputs_option
@click.option("--model", type=click.Choice(["ae", "dae", "vae"]), required=True)
@click.option("--output", metavar="BUNDLE", required=True, help="Folder of the model bundle.")
@click.option(
    "--config", metavar="FILE.yaml", help="Configuration; README and docs/models.md list its keys."
)
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="One key: model.latent_dim=16."
)
@where_option
@click.option("--epochs", type=int, help="At most so many; early stopping may end sooner.")
@click.option("--seed", type=int, help="Same seed, same machine: same weights.")
@overwrite_option
@json_option
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
    program = load_program("train")

    beam_flags = _beam_flags(context)
    configuration = program.train_configuration(
        model, config, overrides, {"epochs": epochs, "seed": seed}
    )
    manifest = program.train(inputs, configuration, output, where, beam_flags, overwrite)
    print_result(manifest, as_json, lambda _: _trained_lines(manifest, output))


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam score --input images/ --model bundle/ --output run/",
)
@inputs_option
@click.option("--model", metavar="BUNDLE", required=True, help="Folder that train wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the run.")
@where_option
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
@overwrite_option
@json_option
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
    program = load_program("score")

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
    print_result(ledger, as_json, lambda _: _scored_lines(ledger, output))


@cli.command(
    cls=WithExample, example="latentbeam evaluate --scores run/ --anomalous label!=good --json"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--anomalous", metavar="COLUMN=VALUE[,VALUE]", required=True,
              help="Which records are anomalous in truth; != for all others.")  # fmt: skip
@json_option
def evaluate(scores: str, anomalous: str, as_json: bool) -> None:
    """AUROC and average precision of a run's scores, with bootstrap intervals."""
    program = load_program("evaluate")

    print_result(program.evaluate(scores, anomalous), as_json, _evaluated_lines)


@cli.command(
    cls=WithExample, example="latentbeam relabel --scores run/ --output relabelled/ --fdr 0.1"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the relabelled run.")
@click.option("--fpr", type=float, help="Flag p_value <= FPR.")
@click.option("--fdr", type=float, help="Flag by Benjamini and Hochberg's rule at this rate.")
@overwrite_option
@json_option
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
    program = load_program("relabel")

    ledger = program.relabel(scores, output, fpr, fdr, overwrite)
    print_result(ledger, as_json, lambda _: _relabelled_lines(ledger, output))


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam cluster --scores run/ --output clusters/ --method n2d --clusters 10",
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the clusters.")
@click.option("--method", type=click.Choice(["kmeans", "gmm", "hdbscan", "n2d"]), default="kmeans",
              show_default=True, help="How clusters are found.")  # fmt: skip
@click.option("--clusters", type=click.IntRange(min=1), metavar="K",
              help="How many.  [default: chosen by the method's criterion]")  # fmt: skip
@click.option("--min_cluster_size", type=click.IntRange(min=2), metavar="N",
              help="Of hdbscan: the least sampled records of a cluster.  "
                   "[default: one in a hundred]")  # fmt: skip
@click.option("--label", metavar="COLUMN",
              help="Column to compare clusters with.  [default: label, if there]")  # fmt: skip
@click.option("--sample", type=click.IntRange(min=1), metavar="N",
              help="Find clusters in at most so many records.  "
                   "[default: 50000; of hdbscan 10000]")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed: same clusters.")
@overwrite_option
@json_option
@click.pass_context
def cluster(
    context: click.Context,
    scores: str,
    output: str,
    method: str,
    clusters: int | None,
    min_cluster_size: int | None,
    label: str | None,
    sample: int | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Group a run's records by their latents.

    Clusters are found in a sample of the records; a pipeline gives each record its own. Flags that
    are not listed here go to Beam.
    """
    program = load_program("cluster")

    ledger = program.cluster(
        scores,
        output,
        method,
        clusters,
        label,
        sample,
        min_cluster_size,
        seed,
        overwrite,
        _beam_flags(context),
    )
    print_result(ledger, as_json, lambda _: _clustered_lines(ledger, output))


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam classify --scores run/ --output classes/ --apply new_run/",
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--label", metavar="COLUMN", default="label", show_default=True,
              help="The column of true classes to fit to.")  # fmt: skip
@click.option("--output", metavar="DIR", required=True, help="Folder of the class probabilities.")
@click.option("--apply", metavar="DIR",
              help="Classify the records of this run, of the same bundle.  "
                   "[default: those of --scores]")  # fmt: skip
@click.option("--components", type=int, default=1, show_default=True, help="Gaussians a class.")
@click.option("--fpr", type=float, default=0.01, show_default=True,
              help="No class where the p-value of the evidence is at most FPR.")  # fmt: skip
@click.option("--sample", type=int, default=50_000, show_default=True,
              help="Fit to at most so many records.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of sample and fit.")
@overwrite_option
@json_option
@click.pass_context
def classify(
    context: click.Context,
    scores: str,
    label: str,
    output: str,
    apply: str | None,
    components: int,
    fpr: float,
    sample: int,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """p(class | record) from a run's latents and a column of labels, to Parquet.

    By Bayes' rule over Gaussians of each class. A record that is likely under none of them gets
    no class. Flags that are not listed here go to Beam.
    """
    program = load_program("classify")

    config = program.ClassConfig(label, components, fpr, sample, seed)
    ledger = program.classify(scores, output, config, apply, _beam_flags(context), overwrite)
    print_result(ledger, as_json, lambda _: _classified_lines(ledger, output))


@cli.command(
    cls=WithExample, example="latentbeam report --scores run/ --model bundle/ --output report.html"
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
@json_option
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
    program = load_program("report")

    result = program.report(
        scores, model, output, clusters, inputs, label, projection, seed, anomalies
    )
    print_result(result, as_json, _report_lines)


@cli.command(cls=WithExample, example="latentbeam verify --scores run/ --input images/")
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@inputs_option
@json_option
@click.pass_context
def verify(context: click.Context, scores: str, inputs: Sequence[str], as_json: bool) -> None:
    """Check that every input record is in exactly one of scores and rejects.

    Exit status 1 if one is not.
    """
    program = load_program("verify")

    result = program.verify(scores, inputs)
    print_result(result, as_json, _verified_lines)
    if not result["ok"]:
        context.exit(_MISMATCH)


@cli.command(cls=WithExample, example="latentbeam inspect bundle/")
@click.argument("bundle")
@json_option
def inspect(bundle: str, as_json: bool) -> None:
    """Show what a bundle is, after checking that no byte of it was changed."""
    program = load_program("inspect")

    print_result(
        program.inspect(bundle), as_json, lambda manifest: program.summary(manifest).split("\n")
    )


cli.add_command(explore)


def _beam_flags(context: click.Context) -> list[str]:
    from pipelines.beam_flags import check_beam_flags

    check_beam_flags(context.args, context.command.params)
    return context.args


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


def _clustered_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    chosen, sizes = ledger["chosen"], sorted(ledger["sizes"].values(), reverse=True)
    shown_sizes = ", ".join(f"{size}" for size in sizes[:20]) + (", ..." if sizes[20:] else "")
    agreement = ledger.get("agreement")
    return [
        f"run: {output}",
        f"clusters: {ledger['clusters']}" + (f", chosen by {chosen['by']}" if chosen else ""),
        f"records: {ledger['records']} in clusters of {shown_sizes or 'none'}"
        + (f"; {ledger['noise']} noise" if ledger["noise"] else ""),
        *([_agreement_line(agreement, ledger["label"])] if agreement else []),
        f"seconds: {ledger['seconds']}",
    ]


def _agreement_line(agreement: Mapping[str, Any], label: str) -> str:
    return (
        f"agreement with {label}: accuracy {agreement['accuracy']:.3f}, "
        f"NMI {agreement['normalized_mutual_information']:.3f}, "
        f"ARI {agreement['adjusted_rand_index']:.3f}"
    )


def _classified_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    found = ledger["evaluation"]
    lines = [
        f"run: {output}",
        f"classes: {len(ledger['classes'])}, fitted to {ledger['sample']['fitted']} records",
        f"records: {ledger['records']}, {ledger['no_class']} of no class "
        f"(evidence_p_value <= {ledger['fpr']:g})",
    ]
    if found is not None:
        lines.append(
            f"by {ledger['label']}, of {found['records']} records: accuracy "
            f"{found['accuracy']:.2%}, log loss {found['log_loss']:.4f} nats, calibration error "
            f"{found['expected_calibration_error']:.2%}"
        )
    return [*lines, f"seconds: {ledger['seconds']}"]


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
