"""What the commands say of their results where no JSON is asked for: lines for people."""

from collections.abc import Mapping
from typing import Any


def demo_lines(result: Mapping[str, Any]) -> list[str]:
    """The demo's evaluation, then what it wrote."""
    written = [f"{name}: {result[name]}" for name in ("bundle", "scores", "picture")]
    return [*evaluated_lines(result["evaluation"]), *written]


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
        f"epochs: {training['epochs']}, best {training['best_epoch']} "
        f"(validation loss {training['validation_loss']:.5g})",
    ]


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
    """The metrics, each with its interval."""
    percent = f"{result['confidence']:.0%}"
    metrics = [
        f"{label}: {_measured(result[name], percent)}"
        for name, label in (("auroc", "AUROC"), ("average_precision", "average precision"))
    ]
    flagged = result["flagged"]
    return [
        f"records: {result['records']}, {result['anomalous']} anomalous"
        + (f"; {result['unlabelled']} without a label left out" if result["unlabelled"] else ""),
        *metrics,
        f"flagged: {flagged['true_positive_rate']:.1%} of the anomalous, "
        f"{flagged['false_positive_rate']:.1%} of the others",
    ]


def _measured(metric: Mapping[str, float | None], percent: str) -> str:
    if metric["low"] is None:
        return f"{metric['value']:.4f}"
    return f"{metric['value']:.4f} ({percent} interval {metric['low']:.4f} to {metric['high']:.4f})"


def verified_lines(result: Mapping[str, Any]) -> list[str]:
    """That all is accounted for, or each problem; and what the run passed over."""
    passed_over = _passed_over_lines(result["passed_over"], " in the run")
    if result["ok"]:
        ok = f"ok: all {result['expected']} records are in exactly one of scores and rejects"
        return [ok, *passed_over]
    return [*result["problems"], *passed_over]
