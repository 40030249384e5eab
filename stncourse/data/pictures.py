"""Pictures in folders, and pictures of any kind as 8 bits per pixel; what that would destroy is refused by name."""

import struct
import warnings

import numpy as np
import torch

from stncourse import _check

# Pictures


def read_picture(path):
    """(picture, bits per sample that its file declares, or None), turned as its camera says."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of malformed entries that are not asked for
            with Image.open(path) as file:
                bits = declared_bits(file)  # the pixels once loaded, Pillow forgets it
                return turned(file), bits
    except Exception as error:  # Pillow's readers raise anything at broken files
        raise ValueError(f"folder: expected a picture, {path} cannot be read ({error})") from error


#: How Pillow turns a picture of each orientation that EXIF knows; 1 is upright.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def turned(picture):
    """A copy of the picture, upright as its camera says.

    Not by Pillow's ``exif_transpose``: it writes the other entries of the EXIF anew, and fails at a malformed one.
    """
    from PIL import Image

    picture.load()
    turn = _TURNS.get(_orientation(picture))
    upright = picture.transpose(Image.Transpose[turn]) if turn else picture.copy()
    # Of 8 bits Pillow inverts it itself; and a copy does not have the file's tags.
    if picture.mode.startswith("I;16") and getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        upright.info[_WHITE_IS_ZERO] = True
    return upright


def _orientation(picture):
    exif = picture.info.get("exif")
    if isinstance(exif, bytes) and (found := _orientation_in(exif)) is not None:
        return found
    try:  # where else it may be Pillow knows: in a TIFF's own tags, in XMP
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return _check.as_integer(picture.getexif().get(_ORIENTATION))
    except Exception:  # malformed in whatever way: the pixels are good all the same
        return None


_ORIENTATION = 0x0112
_PHOTOMETRIC, _WHITE_IS_ZERO = 0x0106, "white is zero"


def _orientation_in(exif):
    """The orientation in a block of EXIF, or None. Pillow's reader stops at a malformed entry that comes before it."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", block, place)
            if tag == _ORIENTATION and kind in (3, 4):  # a short or a long number
                return struct.unpack_from(order + {3: "H", 4: "I"}[kind], block, place + 8)[0]
    except struct.error:  # it is cut off
        pass
    return None


def declared_bits(picture):
    """Bits per sample as the picture's file declares them, from 9 to 16; else None."""
    tags = getattr(picture, "tag_v2", None)  # of a TIFF
    bits = max(tags.get(258, (8,))) if tags else None
    if bits is not None and bits != 32:
        return bits if bits > 8 else None
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        return 16
    is_deep_png = picture.format == "PNG" and any(";16B" in str(tile[3]) for tile in getattr(picture, "tile", ()))
    # Of colours with another largest value, such as 4095, Pillow makes 8 bits by that.
    is_deep_ppm = picture.format == "PPM" and any(tile[3] == ("RGB", 65535) for tile in getattr(picture, "tile", ()))
    return 16 if is_deep_png or is_deep_ppm else None


class Depths:
    """Watches that all pictures of a set become 8 bits by one rule, and that something is left of them.

    White is the largest value of as many bits as the file declares: 65535 of 16, 4095 of 12. Mode "I" declares none:
    there values up to 255 are taken as they are, and larger ones for 16 bits. What remains in doubt is refused: such
    pictures of both kinds, and 16-bit pictures none of which comes near white, as of a camera with 12 bits.
    """

    def __init__(self):
        self._doubtful = {}  # 8 or 16 bits: (the brightest value of all, the first picture)

    def white(self, where, bits, darkest, brightest):
        """The value that becomes 255."""
        if not 0 <= darkest <= brightest <= 65535:
            raise ValueError(f"images: expected 8 or 16 bits per pixel, got values from {darkest} to {brightest}")
        bits = bits or (8 if brightest <= 255 else 16)
        if bits in (8, 16) and brightest > 0:
            before, first = self._doubtful.get(bits, (0, where))
            self._doubtful[bits] = max(before, brightest), first
        return 2**bits - 1

    def check(self, name):
        """Raise ValueError where the depth of the pictures so far is in doubt; ``name`` is the argument's."""
        advice = "scale them to 8 bits, or give from_dataset floating-point tensors: pixels divided by white's value"
        if len(self._doubtful) == 2:
            raise ValueError(
                f"{name}: expected pictures of one depth, {self._doubtful[8][1]} seems to have 8 bits per pixel "
                f"and {self._doubtful[16][1]} has 16; {advice}"
            )
        brightest, first = self._doubtful.get(16, (65535, None))
        if 2 * brightest < 65535:
            raise ValueError(
                f"{name}: expected 16-bit pictures with light pixels in some, got none above {brightest} of 65535 "
                f"(the first is {first}), as if they had {brightest.bit_length()} bits; {advice}"
            )


def eight_bits(picture, bits, channels, background, depths, where):
    """A loaded PIL picture of any mode -> mode L or RGB. Where that would lose something unasked, a ValueError."""
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("images: expected whole numbers for pixels, got a floating-point picture")
    if picture.mode.startswith("I"):
        picture = _deep_grey(picture, bits, depths, where)
    elif bits == 16 and picture.mode.startswith("RGB"):
        top = max(top for _, top in picture.getextrema()[:3])
        # Pillow has kept the upper half of the bits: cut off in PNG, rounded in PPM, where 4095 becomes 16.
        depths.white(where, bits, 0, 256 * top - 1 if 1 < top < 128 else 257 * top)
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if picture.getextrema()[3][0] < 255:
            if background is None:
                raise ValueError("background: expected a colour to lay a picture with transparent parts on, got None")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, (*map(round, background), 255)), picture)
    return picture.convert({1: "L", 3: "RGB"}[channels])


def _deep_grey(picture, bits, depths, where):
    """Grey of up to 16 bits -> mode L, or LA. Pillow's own conversion cuts off at 255."""
    from PIL import Image

    pixels = np.asarray(picture).astype(np.int64)
    white = depths.white(where, bits, int(pixels.min()), int(pixels.max()))
    levels = ((255 * pixels + white // 2) // white).astype(np.uint8)
    grey = Image.fromarray(255 - levels if picture.info.get(_WHITE_IS_ZERO) else levels)
    if "transparency" not in picture.info:
        return grey
    opaque = pixels != picture.info["transparency"]
    return Image.merge("LA", [grey, Image.fromarray(255 * opaque.astype(np.uint8))])


def to_tensor(picture):
    """L or RGB picture -> uint8 ``(C, H, W)``."""
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def checked_color(name, value, channels):
    """Return a colour as a tuple of numbers from 0 to 255: one for all channels, or one for each."""
    one = _check.as_real(value)
    numbers = numbers_in(value) if one is None else (one,) * channels
    if len(numbers) != channels or any(number is None or not 0 <= number <= 255 for number in numbers):
        raise ValueError(f"{name}: expected 0 to 255, one number or {channels}, got {_check.describe(value)}")
    return numbers


def numbers_in(value):
    """The numbers in a tuple, a list or a 1-d array, as a tuple with None for what is none; () for anything else."""
    is_row = isinstance(value, (tuple, list)) or (isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == 1)
    return tuple(map(_check.as_real, value)) if is_row else ()
