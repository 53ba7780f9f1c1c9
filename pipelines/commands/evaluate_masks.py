"""`latentbeam evaluate --masks`: how well a run's maps tell the pixels of defects."""

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
    """Measures of all pixels, and of those of each kind of defect, beside the pixels of all normal
    images. Records without a value of the condition's column, and anomalous ones without a mask,
    are left out, and counted. The maps are read twice; memory is bounded by one image, and some
    2 MiB a kind.

    Args:
      scores: the folder of a finished run with the maps of all records.
      masks: the folder of the masks.
      where: holds for the anomalous records.
      by: the column of kinds.

    Returns:
      `images`, `without_mask`, `unlabelled`; the measures, as `_measures` has them; `by`, its
      `column` and its `kinds`, each with its `value` and the measures.

    Raises:
      InputError: no such run, a mask that does not fit its image, or no pixel of either sort.
    """
    counted = _Counted(scores, Masks(masks), where, by)
    counted.count()
    if not counted.kinds:
        raise InputError(f"{masks} holds no mask of an anomalous record of {scores} ({where})")
    if not counted.normal.normal_images:
        raise InputError(f"{scores} holds no normal record ({where}), which AUPIMO is made of")
    return {
        "images": counted.images,
        "without_mask": counted.without_mask,
        "unlabelled": counted.unlabelled,
        **counted.measures(),
    }


class _Counted:
    """The pixels of a run's normal records, and of the anomalous ones of each kind."""

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
        """Those of all kinds, and of each."""
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
        """Those that are counted, with the masks of the anomalous ones."""
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
