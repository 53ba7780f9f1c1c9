"""`latentbeam evaluate --masks`: how well a run's anomaly maps locate the pixels of defects."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ae_models.errors import InputError
from ae_models.pixel_ranking.counts import PixelCounts
from ae_models.pixel_ranking.measures import AUPIMO_BOUNDS, Aupimo, aupro, best_f1, pixel_auroc
from pipelines.console.progress import Progress
from transforms.masks.mask_files import Masks
from transforms.masks.pixels import MappedRecord, mapped_records
from transforms.records.where import Where
from transforms.runs.ledger import MAPS, read_ledger

_AUPRO_LIMITS = (0.3, 0.05)


def evaluate_masks(scores: str, masks: str, where: Where, by: str) -> dict[str, Any]:
    """Measures over all pixels, and over those of each kind of defect together with the pixels of
    all normal images. Records without a value in the condition's column, and anomalous records
    without a mask, are excluded, and counted. The maps are read twice; memory is bounded by one
    image and about 2 MiB per kind.

    Args:
      scores: the folder of a finished run with the maps of all records.
      masks: the folder of the masks.
      where: true for the anomalous records.
      by: the column of kinds.

    Returns:
      `images`, `without_mask`, `unlabelled`; the measures, as in `_measures`; `by`, its `column`
      and its `kinds`, each with its `value` and the measures.

    Raises:
      InputError: there is no such run, a mask does not fit its image, or normal or anomalous
        pixels are missing.
    """
    counted = _Counted(scores, Masks(masks), where, by)
    counted.count()
    if not counted.kinds:
        raise InputError(f"{masks} contains no mask for any anomalous record of {scores} ({where})")
    if not counted.normal.normal_images:
        raise InputError(f"{scores} contains no normal record ({where}); AUPIMO needs some")
    return {
        "images": counted.images,
        "without_mask": counted.without_mask,
        "unlabelled": counted.unlabelled,
        **counted.measures(),
    }


class _Counted:
    """Pixel counts of a run's normal records, and of the anomalous records of each kind."""

    def __init__(self, scores: str, masks: Masks, where: Where, by: str):
        self._arguments, self._masks, self._by = (scores, where, by), masks, by
        self._total = int(read_ledger(scores).get(MAPS) or 0)
        self.images = self.without_mask = self.unlabelled = 0
        self.normal = PixelCounts()
        self.kinds: dict[str, PixelCounts] = {}

    def count(self) -> None:
        for record, mask in self._records("counting pixels"):
            self.images += 1
            counts = self.normal
            if mask is not None:
                counts = self.kinds.setdefault(record.kind or "", PixelCounts())
            counts.add(record.pixels(mask))

    def measures(self) -> dict[str, Any]:
        """Measures over all kinds, and for each kind."""
        recalls = self._recalls()
        everything, rows = self.normal, []
        for kind, counts in sorted(self.kinds.items()):
            everything = everything.merged(counts)
            measures = _measures(self.normal.merged(counts), recalls[kind])
            rows.append({"value": kind, **measures})
        whole = _measures(everything, [value for own in recalls.values() for value in own])
        return {**whole, "by": {"column": self._by, "kinds": rows}}

    def _recalls(self) -> dict[str, list[float]]:
        """AUPIMO of each anomalous record, by kind."""
        aupimo = Aupimo(self.normal)
        found: dict[str, list[float]] = {kind: [] for kind in self.kinds}
        for record, mask in self._records("AUPIMO", normal=False):
            if mask is not None:
                found[record.kind or ""].append(aupimo.of(record.pixels(mask)))
        return found

    def _records(
        self, label: str, normal: bool = True
    ) -> Iterator[tuple[MappedRecord, np.ndarray | None]]:
        """The records that are counted, anomalous ones with their masks."""
        self.unlabelled = self.without_mask = 0
        with Progress(label, self._total, " maps") as progress:
            for number, record in enumerate(mapped_records(*self._arguments), 1):
                progress.show(number)
                if record.anomalous is None:
                    self.unlabelled += 1
                elif not record.anomalous:
                    if normal:
                        yield record, None
                elif (mask := self._masks.mask(record.id, record.stored)) is not None:
                    yield record, mask
                else:
                    self.without_mask += 1


def _measures(counts: PixelCounts, recalls: list[float]) -> dict[str, Any]:
    auroc, error = pixel_auroc(counts)
    return {
        "anomalous": counts.images - counts.normal_images,
        "regions": counts.regions,
        "anomalous_pixels": int(counts.anomalous.sum()),
        "pixels": int(counts.anomalous.sum() + counts.normal.sum()),
        "pixel_auroc": auroc,
        "pixel_auroc_error": error,
        **{f"aupro_{limit:g}": aupro(counts, limit) for limit in _AUPRO_LIMITS},
        "aupimo": float(np.mean(recalls)),
        "aupimo_bounds": list(AUPIMO_BOUNDS),
        "best_f1": best_f1(counts)._asdict(),
    }
