"""`latentbeam explore locate`: where records are anomalous, according to a model's maps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.console.progress import Progress
from pipelines.drawing.located import located_grid
from pipelines.drawing.png import check_picture
from pipelines.explore.model import opened
from pipelines.explore.records import Choice
from transforms.maps.locate import check_regions
from transforms.reading.looked_at import LookedAt
from transforms.scoring.locate_records import LocatedRecord, locate_records
from transforms.scoring.options import ScoreOptions
from transforms.sources import ReadOptions


def locate(
    model: str,
    output: str,
    *,
    inputs: Sequence[str],
    ids: str | None = None,
    count: int = 5,
    seed: int = 0,
    where: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    fpr: float | None = None,
) -> dict[str, Any]:
    """Draws inputs, overlays of their anomaly maps with boxes around regions, and the maps alone;
    returns each record's regions.

    Args:
      reading: fields of `ReadOptions`, how the inputs are read.
      fpr: the greatest p-value of a region's peak; None: the bundle's.

    Raises:
      LatentbeamError: a record, the bundle, a rate or the output cannot be used.
    """
    check_picture(output)
    options = ReadOptions(**(reading or {}))
    choice, bundle = Choice(inputs, ids, count, seed, where, options), opened(model, in_tiles=True)
    rate = bundle.config.scoring.fpr if fpr is None else fpr
    check_regions(bundle)  # before inputs are read
    ScoreOptions(rate)

    def look(wanted: Sequence[str], looked_at: LookedAt) -> Iterable[tuple[str, LocatedRecord]]:
        with Progress("locating", len(wanted)) as progress:
            found = locate_records(inputs, wanted, bundle, rate, options, looked_at)
            for done, record in enumerate(found, 1):
                progress.show(done)
                yield record.id, record

    records = list(choice.look_for(look).values())
    heading = f"Where images are anomalous: regions with p <= {rate:g}"
    located_grid(output, records, titles=list(map(_title, records)), heading=heading)
    return {"picture": output, "records": list(map(_told, records))}


def _title(record: LocatedRecord) -> str:
    count = len(record.regions)
    if not count:
        return f"{record.id}\nno region"
    regions = "1 region" if count == 1 else f"{count} regions"
    return f"{record.id}\n{regions}, p {record.p_values[0]:.2g}"


def _told(record: LocatedRecord) -> dict[str, Any]:
    pairs = zip(record.regions, record.p_values.tolist(), strict=True)
    return {"id": record.id, "regions": [{**r._asdict(), "p_value": p} for r, p in pairs]}
