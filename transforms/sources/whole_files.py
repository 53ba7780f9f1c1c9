"""Sources whose files are each read by one worker, from beginning to end."""

import os
from collections.abc import Iterator
from typing import ClassVar

from transforms.records.passed_over import PassedOver
from transforms.sources.kinds import files_of
from transforms.sources.source import Listing, Source


class WholeFiles(Source):
    """A task is the path of one file, as the system's bytes: as text it would have to be Unicode.

    Attributes:
      kind: the kind of the files, one of `options.FORMATS`.
    """

    kind: ClassVar[str]

    def listings(self) -> Iterator[Listing]:
        passed_over = PassedOver()
        for path in files_of(self.kind, self, passed_over):
            yield Listing(os.fsencode(path), passed_over.taken())
        yield Listing(None, passed_over.taken())

    def paths(self, task: bytes) -> list[str]:
        return [os.fsdecode(task)]
