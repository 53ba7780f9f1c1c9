"""A file system behind a scheme, not on a local path: `elsewhere://` before one."""

import os
import posixpath
import shutil
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

PREFIX = "elsewhere://"


class Elsewhere(LocalFileSystem):
    """Registered by being imported: Beam looks at the subclasses that there are."""

    @classmethod
    def scheme(cls) -> str:
        return PREFIX.removesuffix("://")

    def split(self, path: str) -> tuple[str, str]:
        return posixpath.split(path)

    def mkdirs(self, path: str) -> None:
        super().mkdirs(_local(path))

    def exists(self, path: str) -> bool:
        return super().exists(_local(path))

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for found in super()._list(_local(dir_or_prefix)):
            yield FileMetadata(PREFIX + found.path, found.size_in_bytes)

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, super().metadata(_local(path)).size_in_bytes)

    def create(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO
    ) -> BinaryIO:
        return super().create(_local(path), mime_type, compression_type)

    def open(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO
    ) -> BinaryIO:
        return super().open(_local(path), mime_type, compression_type)

    def rename(
        self, source_file_names: Sequence[str], destination_file_names: Sequence[str]
    ) -> None:
        super().rename(
            [_local(path) for path in source_file_names],
            [_local(path) for path in destination_file_names],
        )

    def delete(self, paths: Sequence[str]) -> None:
        for path in map(_local, paths):
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.remove(path)


def _local(path: str) -> str:
    return path.removeprefix(PREFIX)
