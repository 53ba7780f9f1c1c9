"""`latentbeam demo`: the whole job on embedded digits, in a few minutes."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.errors import OutputError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from pipelines.console.progress import say
from pipelines.drawing.reconstruction import reconstruction_grid
from transforms.reading.find_images import record_images
from transforms.records.batches import ID
from transforms.runs.ledger import SCORES, result_files
from transforms.storage.paths import is_local

_INPUT = "builtin:digits"
_HELD_OUT = "label=0"  # the class that training never sees
_NORMAL = "label!=0"
# Small images, few of them: fewer latents, smaller batches, and p-values no finer than 1/150.
_SETTINGS = ("training.batch_size=32", "scoring.fpr=0.05")
_SHOWN = 6  # columns of the picture at each end


def demo(output: str) -> dict[str, Any]:
    """Trains a VAE without one class, scores all digits, evaluates, and draws a picture.

    Returns:
      The evaluation, and the paths of what was written.

    Raises:
      OutputError: `output` is no local folder, or cannot be written.
    """
    if not is_local(output):
        raise OutputError(f"the demo writes to a local folder. Received: {output}")
    folder = Path(output)
    bundle, scores, picture = folder / "bundle", folder / "run", folder / "picture.png"
    say(f"training a VAE on {_INPUT} where {_NORMAL}")
    config = train_configuration("vae", overrides=_SETTINGS)
    train([_INPUT], config, str(bundle), where=[_NORMAL], overwrite=True)
    say(f"scoring all of {_INPUT}")
    ledger = score([_INPUT], str(bundle), str(scores), overwrite=True)
    evaluation = evaluate(str(scores), _HELD_OUT)
    verification = verify(str(scores), [_INPUT])
    _draw(picture, bundle, scores)
    return {
        "records": ledger["records"],
        "evaluation": evaluation,
        "verified": verification["ok"],
        "bundle": str(bundle),
        "scores": str(scores),
        "picture": str(picture),
    }


def _draw(path: Path, bundle_path: Path, scores: Path) -> None:
    """The least and the most anomalous records, with their reconstructions and errors."""
    bundle = open_bundle(bundle_path)
    table = pa.concat_tables(
        pq.read_table(file, columns=[ID, "label", "score"])
        for file in result_files(str(scores), SCORES)
    ).sort_by("score")
    ends = [*range(_SHOWN), *range(len(table) - _SHOWN, len(table))]
    chosen = table.take(pa.array(ends))
    records = chosen[ID].to_pylist()
    pixels = dict(record_images([_INPUT], records, bundle.config.image))
    images = np.stack([pixels[record] for record in records])
    outputs = Scorer(bundle.path, bundle.config).reconstruct(images)
    titles = [f"digit {row['label']}\nscore {row['score']:.3g}" for row in chosen.to_pylist()]
    reconstruction_grid(
        str(path),
        outputs["input"],
        outputs["reconstruction"],
        titles=titles,
        heading=f"least anomalous (left) and most anomalous records; trained where {_NORMAL}",
    )
