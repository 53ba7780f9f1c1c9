"""WebDataset: tar archives whose members are grouped into samples by name."""

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, ClassVar

import pyarrow as pa

from ae_models.errors import InputError
from transforms.records.batches import BatchLimits, carried_name, image_records
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.rejects import Reason, RecordError, Stage, rejected_records
from transforms.records.text import printable
from transforms.sources.kinds import IMAGE_ENDINGS, files_of
from transforms.sources.recovery.tar_headers import BLOCK_BYTES, find_header
from transforms.sources.source import bounded_batches, first_schema
from transforms.sources.unpacked import open_unpacked
from transforms.sources.whole_files import WholeFiles

_CLASS, _FIELDS = "cls", "json"
_SAMPLES_THAT_TELL_COLUMNS = 100
_READ_ERRORS = (tarfile.TarError, OSError, EOFError, ValueError, zlib.error)
_BLOCK = 1 << 20
_MOST_MEMBERS, _MOST_TEXT_BYTES = 1000, 4 << 20  # per sample; per text, which grows when parsed
# A header that belongs to the next one is kept in memory and searched.
_MOST_HEADER_BYTES, _LONG_NUMBER = 1 << 20, re.compile(rb"[0-9]{1000}")
_MORE_HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")  # fits 64 bits
_META = re.compile(r"__[^/]*__($|/)")  # WebDataset's metadata, not samples
_INT64, _EXACT_FLOATS = range(-(1 << 63), 1 << 63), 1 << 53
_ARROW_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


@dataclasses.dataclass(frozen=True)
class WebDataset(WholeFiles):
    """A sample is the consecutive members with one key: the path within the archive up to the first
    dot of the file name. The rest, in lower case, is the extension. The record id is `FILE/key`.

    The first member with an image ending is the image. `.cls`, an integer or a text, becomes
    `label`; scalar fields of `.json` keep their names, but `.cls` takes precedence. Columns are
    those of the first file's first 100 samples. Other members, and files without a key, are passed
    over. Links are not followed, so a sample whose image is a link has no image. A task is one
    archive.

    If an uncompressed tar is damaged, reading resumes at the next member header that can be found.
    The samples on either side of the gap may have lost members: both are rejects.
    """

    kind: ClassVar[str] = "webdataset"

    def read(
        self,
        task: bytes,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        path = os.fsdecode(task)
        name = self.relative(path)
        samples = _Samples(path, images, limits.record_bytes, passed_over)
        carried, late = self.carried(), set[str]()
        while samples.are_left:
            try:
                for batch in bounded_batches(samples, _size, limits):
                    late.update(*(_fields_beyond(carried, sample) for sample in batch))
                    yield _records(batch, name, path, carried, images)
            except _READ_ERRORS as error:
                yield self._damage(name, samples, error)
        if passed_over is not None:
            for field in late:
                passed_over.add(Cause.LATE_COLUMN, f"{path}#{field}")

    def _damage(self, name: str, samples: "_Samples", error: Exception) -> pa.RecordBatch:
        """A reject for the current sample, which may have lost members; the names of samples lost
        entirely are unknown. If there is no current sample, the reject is for the position."""
        rest = f"{name}/{samples.key}"
        if samples.key is None:
            rest = f"{name}#byte={samples.start}" if samples.start else name
        message = f"byte {samples.place}: {error}"
        if samples.go_on_behind_damage():
            message += f"; reading resumed at byte {samples.start}"
        return rejected_records([rest], samples.path, Reason.UNREADABLE, message)

    def carried(self) -> pa.Schema:
        return self._columns

    @functools.cached_property
    def _columns(self) -> pa.Schema:
        """Computed once: workers receive it with the source."""
        return first_schema(files_of(self.kind, self), _carried)


@dataclasses.dataclass
class _Sample:
    """A record's parts, as stored in the archive."""

    key: str
    image: bytes | None = None
    texts: dict[str, bytes] = dataclasses.field(default_factory=dict)
    extensions: set[str] = dataclasses.field(default_factory=set)
    failure: RecordError | None = None


def _size(sample: _Sample) -> int:
    return len(sample.image or b"") + sum(map(len, sample.texts.values()))


class _Samples:
    """The samples of an archive, one in memory at a time.

    Iteration raises one of `_READ_ERRORS` where the archive is damaged; `place` is then where the
    damage was noticed, and `key` is the key of the current sample, if there is one. Iteration may
    be restarted once `go_on_behind_damage` has found a member. The first sample may then have lost
    members, so it has a failure; it is skipped if it is the sample that was current before.
    """

    def __init__(self, path: str, images: bool, most: int, passed_over: PassedOver | None = None):
        self.path, self._images, self._most = path, images, most
        self._passed_over = PassedOver() if passed_over is None else passed_over
        self.key: str | None = None
        self.start = self.place = self._behind = 0
        # The key of the sample that was current when damage was found before `start`.
        self._told: str | None = None
        self.are_left = True

    def go_on_behind_damage(self) -> bool:
        """Whether a member was found after the place at which iteration raised an error."""
        self.are_left = False
        with contextlib.suppress(OSError), open_unpacked(self.path) as (file, was_packed):
            if was_packed:
                return False  # compressed content cannot be searched
            found = find_header(file, self._behind)
            if found == self.place:  # its checksum is right, but nothing else is
                found = find_header(file, found + BLOCK_BYTES)
            if found is not None:
                self.start, self._told, self.key = found, self.key or self._told, None
                self.are_left = True
        return self.are_left

    def __iter__(self) -> Iterator[_Sample]:
        sample: _Sample | None = None
        self.place = self.start
        self._behind = self.start + (BLOCK_BYTES if self.start else 0)
        with open_unpacked(self.path) as (file, _):
            if self.start:
                file.seek(self.start)
            for member, archive in self._members(file):
                key, extension = split_name(member.name)
                if key is None:
                    self._pass_over(Cause.MEMBER, member)
                    continue
                if sample is None or key != sample.key:
                    if sample is not None and sample.key != self._told:
                        yield sample
                    sample = self._begun(key, is_first=sample is None)
                self._add(sample, extension, member, archive)
        self.are_left = False
        if sample is not None and sample.key != self._told:
            yield sample

    def _members(self, file: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        """`_members`, recording their positions: what follows a header may be damaged."""
        try:
            for member, archive in _members(file):
                self.place, self._behind = member.offset, member.offset_data
                yield member, archive
                self.place = archive.offset
        except _EndlessHeadersError:
            self._behind = file.tell() // BLOCK_BYTES * BLOCK_BYTES
            raise

    def _begun(self, key: str, is_first: bool) -> _Sample:
        sample = _Sample(key)
        self.key = None if key == self._told else key
        if is_first and self.start:
            message = f"members before byte {self.start} may have been lost"
            sample.failure = RecordError(Reason.UNREADABLE, message)
        return sample

    def _add(
        self, sample: _Sample, extension: str, member: tarfile.TarInfo, archive: tarfile.TarFile
    ) -> None:
        if extension in sample.extensions:
            message = f"two members have the name {printable(member.name)}"
            sample.failure = RecordError(Reason.UNREADABLE, message)
            return
        sample.extensions.add(extension)
        if len(sample.extensions) > _MOST_MEMBERS:
            raise tarfile.ReadError(f"more than {_MOST_MEMBERS} members belong to {sample.key}")
        if not member.isreg():
            self._pass_over(Cause.MEMBER, member)
            return
        most = _MOST_TEXT_BYTES if extension in (_CLASS, _FIELDS) else self._most
        if extension in (_CLASS, _FIELDS, *IMAGE_ENDINGS) and member.size > most:
            message = f"{printable(member.name)} has {member.size} bytes; the limit is {most}"
            sample.failure = RecordError(Reason.TOO_LARGE, message)
            return
        if extension in (_CLASS, _FIELDS):
            sample.texts[extension] = _content(member, archive)
        elif extension in IMAGE_ENDINGS and sample.image is None:
            sample.image = _content(member, archive) if self._images else b""
        else:
            is_image = extension in IMAGE_ENDINGS
            self._pass_over(Cause.FURTHER_IMAGE if is_image else Cause.MEMBER, member)

    def _pass_over(self, cause: Cause, member: tarfile.TarInfo) -> None:
        self._passed_over.add(cause, f"{self.path}#{member.name}")


def split_name(name: str) -> tuple[str | None, str]:
    """A member's key and its extension; (None, "") for a member that belongs to no sample: it is
    WebDataset metadata (`__meta__`), has no extension, or is hidden."""
    folder, slash, last = name.rpartition("/")
    base, dot, extension = last.partition(".")
    if not (base and dot) or _META.match(name):
        return None, ""
    return printable(f"{folder}{slash}{base}"), extension.lower()


def _members(file: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The members of a tar archive except its folders, and the archive to read them from.

    tarfile treats anything that is not a header as the end. Here only the end marker is, followed
    by nothing but zeros; otherwise members might be missing.
    """
    with tarfile.open(
        fileobj=file, mode="r:", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        place = 0
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined] # it would retain them all
            if archive.offset <= place:
                raise tarfile.ReadError("a member's size is negative")
            place = archive.offset
            if not member.isdir():
                yield member, archive
    while block := file.read(_BLOCK):
        if block.strip(b"\0"):
            raise tarfile.ReadError("there is data after the end-of-archive marker")


class _EndlessHeadersError(tarfile.ReadError):
    """Headers that belong to headers: those already read need not be searched again."""


class _Header(tarfile.TarInfo):
    """A member's header; anything that is neither a header nor the end marker is an error."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        # The others: an endless chain of headers, or numbers too large for any file.
        except (tarfile.HeaderError, RecursionError, OverflowError, MemoryError) as error:
            kind = _EndlessHeadersError if isinstance(error, RecursionError) else tarfile.ReadError
            raise kind(f"neither a member nor the end-of-archive marker: {error}") from error

    @classmethod
    def frombuf(cls, buffer: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buffer, encoding, errors)
        if header.type in _MORE_HEADERS and not 0 <= header.size <= _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"invalid header size: {header.size} bytes")
        return header

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Before Python 3.11.10, parsing a header takes time quadratic in its number of digits."""
        content = archive.fileobj.read(self._block(self.size))  # type: ignore[attr-defined]
        if _LONG_NUMBER.search(content):
            raise tarfile.ReadError("a header contains a number of at least 1000 digits")
        archive.fileobj = _ReadAlready(archive, content)  # type: ignore[assignment]
        return super()._proc_pax(archive)  # type: ignore[misc]


class _ReadAlready:
    """Gives an archive's reader what was already read, then restores the archive's file."""

    def __init__(self, archive: tarfile.TarFile, content: bytes):
        self._archive, self._content = archive, content
        self._file = archive.fileobj

    def read(self, size: int) -> bytes:
        """All that was read; `size` is its size."""
        del size
        self._archive.fileobj = self._file
        return self._content


def _content(member: tarfile.TarInfo, archive: tarfile.TarFile) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # noqa: S101 - it is a regular file
    return file.read()


def _carried(path: str) -> pa.Schema:
    fields: dict[str, pa.DataType] = {}
    classes: set[pa.DataType] = set()
    found = False
    samples = _Samples(path, False, BatchLimits().record_bytes)
    try:
        for sample in itertools.islice(_up_to_damage(samples), _SAMPLES_THAT_TELL_COLUMNS):
            found = True
            with contextlib.suppress(RecordError):  # reported when the record is read
                if (text := _class_text(sample)) is not None:
                    classes.add(pa.int64() if _INTEGER.fullmatch(text) else pa.string())
                for name, value in _fields(sample).items():
                    kind = _ARROW_TYPES[type(value)]
                    fields[name] = _wider(fields.get(name, kind), kind)
    except _READ_ERRORS as error:
        if not found:
            raise InputError(f"cannot read {path} as a WebDataset archive: {error}") from error
    if classes:
        fields["label"] = pa.int64() if classes == {pa.int64()} else pa.string()
    return pa.schema(sorted(fields.items()))


def _up_to_damage(samples: _Samples) -> Iterator[_Sample]:
    """The samples up to the first damage that follows one of them."""
    while samples.are_left:
        found = False
        try:
            for sample in samples:
                found = True
                yield sample
        except _READ_ERRORS:
            if found or not samples.go_on_behind_damage():
                raise


def _wider(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """float64 for an integer and a float, as JSON may write 1.0 as 1; otherwise the first type."""
    return pa.float64() if {first, second} == {pa.int64(), pa.float64()} else first


def _class_text(sample: _Sample) -> str | None:
    if _CLASS not in sample.texts:
        return None
    try:
        return sample.texts[_CLASS].decode().strip()
    except UnicodeDecodeError as error:
        raise RecordError(Reason.SCHEMA_MISMATCH, f".{_CLASS} is not text: {error}") from error


def _fields(sample: _Sample) -> dict[str, Any]:
    """The scalar fields of `.json` that are not null, by output name."""
    try:
        fields = json.loads(sample.texts.get(_FIELDS, b"{}"))
    except (ValueError, RecursionError) as error:
        raise RecordError(Reason.SCHEMA_MISMATCH, f".{_FIELDS} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise RecordError(Reason.SCHEMA_MISMATCH, f".{_FIELDS} is not a JSON object")
    return {
        carried_name(_valid(name)): _valid(value) if isinstance(value, str) else value
        for name, value in fields.items()
        if type(value) in _ARROW_TYPES
    }


def _valid(text: str) -> str:
    """JSON can contain halves of surrogate pairs, Arrow cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


def _fields_beyond(carried: pa.Schema, sample: _Sample) -> set[str]:
    """The names of fields without a column: the samples that determine columns lacked them."""
    with contextlib.suppress(RecordError):  # reported as the record's reject
        names = {*_fields(sample), *(["label"] if _CLASS in sample.texts else [])}
        return names.difference(carried.names)
    return set()


def _values(sample: _Sample, carried: pa.Schema) -> dict[str, Any]:
    values = {
        name: _fitting(name, value, carried.field(name).type)
        for name, value in _fields(sample).items()
        if name in carried.names
    }
    if (text := _class_text(sample)) is not None and "label" in carried.names:
        whole = carried.field("label").type == pa.int64() and _INTEGER.fullmatch(text)
        values["label"] = _fitting(
            "label", int(text) if whole else text, carried.field("label").type
        )
    return values


def _fitting(name: str, value: Any, kind: pa.DataType) -> Any:
    """The value, converted to its column's type."""
    if kind == pa.float64() and type(value) is int and abs(value) <= _EXACT_FLOATS:
        return float(value)
    if _ARROW_TYPES[type(value)] != kind or (type(value) is int and value not in _INT64):
        raise RecordError(Reason.SCHEMA_MISMATCH, f"{name} is {value!r:.100}, expected type {kind}")
    return value


def _records(
    samples: list[_Sample], prefix: str, path: str, carried: pa.Schema, with_images: bool
) -> pa.RecordBatch:
    images, rows, rejects = [], [], []
    for sample in samples:
        image, values, failure = None, dict[str, Any](), None
        try:
            values, image = _values(sample, carried), _image(sample)
        except RecordError as error:
            failure = error.at(Stage.READ)
        images.append(image if with_images else None)
        rows.append(values)
        rejects.append(failure)
    return image_records(
        ids=[f"{prefix}/{sample.key}" for sample in samples],
        source=path,
        images=images,
        carried={
            field.name: pa.array([row.get(field.name) for row in rows], field.type)
            for field in carried
        },
        rejects=rejects,
    )


def _image(sample: _Sample) -> bytes:
    if sample.failure is not None:
        raise sample.failure
    if sample.image is None:
        members = ", ".join(sorted(sample.extensions))
        raise RecordError(
            Reason.NO_IMAGE, f"no image that is a regular file, only {_valid(members)}"
        )
    return sample.image
