"""Detects the format of a file or record from its first bytes: supported formats, and others."""

import enum
import re
import struct
from collections.abc import Sequence
from typing import TypeVar

Found = TypeVar("Found")

START_BYTES = 1024  # the number of first bytes that the functions here use


class Kind(enum.StrEnum):
    """The formats that are read: image formats, and files that contain many images. An .npz is a
    ZIP archive; a TFRecord file has no signature."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"  # also without its file header, as in a .dib
    GIF = "gif"
    PARQUET = "parquet"
    NPY = "npy"
    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"

    @property
    def is_image(self) -> bool:
        """Whether it is one of the six image formats."""
        return self in _IMAGES


_IMAGES = (Kind.PNG, Kind.JPEG, Kind.WEBP, Kind.TIFF, Kind.BMP, Kind.GIF)

# Patterns of bytes, matched at the start; the first match counts. A format whose start also matches
# another format's pattern precedes it.
_RAW = "a camera's raw file ({}); develop it to TIFF or PNG"
_CONVERT = "{}, which is unsupported; convert it to PNG or TIFF"
_UNPACK = "{}, not an image; unpack it"
_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (rb"version https://git-lfs", 'a Git LFS pointer; run "git lfs pull"'),
    (rb"II\*\0.{4}CR", _RAW.format("CR2")),
    (rb".{4}ftypcrx ", _RAW.format("CR3")),
    (rb"FUJIFILMCCD-RAW", _RAW.format("RAF")),
    (rb"IIR[OS]|MMOR", _RAW.format("ORF")),
    (rb"IIU\0", _RAW.format("RW2")),
    (rb"FOVb", _RAW.format("X3F")),
    (rb".{4}ftyp(hei[cmsx]|hev[cmsx])", _CONVERT.format("HEIC")),
    (rb".{4}ftypavi[fs]", _CONVERT.format("AVIF")),
    (rb".{4}ftyp(mif1|msf1)", _CONVERT.format("HEIF (HEIC or AVIF)")),
    (rb".{4}ftyp|RIFF.{4}AVI ", "a video, not an image; extract its frames"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", _CONVERT.format("JPEG XL")),
    (rb"\xffO\xffQ|\0\0\0\x0cjP  ", _CONVERT.format("JPEG 2000")),
    (rb"II\xbc\x01", _CONVERT.format("JPEG XR")),
    (rb".{128}DICM", _CONVERT.format("DICOM")),
    (rb"8BPS", _CONVERT.format("a Photoshop document (PSD)")),
    (rb"%PDF-", _CONVERT.format("PDF")),
    (rb"%!PS|\xc5\xd0\xd3\xc6", _CONVERT.format("PostScript")),
    (rb"v/1\x01", _CONVERT.format("OpenEXR")),
    (rb"SIMPLE  =", _CONVERT.format("FITS")),
    (rb"#\?R(ADIANC|GB)E", _CONVERT.format("Radiance HDR")),
    (rb"P[1-7]\s", _CONVERT.format("a portable anymap (PNM)")),
    (rb"\0\0[\x01\x02]\0[\x01-\xff]\0", _CONVERT.format("an icon or cursor (ICO)")),
    (rb"DDS ", _CONVERT.format("DDS")),
    (rb"\x89HDF\r\n\x1a\n", "HDF5, not an image"),
    (rb"MATLAB 5\.0 MAT-file", "a MATLAB file, not an image"),
    (rb"\x00\x05\x16\x07", "macOS metadata of another file (AppleDouble, ._name), not an image"),
    (rb"BZh[1-9]", _UNPACK.format("bzip2 data")),
    (rb"\xfd7zXZ\0", _UNPACK.format("xz data")),
    (rb"\x28\xb5\x2f\xfd", _UNPACK.format("Zstandard data")),
    (rb"7z\xbc\xaf\x27\x1c", _UNPACK.format("a 7z archive")),
    (rb"Rar!\x1a\x07", _UNPACK.format("a RAR archive")),
)
_MARKUP: tuple[tuple[bytes, str], ...] = (
    (rb"(?i)<!doctype html|<html|<head|<body", "an HTML page, not an image"),
    (rb"(?i)<svg|<[?!].*<svg", _CONVERT.format("SVG")),
    (rb"<\?xml|<[A-Za-z!]", "XML, not an image"),
    (rb'[\[{]\s*["\[{\d\]}-]', "JSON, not an image"),
)
_KINDS: tuple[tuple[bytes, Kind], ...] = (
    (rb"\x89PNG\r\n\x1a\n", Kind.PNG),
    (rb"\xff\xd8\xff", Kind.JPEG),
    (rb"RIFF.{4}WEBP", Kind.WEBP),
    (rb"II[*+]\0|MM\0[*+]|MM[*+]\0|II\0[*+]", Kind.TIFF),  # the last two are invalid, but read
    (rb"GIF8[79]a", Kind.GIF),
    (rb"PAR1", Kind.PARQUET),
    (rb"\x93NUMPY", Kind.NPY),
    (rb"PK(\x03\x04|\x05\x06)", Kind.ZIP),
    (rb"\x1f\x8b\x08", Kind.GZIP),
    (rb".{257}ustar", Kind.TAR),
)
_HELD = {
    Kind.PARQUET: "a Parquet file, not an image",
    Kind.NPY: "a NumPy array file, not an image",
    Kind.ZIP: _UNPACK.format("a ZIP archive"),
    Kind.GZIP: _UNPACK.format("gzip data"),
    Kind.TAR: _UNPACK.format("a tar archive"),
}
# Sizes of bitmap headers: the OS/2 header has 16-bit sides, all others begin in the same way.
_FILE_HEADER, _OS2_HEADER, _BITMAP_HEADERS = 14, 12, (16, 40, 52, 56, 64, 108, 124)
_BITS_A_PIXEL = (0, 1, 2, 4, 8, 16, 24, 32)


def kind_of(start: bytes) -> Kind | None:
    """The supported format of data that begin with `start`, `START_BYTES` long or all there are;
    None for anything else."""
    kind = _first(_KINDS, start)
    if kind is Kind.TIFF and _first(_STRANGERS, start) is not None:  # a camera's raw file
        return None
    header = start[_FILE_HEADER:] if start.startswith(b"BM") else start
    return Kind.BMP if kind is None and is_headless_bitmap(header) else kind


def is_headless_bitmap(start: bytes) -> bool:
    """Whether it begins like a bitmap without its file header, which Windows calls a DIB."""
    try:
        (size,) = struct.unpack_from("<I", start)
        planes, bits = struct.unpack_from("<HH", start, 8 if size == _OS2_HEADER else 12)
    except struct.error:
        return False
    known = size == _OS2_HEADER or size in _BITMAP_HEADERS
    return known and planes == 1 and bits in _BITS_A_PIXEL


def foreign(start: bytes) -> str | None:
    """Describes data that are not a supported image, and what to do about them; None if they are
    not recognised.

    Args:
      start: their first `START_BYTES` bytes, or all there are.
    """
    if known := _first(_STRANGERS, start):
        return known
    kind = kind_of(start)
    if kind is not None:
        return _HELD.get(kind)
    if not start.strip(b"\0"):
        return "nothing but zero bytes" if start else None
    return _text(start)


def _text(start: bytes) -> str | None:
    words = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if known := _first(_MARKUP, words):
        return known
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # not a character truncated by the end
            return None
        text = start[: error.start].decode()
    printable = all(letter.isprintable() or letter.isspace() for letter in text)
    return "text, not an image" if printable and text else None


def _first(table: Sequence[tuple[bytes, Found]], start: bytes) -> Found | None:
    return next((it for pattern, it in table if re.match(pattern, start, re.DOTALL)), None)
