"""`latentbeam demo`: from images to a report, on pictures of machined parts that it draws."""

from pathlib import Path
from typing import Any

from ae_models.bundles.bundle import open_bundle
from ae_models.errors import OutputError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from pipelines.console.progress import Progress, say
from pipelines.drawing.findings import Finding, write_findings
from pipelines.report.command import report
from transforms.records.batches import ID
from transforms.results.read_shards import shard_batches
from transforms.runs.ledger import SCORES, result_files
from transforms.scoring.locate_records import LocatedRecord, locate_records
from transforms.sources.drawn_parts.album import GROUND_TRUTH, PICTURES, TEST, TRAIN
from transforms.sources.drawn_parts.folder import write_parts
from transforms.sources.drawn_parts.part import DEFECTS, GOOD
from transforms.storage.paths import is_local
from transforms.storage.staging import output_errors

_SHOWN = "005"  # in the picture: the sixth image of each kind
_ANOMALOUS = f"label!={GOOD}"


def demo(output: str) -> dict[str, Any]:
    """Draws images of parts, trains on good ones, scores others, evaluates scores and anomaly maps
    against the known defects, and writes a report.

    Args:
      output: the local folder to write `parts/`, in the layout of MVTec AD, `bundle/`, `run/`,
        `report.html` and `picture.jpg` to.

    Returns:
      The evaluation, and the paths of what was written.

    Raises:
      OutputError: `output` is not a local folder, or cannot be written.
    """
    if not is_local(output):
        raise OutputError(f"the demo writes to a local folder. Received: {output}")
    folder = Path(output)
    parts, bundle, run = folder / "parts", folder / "bundle", folder / "run"
    page, picture = folder / "report.html", folder / "picture.jpg"
    _write_parts(parts)
    test, masks = str(parts / TEST), str(parts / GROUND_TRUTH)
    config = train_configuration("ae")
    say("training an auto-encoder on images of good parts")
    train([str(parts / TRAIN)], config, str(bundle), overwrite=True)
    say("scoring images of good and defective parts")
    ledger = score([test], str(bundle), str(run), maps="all", overwrite=True)
    evaluation = evaluate(str(run), _ANOMALOUS, by="label", masks=masks)
    verified = verify(str(run), [test])["ok"]
    report(str(run), str(bundle), str(page))
    _draw(str(picture), bundle, run, test)
    return {
        "records": ledger["records"],
        "evaluation": evaluation,
        "verified": verified,
        "images": str(parts),
        "bundle": str(bundle),
        "scores": str(run),
        "picture": str(picture),
        "report": str(page),
    }


def _write_parts(folder: Path) -> None:
    with output_errors(str(folder)), Progress("drawing parts", len(PICTURES)) as progress:
        for done in write_parts(folder):
            progress.show(done)


def _draw(path: str, bundle_path: Path, run: Path, images: str) -> None:
    """A good part and one of each defect, always the same ones, whatever their scores."""
    ids = [f"{kind}/{_SHOWN}.jpg" for kind in (GOOD, *DEFECTS)]
    rows = {
        row[ID]: row
        for file in result_files(str(run), SCORES)
        for batch in shard_batches(file, [ID, "label", "p_value", "is_anomaly"])
        for row in batch.to_pylist()
        if row[ID] in ids
    }
    bundle = open_bundle(bundle_path)
    found = locate_records([images], ids, bundle, bundle.config.scoring.fpr)
    located = {record.id: record for record in found}
    write_findings(path, [_finding(rows[record], located[record]) for record in ids])


def _finding(row: dict[str, Any], record: LocatedRecord) -> Finding:
    verdict = f"{'flagged' if row['is_anomaly'] else 'not flagged'}, p = {row['p_value']:.2g}"
    return Finding(
        row["label"].replace("_", " "),
        verdict,
        row["is_anomaly"],
        record.image,
        record.map,
        record.overlay,
    )
