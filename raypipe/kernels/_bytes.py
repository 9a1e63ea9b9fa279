"""Text as machine words: eight digits at a time, and the marks of 64 bytes at once.

None of the functions checks its bounds. Words are little-endian, the first byte lowest, as on every machine that numba
supports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from raypipe.kernels._jit import inlined, kernel, plain_twin_of

__all__ = ["as_int", "byte_at", "digits_before", "eight_digits", "marks_at", "non_digits", "trailing_zeros"]

Text = NDArray[np.uint8]
U64 = np.uint64

# numba makes float64 of uint64 and int64 together, so words meet nothing but uint64.
_ONE, _EIGHT, _16, _32 = U64(1), U64(8), U64(16), U64(32)
_TEN, _HUNDRED, _10_000 = U64(10), U64(100), U64(10_000)
_ASCII_ZEROS = U64(0x3030303030303030)
_LOW_BITS = U64(0x7F7F7F7F7F7F7F7F)
_HIGH_BITS = U64(0x8080808080808080)
_ABOVE_NINE = U64(0x7676767676767676)  # 0x80 - 10: carries a value above 9 into the high bit
_EVERY_2ND_BYTE, _EVERY_2ND_PAIR, _LOW_HALF = U64(0x00FF00FF00FF00FF), U64(0x0000FFFF0000FFFF), U64(0xFFFFFFFF)

_SPACE, _QUOTE, _COMMA = 32, 34, 44

# --- intrinsics: what numba has no word for ---------------------------------------------------


def _pointer(context: Any, builder: Any, text_type: Any, args: Any, kind: ir.Type) -> Any:
    text = context.make_array(text_type)(context, builder, args[0])
    return builder.bitcast(builder.gep(text.data, [args[1]]), kind.as_pointer())


@intrinsic
def _load_word(_typing: Any, text: Any, _at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], args, ir.IntType(64)), align=1)

    return types.uint64(text, types.int64), generate


@plain_twin_of(_load_word)
def load_word(text: Text, at: int) -> np.uint64:
    """Read the 8 bytes ``text[at:at + 8]`` as one word."""
    return U64(text[at : at + 8].view("<u8")[0])


@intrinsic
def _load_marks(_typing: Any, text: Any, _at: Any) -> Any:
    block = ir.VectorType(ir.IntType(8), 64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], args, block), align=1)

        def compare(how: str, byte: int) -> Any:
            return builder.icmp_signed(how, value, ir.Constant(block, [byte] * 64))

        # Signed, 128 and above are negative: one comparison finds them and the control characters.
        found = builder.or_(compare("<", _SPACE), builder.or_(compare("==", _COMMA), compare("==", _QUOTE)))
        return builder.bitcast(found, ir.IntType(64))

    return types.uint64(text, types.int64), generate


@plain_twin_of(_load_marks)
def load_marks(text: Text, at: int) -> np.uint64:
    """Mark the bytes of ``text[at:at + 64]`` that end or forbid a field: bit k for byte ``at + k``.

    Marked are the comma, the quote, line ends and other control characters, and all bytes from 128.
    """
    block = text[at : at + 64]
    found = (block < _SPACE) | (block > 127) | (block == _COMMA) | (block == _QUOTE)
    return U64(np.packbits(found, bitorder="little").view("<u8")[0])


@intrinsic
def _trailing_zeros(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        zero_is_defined = ir.Constant(ir.IntType(1), 0)
        return builder.cttz(args[0], zero_is_defined)

    return types.uint64(types.uint64), generate


@plain_twin_of(_trailing_zeros)
def trailing_zeros(word: np.uint64) -> np.uint64:
    """Count the zero bits below the lowest one; 64 for 0."""
    value = int(word)
    return U64((value & -value).bit_length() - 1 if value else 64)


# --- marks and digits -------------------------------------------------------------------------


@inlined
def as_int(word: np.uint64) -> int:
    """Make an index of a word."""
    return np.int64(word)  # type: ignore[return-value]  # Python's int would stay unsigned in numba


@inlined
def byte_at(text: Text, at: int) -> int:
    """Read one byte as int64, for arithmetic."""
    return np.int64(text[U64(at)])  # type: ignore[return-value]  # unsigned: spares a look at negative indices


@inlined
def marks_at(text: Text, at: int) -> np.uint64:
    """Mark up to 64 bytes from ``at`` as :func:`load_marks` does; bytes behind the text are not marked."""
    if at + 64 <= text.size:
        return load_marks(text, at)
    return _marks_of_the_rest(text, at)


@kernel
def _marks_of_the_rest(text: Text, at: int) -> np.uint64:
    marks = U64(0)
    for k in range(text.size - at):
        byte = byte_at(text, at + k)
        if byte < _SPACE or byte > 127 or byte in (_COMMA, _QUOTE):
            marks |= _ONE << U64(k)
    return marks


@inlined
def digits_before(text: Text, end: int, count: int) -> np.uint64:
    """Take the ``count`` (1 to 8) bytes before ``end``, "0" as 0, right-aligned with zeros in front.

    Needs ``end >= 8``.
    """
    others = U64(64 - 8 * count)
    return ((load_word(text, end - 8) ^ _ASCII_ZEROS) >> others) << others


@inlined
def non_digits(digits: np.uint64) -> np.uint64:
    """Mark the bytes above 9 by their highest bit; 0 if all eight are digits."""
    return (((digits & _LOW_BITS) + _ABOVE_NINE) | digits) & _HIGH_BITS


@inlined
def eight_digits(digits: np.uint64) -> int:
    """Value of eight digits: neighbours are joined to pairs, to fours, to all eight.

    The textbook form, one wider multiplication per step, is no faster here and overflows, on which numpy warns.
    """
    pairs = (digits * _TEN + (digits >> _EIGHT)) & _EVERY_2ND_BYTE
    fours = (pairs * _HUNDRED + (pairs >> _16)) & _EVERY_2ND_PAIR
    return as_int((fours * _10_000 + (fours >> _32)) & _LOW_HALF)
