"""What the commands print of their results without `--json`."""

from collections.abc import Mapping
from typing import Any

from pipelines.cli.tables import UNKNOWN, Fact, Item, Table

_SMALL = 0.01


def demo_lines(result: Mapping[str, Any]) -> list[Item]:
    """How well each kind of defect was found, what was written, and what to run next."""
    evaluation = result["evaluation"]
    primary, pixels = evaluation["scores"][0], evaluation["pixels"]
    by_kind = {kind["value"]: kind for kind in pixels["by"]["kinds"]}
    rows = [["defect", "images", "flagged", "image AUROC", "pixel AUROC"]]
    for kind in evaluation["by"]["kinds"]:
        of_pixels = by_kind[kind["value"]]
        rows.append(_demo_row(kind["value"], kind["anomalous"], kind["scores"][0], of_pixels))
    rows.append(_demo_row("all", evaluation["anomalous"], primary, pixels))
    written = ("images", "bundle", "scores", "picture", "report")
    return [
        Table(rows),
        Fact("flagged of good parts", f"{primary['flagged']['false_positive_rate']:.1%}"),
        *(Fact(name, str(result[name])) for name in written),
        "",
        "Next, with images of your own:",
        "  latentbeam train --input good_images/ --model ae --output bundle/",
        "  latentbeam score --input new_images/ --model bundle/ --output run/",
        "  latentbeam report --scores run/ --model bundle/ --output report.html",
    ]


def _demo_row(
    name: str, images: int, score: Mapping[str, Any], pixels: Mapping[str, Any]
) -> list[str]:
    """Rates and AUROC are in per cent."""
    return [
        name,
        str(images),
        f"{score['flagged']['true_positive_rate']:.1%}",
        f"{100 * score['auroc']['value']:.1f}%",
        f"{100 * pixels['pixel_auroc']:.1f}%",
    ]


def trained_lines(manifest: Mapping[str, Any], output: str) -> list[Item]:
    """What was trained on, and for how long."""
    training, calibration = manifest["training"], manifest["calibration"]
    rejected = training["rejected_by_reason"]
    return [
        Fact("bundle", output),
        Fact("fingerprint", manifest["fingerprint"]),
        Fact(
            "records",
            f"{training['records']['train']} train, {training['records']['validation']} "
            f"validation, {calibration['records']} calibration, "
            f"{_rejected(sum(rejected.values()), rejected)}",
        ),
        *_convert_lines(rejected),
        *_passed_over_lines(training.get("passed_over", {})),
        Fact(
            "epochs",
            f"{training['epochs']}, {_best(training['best_epoch'])} "
            f"(validation loss {training['validation_loss']:.5g})",
        ),
    ]


def _best(epoch: int) -> str:
    return f"best {epoch}" if epoch else "none better than before the first"


def scored_lines(ledger: Mapping[str, Any], output: str) -> list[Item]:
    """Counts of a run, or what became of a job that was not run to its end here."""
    if "job" in ledger:
        job = ledger["job"]
        return job_lines(job) if job["name"] else _checked_lines(ledger, output)
    records = ledger["records"]
    reasons = records["rejected_by_reason"]
    return [
        Fact("run", output),
        Fact(
            "records",
            f"{records['read']} read, {records['scored']} scored, "
            f"{_rejected(records['rejected'], reasons)}",
        ),
        *_convert_lines(reasons),
        *_passed_over_lines(ledger.get("passed_over", {}), "; listed in passed_over/"),
        *_tail_lines(ledger["model"]["pareto_tail"]),
        Fact("seconds", str(ledger["seconds"])),
    ]


def _rejected(count: int | None, by_reason: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in by_reason.items())
    return f"{count} rejected" + (f" ({reasons})" if reasons else "")


def _convert_lines(by_reason: Mapping[str, int]) -> list[Item]:
    other = [reason for reason in ("wrong_channels", "wrong_bits") if by_reason.get(reason)]
    if not other:
        return []
    remedy = "train with --set image.convert=true to accept these images"
    return [Fact(" and ".join(other), remedy)]


def _passed_over_lines(by_cause: Mapping[str, int], where: str = "") -> list[Item]:
    if not by_cause:
        return []
    counted = ", ".join(f"{count} {cause}" for cause, count in by_cause.items())
    return [Fact("passed over", f"{counted}{where}")]


def job_lines(job: Mapping[str, Any]) -> list[Item]:
    """Where a job that this process does not wait for can be found."""
    done = {
        "checked": f"the graph of job {job['name']}; it was not submitted",
        "template": f"{job['location']}; job {job['name']} was not submitted",
        "submitted": f"job {job['id']}, without waiting for it: {job['location']}",
    }
    workers = [
        ", ".join([found["image"], *(f"{k}={v}" for k, v in found["resource_hints"].items())])
        for found in job["environments"]
    ]
    return [
        Fact(job["state"], done[job["state"]]),
        Fact("graph", f"{job['graph_bytes']} bytes"),
        *(Fact("workers", line) for line in workers),
    ]


def _checked_lines(asked: Mapping[str, Any], output: str) -> list[Item]:
    """What a dry run found to be usable."""
    model = asked["model"]
    return [
        "dry run: inputs, bundle and options can be used; nothing was scored or written",
        Fact("inputs", ", ".join([*asked["inputs"], *asked["where"]])),
        Fact("bundle", f"{model['path']}, {model['kind']}, {model['fingerprint']}"),
        Fact("run", output),
        Fact("columns", ", ".join(["score", "p_value", "is_anomaly", *model["outputs"]])),
        Fact("flagged", f"p_value <= {model['fpr']:g}, from the score {model['primary_score']}"),
    ]


def _tail_lines(tail: Mapping[str, Any] | None) -> list[Item]:
    if tail is None:
        return []
    smallest = 1 / (tail["records"] + 1)
    return [f"p-values below {smallest:.2g} are extrapolated by a generalised Pareto tail"]


def relabelled_lines(ledger: Mapping[str, Any], output: str) -> list[Item]:
    """The rule, and how many records it flags."""
    changed = ledger["relabelled"]
    rule = f"--{changed['rule']} {changed['rate']:g}, p_value <= {changed['threshold']:.6g}"
    return [
        Fact("run", output),
        *([Fact("score", changed["score"])] if "score" in changed else []),
        Fact("rule", rule),
        Fact("flagged", f"{changed['flagged']} of {ledger['records']['scored']} records"),
    ]


def clustered_lines(ledger: Mapping[str, Any], output: str) -> list[Item]:
    """Sizes of the clusters, and their agreement with labels."""
    chosen, sizes = ledger["chosen"], sorted(ledger["sizes"].values(), reverse=True)
    shown_sizes = ", ".join(f"{size}" for size in sizes[:20]) + (", ..." if sizes[20:] else "")
    agreement = ledger.get("agreement")
    return [
        Fact("run", output),
        Fact(
            "clusters", f"{ledger['clusters']}" + (f", chosen by {chosen['by']}" if chosen else "")
        ),
        Fact(
            "records",
            f"{ledger['records']} in clusters of {shown_sizes or 'none'}"
            + (f"; {ledger['noise']} noise" if ledger["noise"] else ""),
        ),
        *([_agreement(agreement, ledger["label"])] if agreement else []),
        Fact("seconds", str(ledger["seconds"])),
    ]


def _agreement(agreement: Mapping[str, Any], label: str) -> Fact:
    return Fact(
        f"agreement with {label}",
        f"accuracy {agreement['accuracy']:.3f}, "
        f"NMI {agreement['normalized_mutual_information']:.3f}, "
        f"ARI {agreement['adjusted_rand_index']:.3f}",
    )


def classified_lines(ledger: Mapping[str, Any], output: str) -> list[Item]:
    """How many records got a class, and how many of these are right."""
    found = ledger["evaluation"]
    lines: list[Item] = [
        Fact("run", output),
        Fact(
            "classes", f"{len(ledger['classes'])}, fitted to {ledger['sample']['fitted']} records"
        ),
        Fact(
            "records",
            f"{ledger['records']}, {ledger['no_class']} without a class "
            f"(evidence_p_value <= {ledger['fpr']:g})",
        ),
    ]
    if found is not None:
        measures = (
            f"accuracy {found['accuracy']:.2%}, log loss {found['log_loss']:.4f} nats, "
            f"calibration error {found['expected_calibration_error']:.2%} "
            f"({found['records']} records)"
        )
        lines.append(Fact(f"agreement with {ledger['label']}", measures))
    return [*lines, Fact("seconds", str(ledger["seconds"]))]


def report_lines(result: Mapping[str, Any]) -> list[Item]:
    """The page and what is on it."""
    pictures = result["pictures"]
    return [
        Fact("report", f"{result['report']}, {result['bytes'] / 1e6:.1f} MB"),
        Fact(
            "records",
            f"{result['records']:,}, {result['flagged']:,} flagged, "
            f"{result['map_records']:,} on the map",
        ),
        Fact("pictures", f"{pictures['found']:,}, {pictures['missing']:,} missing"),
    ]


def evaluated_lines(result: Mapping[str, Any]) -> list[Item]:
    """A row for each score, then one for each kind of anomaly."""
    percent = f"{result['confidence']:.0%}"
    left_out = result["unlabelled"]
    heading = ["score", "AUROC", "average precision", "flagged", "others flagged"]
    lines: list[Item] = [
        Fact(
            "records",
            f"{result['records']}, {result['anomalous']} anomalous"
            + (f"; {left_out} without a label left out" if left_out else ""),
        ),
        Table([heading, *([_score_name(row), *_measures(row)] for row in result["scores"])]),
        f"* primary score, from which p_value and is_anomaly are computed; {percent} intervals "
        "in brackets",
    ]
    missing = [row for row in result["scores"] if row["without_score"]]
    lines += [Fact(row["name"], f"{row['without_score']} records lack it") for row in missing]
    lines += _kind_lines(result["by"]) if "by" in result else []
    return lines + (_pixel_lines(result["pixels"]) if "pixels" in result else [])


def _kind_lines(by: Mapping[str, Any]) -> list[Item]:
    """The primary score of each kind, and the score that ranks it highest."""
    heading = [by["column"], "anomalous", "AUROC", "average precision", "flagged", "highest AUROC"]
    rows = []
    for kind in by["kinds"]:
        primary = kind["scores"][0]
        best = max((row for row in kind["scores"] if row["auroc"] is not None),
                   key=lambda row: row["auroc"]["value"], default=None)  # fmt: skip
        highest = "" if best is None else f"{best['auroc']['value']:.4f} {best['name']}"
        name = "(no value)" if kind["value"] is None else kind["value"]
        rows.append([name, str(kind["anomalous"]), *_measures(primary)[:3], highest])
    return ["", Table([heading, *rows])]


def _pixel_lines(pixels: Mapping[str, Any]) -> list[Item]:
    """Measures of the pixels of all defects, and of each kind."""
    by = pixels["by"]
    low, high = pixels["aupimo_bounds"]
    heading = [by["column"], "masks", "regions", "pixel AUROC", "AUPRO 0.3", "AUPRO 0.05",
               "AUPIMO", "best F1", "threshold"]  # fmt: skip
    rows = [("all", pixels), *((kind["value"], kind) for kind in by["kinds"])]
    missing = pixels["without_mask"]
    return [
        "",
        Fact(
            "pixels",
            f"{pixels['pixels']:,} of {pixels['images']:,} images"
            + (f"; {missing} anomalous records without a mask left out" if missing else ""),
        ),
        Table([heading, *([name, *_pixel_measures(row)] for name, row in rows)]),
        f"AUPRO is up to the false-positive rate given; AUPIMO at rates of {low:g} to {high:g} on "
        f"normal images; AUROC is within {pixels['pixel_auroc_error']:.1g}: maps are half floats",
    ]


def _pixel_measures(row: Mapping[str, Any]) -> list[str]:
    shares = [row[name] for name in ("pixel_auroc", "aupro_0.3", "aupro_0.05", "aupimo")]
    best = row["best_f1"]
    return [
        f"{row['anomalous']:,}",
        f"{row['regions']:,}",
        *(f"{share:.4f}" for share in (*shares, best["f1"])),
        "all" if best["threshold"] is None else f"{best['threshold']:.4g}",
    ]


def _score_name(row: Mapping[str, Any]) -> str:
    return f"{row['name']} *" if row["primary"] else str(row["name"])


def _measures(row: Mapping[str, Any]) -> list[str]:
    flagged = row["flagged"]
    rates = [UNKNOWN] * 2
    if flagged is not None:
        rates = [f"{flagged[f'{kind}_positive_rate']:.2%}" for kind in ("true", "false")]
    return [_measured(row["auroc"]), _measured(row["average_precision"]), *rates]


def _measured(metric: Mapping[str, float | None] | None) -> str:
    if metric is None:
        return UNKNOWN
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    return (
        _digits(value) if low is None else f"{_digits(value)} ({_digits(low)} to {_digits(high)})"
    )


def _digits(value: float | None) -> str:
    """Average precision is small where anomalies are rare."""
    return "" if value is None else f"{value:.4f}" if value >= _SMALL else f"{value:.2g}"


def verified_lines(result: Mapping[str, Any]) -> list[Item]:
    """That all is accounted for, or each problem; and what the run passed over."""
    passed_over = _passed_over_lines(result["passed_over"], " in the run")
    if result["ok"]:
        ok = f"ok: all {result['expected']} records are in exactly one of scores and rejects"
        return [ok, *passed_over]
    return [*result["problems"], *passed_over]
