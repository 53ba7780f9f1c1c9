"""What the commands say of their results where no JSON is asked for: lines for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.console.escape import shown

_SMALL = 0.01


def demo_lines(result: Mapping[str, Any]) -> list[str]:
    """How well each kind of defect was found, what was written, and what to run next."""
    evaluation = result["evaluation"]
    pixels = {kind["value"]: kind for kind in evaluation["pixels"]["by"]["kinds"]}
    rows = [["defect", "images", "flagged", "image AUROC", "pixel AUROC"]]
    for kind in evaluation["by"]["kinds"]:
        of_pixels = pixels[kind["value"]]
        rows.append(_demo_row(kind["value"], kind["anomalous"], kind["scores"][0], of_pixels))
    primary = evaluation["scores"][0]
    rows.append(_demo_row("all", evaluation["anomalous"], primary, evaluation["pixels"]))
    return [
        *_aligned(rows),
        f"flagged among good parts: {primary['flagged']['false_positive_rate']:.1%}",
        "",
        *(f"{name}: {result[name]}" for name in ("images", "bundle", "scores", "picture")),
        f"report: {result['report']}",
        "",
        "next, with images of your own:",
        "  latentbeam train --input good_images/ --model ae --output bundle/",
        "  latentbeam score --input new_images/ --model bundle/ --output run/",
        "  latentbeam report --scores run/ --model bundle/ --output report.html",
    ]


def _demo_row(
    name: str, images: int, score: Mapping[str, Any], pixels: Mapping[str, Any]
) -> list[str]:
    """AUROC in per cent."""
    flagged = score["flagged"]["true_positive_rate"]
    return [
        name,
        str(images),
        f"{flagged:.1%}",
        f"{100 * score['auroc']['value']:.1f}",
        f"{100 * pixels['pixel_auroc']:.1f}",
    ]


def trained_lines(manifest: Mapping[str, Any], output: str) -> list[str]:
    """What was trained on, and for how long."""
    training, calibration = manifest["training"], manifest["calibration"]
    rejected = training["rejected_by_reason"]
    return [
        f"bundle: {output}",
        f"fingerprint: {manifest['fingerprint']}",
        f"records: {training['records']['train']} train, "
        f"{training['records']['validation']} validation, {calibration['records']} calibration, "
        f"{_rejected(sum(rejected.values()), rejected)}",
        *_convert_lines(rejected),
        *_passed_over_lines(training.get("passed_over", {})),
        f"epochs: {training['epochs']}, {_best(training['best_epoch'])} "
        f"(validation loss {training['validation_loss']:.5g})",
    ]


def _best(epoch: int) -> str:
    return f"best {epoch}" if epoch else "none better than what there was before"


def scored_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    """Counts of a run, or of the job that was handed over."""
    if "job" in ledger:
        return job_lines(ledger["job"])
    records = ledger["records"]
    reasons = records["rejected_by_reason"]
    return [
        f"run: {output}",
        f"records: {records['read']} read, {records['scored']} scored, "
        f"{_rejected(records['rejected'], reasons)}",
        *_convert_lines(reasons),
        *_passed_over_lines(ledger.get("passed_over", {}), "; named in passed_over/"),
        *_tail_lines(ledger["model"]["pareto_tail"]),
        f"seconds: {ledger['seconds']}",
    ]


def _rejected(count: int | None, by_reason: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in by_reason.items())
    return f"{count} rejected" + (f" ({reasons})" if reasons else "")


def _convert_lines(by_reason: Mapping[str, int]) -> list[str]:
    other = [reason for reason in ("wrong_channels", "wrong_bits") if by_reason.get(reason)]
    if not other:
        return []
    return [f"{' and '.join(other)}: a model trained with --set image.convert=true takes these too"]


def _passed_over_lines(by_cause: Mapping[str, int], where: str = "") -> list[str]:
    if not by_cause:
        return []
    counted = ", ".join(f"{count} {cause}" for cause, count in by_cause.items())
    return [f"passed over: {counted}{where}"]


def job_lines(job: Mapping[str, Any]) -> list[str]:
    """Where a job that is not waited for can be found."""
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


def relabelled_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    """The rule, and how many records it flags."""
    changed = ledger["relabelled"]
    return [
        f"run: {output}",
        *([f"score: {changed['score']}"] if "score" in changed else []),
        f"rule: --{changed['rule']} {changed['rate']:g}, p_value <= {changed['threshold']:.6g}",
        f"flagged: {changed['flagged']} of {ledger['records']['scored']} records",
    ]


def clustered_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    """Sizes of the clusters, and their agreement with labels."""
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


def classified_lines(ledger: Mapping[str, Any], output: str) -> list[str]:
    """How many records got a class, and how right that was."""
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


def report_lines(result: Mapping[str, Any]) -> list[str]:
    """The page and what is on it."""
    return [
        f"report: {result['report']}, {result['bytes'] / 1e6:.1f} MB",
        f"records: {result['records']:,}, {result['flagged']:,} flagged, "
        f"{result['map_records']:,} on the map",
        f"pictures: {result['pictures']['found']:,}, {result['pictures']['missing']:,} missing",
    ]


def evaluated_lines(result: Mapping[str, Any]) -> list[str]:
    """A row for each score, then one for each kind of anomaly."""
    percent = f"{result['confidence']:.0%}"
    left_out = result["unlabelled"]
    heading = ["score", "AUROC", "average precision", "flagged", "of the others"]
    lines = [
        f"records: {result['records']}, {result['anomalous']} anomalous"
        + (f"; {left_out} without a label left out" if left_out else ""),
        *_aligned([heading, *([_score_name(row), *_measures(row)] for row in result["scores"])]),
        f"* score, p_value and is_anomaly are made of it; in brackets, {percent} intervals",
    ]
    missing = [row for row in result["scores"] if row["without_score"]]
    lines += [f"{row['name']}: {row['without_score']} records have none" for row in missing]
    lines += _kind_lines(result["by"]) if "by" in result else []
    return lines + (_pixel_lines(result["pixels"]) if "pixels" in result else [])


def _kind_lines(by: Mapping[str, Any]) -> list[str]:
    """The primary score of each kind, and the score that ranks it highest."""
    heading = [by["column"], "anomalous", "AUROC", "average precision", "flagged", "highest AUROC"]
    rows = []
    for kind in by["kinds"]:
        primary = kind["scores"][0]
        best = max((row for row in kind["scores"] if row["auroc"] is not None),
                   key=lambda row: row["auroc"]["value"], default=None)  # fmt: skip
        told = "" if best is None else f"{best['auroc']['value']:.4f} {best['name']}"
        name = "(no value)" if kind["value"] is None else kind["value"]
        rows.append([name, str(kind["anomalous"]), *_measures(primary)[:3], told])
    return ["", *_aligned([heading, *rows])]


def _pixel_lines(pixels: Mapping[str, Any]) -> list[str]:
    """Measures of the pixels of all defects, and of each kind."""
    by = pixels["by"]
    low, high = pixels["aupimo_bounds"]
    heading = [by["column"], "masks", "regions", "pixel AUROC", "AUPRO 0.3", "AUPRO 0.05",
               "AUPIMO", "best F1", "at or above"]  # fmt: skip
    rows = [("all", pixels), *((kind["value"], kind) for kind in by["kinds"])]
    missing = pixels["without_mask"]
    return [
        "",
        f"pixels: {pixels['pixels']:,} of {pixels['images']:,} images"
        + (f"; {missing} anomalous records without a mask left out" if missing else ""),
        *_aligned([heading, *([name, *_pixel_measures(row)] for name, row in rows)]),
        f"AUPRO up to a false-positive rate; AUPIMO at rates of {low:g} to {high:g} on normal "
        f"images; AUROC within {pixels['pixel_auroc_error']:.1g}, as maps are half floats",
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
    rates = ["not known"] * 2
    if flagged is not None:
        rates = [f"{flagged[f'{kind}_positive_rate']:.2%}" for kind in ("true", "false")]
    return [_measured(row["auroc"]), _measured(row["average_precision"]), *rates]


def _measured(metric: Mapping[str, float | None] | None) -> str:
    if metric is None:
        return "not known"
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    return (
        _digits(value) if low is None else f"{_digits(value)} ({_digits(low)} to {_digits(high)})"
    )


def _digits(value: float | None) -> str:
    """Average precision is small where anomalies are rare."""
    return "" if value is None else f"{value:.4f}" if value >= _SMALL else f"{value:.2g}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def verified_lines(result: Mapping[str, Any]) -> list[str]:
    """That all is accounted for, or each problem; and what the run passed over."""
    passed_over = _passed_over_lines(result["passed_over"], " in the run")
    if result["ok"]:
        ok = f"ok: all {result['expected']} records are in exactly one of scores and rejects"
        return [ok, *passed_over]
    return [*result["problems"], *passed_over]
