"""Arrays of numbers out of MATLAB's files, version 5 (MathWorks, "MAT-File Format"), without SciPy."""

import struct
import zlib

import numpy as np

_MATRIX, _COMPRESSED = 14, 15
#: A data element's type -> NumPy's, little-endian.
_TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
#: An array's class in MATLAB -> NumPy's. Its numbers may be stored in a narrower type.
_CLASSES = dict(zip(range(6, 16), ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), strict=True))
_COMPLEX = 0x0800


def read_arrays(content):
    """The arrays of numbers in a MATLAB 5 file.

    Args:
        content: the file's bytes. Little-endian, as every machine has written them for long.

    Returns:
        dict, name -> NumPy array with MATLAB's shape and class. What is no array of real numbers (text, cells,
        structures) is left out.

    Raises:
        ValueError: it is no such file, or a broken one. The newer MATLAB 7.3 files are HDF5.
    """
    if content[:10] == b"MATLAB 7.3" or content[124:128] != b"\0\1IM":
        raise ValueError(f"content: expected a MATLAB 5 file, got {len(content)} bytes that begin {content[:20]!r}")
    arrays, rest = {}, memoryview(content)[128:]
    try:
        while rest:
            kind, data, rest = _element(rest)
            if kind == _COMPRESSED:
                kind, data, _ = _element(memoryview(zlib.decompress(data)))
            if kind == _MATRIX:
                arrays |= _array(data)
    except (struct.error, zlib.error, ValueError, KeyError) as error:
        raise ValueError(f"content: expected a whole MATLAB 5 file, got a broken one ({error})") from error
    return arrays


def _element(data):
    """The first data element: (type, its bytes, what comes after it)."""
    kind, count = struct.unpack_from("<II", data)
    if kind >> 16:  # a short one: type, length and up to four bytes in one word of eight
        return kind & 0xFFFF, data[4 : 4 + (kind >> 16)], data[8:]
    if count > len(data) - 8:
        raise ValueError("it ends too early")
    end = 8 + count
    return kind, data[8:end], data[end if kind == _COMPRESSED else end + -end % 8 :]


def _array(data):
    """``{name: array}``; empty for what is no array of real numbers."""
    _, flags, data = _element(data)
    (flags,) = struct.unpack_from("<I", flags)
    if flags & _COMPLEX or flags & 0xFF not in _CLASSES:
        return {}
    _, shape, data = _element(data)
    _, name, data = _element(data)
    kind, numbers, _ = _element(data)
    array = np.frombuffer(numbers, _TYPES[kind]).reshape(np.frombuffer(shape, "<i4"), order="F")
    return {bytes(name).decode("ascii"): array.astype(_CLASSES[flags & 0xFF], copy=False)}
