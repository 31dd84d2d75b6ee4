"""Arrays and numbers that calls are made with: some ordinary, some such as nobody passes twice.

An array is drawn as a recipe, whose repr is short enough to be logged before each call and makes
the array again: shape, dtype, what it is filled with, how it lies in memory.
"""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

FILLS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "zeros": lambda rng, shape: np.zeros(shape),
    "equal": lambda rng, shape: np.full(shape, 1.5),
    "subnormal": lambda rng, shape: 1e-310 * rng.standard_normal(shape),
    "tiny": lambda rng, shape: 1e-30 * rng.standard_normal(shape),
    "wide": lambda rng, shape: 10.0 ** rng.uniform(-30, 30, shape),
    "large": lambda rng, shape: 1e18 * rng.standard_normal(shape),
    "root": lambda rng, shape: 1e150 * rng.standard_normal(shape),
    "huge": lambda rng, shape: 1e300 * rng.uniform(-1, 1, shape),
    "largest": lambda rng, shape: np.where(rng.random(shape) < 0.5, 1.0, -1.0) * 1.7e308,
    "offset": lambda rng, shape: 1e6 + rng.standard_normal(shape),
    "integers": lambda rng, shape: rng.integers(-3, 4, shape).astype(float),
    "unit": lambda rng, shape: rng.random(shape),
}
DTYPES = ("f8", "f4", "f2", "g", "i8", "i4", "u1", "?", "c16", ">f8", "<f4", ">f4", "O", "S8", "U4")
LAYOUTS = (
    "C", "F", "strided", "reversed", "transposed", "repeated", "readonly", "unaligned", "list",
    "masked", "mask set", "matrix",
)  # fmt: skip
#: Where a value is put, and which: positions in C order, modulo the size.
SPECIAL = (np.nan, np.inf, -np.inf, 5e-324, 1e-310, -0.0, 1e300, -1e300, 3e38, 1e-45)


class Recipe(NamedTuple):
    """An array, to be made."""

    shape: tuple[int, ...]
    dtype: str = "f8"
    fill: str = "normal"
    layout: str = "C"
    special: tuple[tuple[int, float], ...] = ()
    seed: int = 0

    def make(self) -> Any:
        """Return the array."""
        with np.errstate(all="ignore"):
            values = FILLS[self.fill](np.random.default_rng(self.seed), self.shape)
            if self.dtype in ("f4", "<f4", ">f4") and self.fill not in ("wide", "normal"):
                # as near to the ends of float32 as float64's numbers are to its own
                values = (
                    np.sign(values) * np.abs(values) ** (1 / 8)
                    if values.max(initial=0) > 1e38
                    else values
                )
            values = np.asarray(values)
            for at, value in self.special:
                if values.size:
                    values.reshape(-1)[at % values.size] = value
            kind = np.dtype(self.dtype)
            if kind.kind in "iu":
                values = np.nan_to_num(np.clip(values, -3, 200))
            return lay(np.asarray(values).astype(kind), self.layout)


def lay(array: np.ndarray, layout: str) -> Any:
    """Return the same numbers in another order of memory."""
    if not array.ndim:
        return array.tolist() if layout == "list" else np.array(array)
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        memory = np.zeros(tuple(2 * n for n in array.shape), array.dtype)
        view = memory[tuple(slice(None, None, 2) for _ in array.shape)]
        view[...] = array
        return view
    if layout == "reversed":
        back = tuple(slice(None, None, -1) for _ in array.shape)
        return array[back].copy()[back]
    if layout == "transposed":
        return array.T.copy().T
    if layout == "repeated":
        if not array.size or not array.ndim:
            return array
        return np.broadcast_to(array[:1], array.shape)
    if layout == "readonly":
        array.flags.writeable = False
    if layout == "unaligned" and array.dtype.kind in "fiuc":
        memory = np.zeros(array.nbytes + 1, np.uint8)
        view = memory[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    if layout == "list":
        return array.tolist()
    if layout.startswith("mask"):
        mask = np.zeros(array.shape, bool)
        if layout == "mask set" and mask.size:
            mask.reshape(-1)[-1] = True
        return np.ma.MaskedArray(array, mask=mask)
    if layout == "matrix" and array.ndim == 2:
        return array.view(np.matrix)
    return array


# Made once: Hypothesis takes longer to draw a call than most calls take.
_CHANCE = st.integers(0, 1023)
_FILL, _LAYOUT, _DTYPE = (st.sampled_from(sorted(k)) for k in (FILLS, LAYOUTS, DTYPES))
_SPECIAL = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(SPECIAL)), min_size=1, max_size=2
)


@st.composite
def recipes(draw: Any, shape: tuple[int, ...], dtype: str = "f8") -> Recipe:
    """Draw an array of a shape and dtype, most of which are ordinary."""
    chance = draw(_CHANCE)
    fill = draw(_FILL) if chance % 7 == 1 else "normal"
    layout = draw(_LAYOUT) if chance % 8 == 1 else "C"
    special = tuple(draw(_SPECIAL)) if chance % 13 == 1 else ()
    return Recipe(tuple(shape), dtype, fill, layout, special, chance % 4)


@st.composite
def odd(draw: Any, shape: tuple[int, ...], dtype: str = "f8") -> Any:
    """Draw what should be an array of this shape and dtype, and is not quite."""
    kind = draw(st.sampled_from(["shape", "dtype", "type", "value"]))
    if kind == "dtype":
        return draw(recipes(shape, draw(_DTYPE)))
    if kind == "type":
        return draw(
            st.sampled_from([None, 1.5, "text", b"x", (), [], {}, [[1.0], [1.0, 2.0]], ...])
        )
    if kind == "value":
        special = ((draw(st.integers(0, 99)), draw(st.sampled_from(SPECIAL))),)
        return Recipe(tuple(shape), dtype, special=special)
    changed = list(shape)
    how = draw(st.sampled_from(["longer", "shorter", "more", "fewer", "empty", "swapped"]))
    axis = draw(st.integers(0, max(0, len(changed) - 1)))
    if how == "more" or not changed:
        changed.insert(axis, draw(st.integers(1, 2)))
    elif how == "fewer":
        del changed[axis]
    elif how == "swapped":
        changed.reverse()
    else:
        changed[axis] = {"longer": changed[axis] + 1, "shorter": changed[axis] - 1, "empty": 0}[how]
    return Recipe(tuple(max(0, n) for n in changed), dtype)


#: Numbers where a real one is wanted; most are refused.
NUMBERS = st.sampled_from(
    [0, -1, 1, 0.5, 2.5, 1e-320, 5e-324, 1e-300, 1e-30, 1e10, 1e30, 1e160, 1e300, 1.7e308, -1e300,
     np.inf, -np.inf, np.nan, True, "1", None, 2**70, 10**400, 1j, np.float32(0.5), np.float16(2),
     np.array(0.5), np.array([0.5]), [0.5], np.longdouble(0.3)]
)  # fmt: skip
#: Integers where one is wanted, none of which takes long.
COUNTS = st.sampled_from(
    [0, -1, 1, 2, 3, 5, True, 1.0, 2.5, "2", None, np.int8(2), np.uint64(3), np.nan, [2], 1e300]
)


@st.composite
def mostly(draw: Any, usual: st.SearchStrategy, others: st.SearchStrategy, calm: int = 7) -> Any:
    """Draw from the usual ones, and once in a while from others."""
    return draw(others if draw(st.integers(0, calm)) == 0 else usual)


def made(value: Any) -> Any:
    """Return a value with its recipes made."""
    if isinstance(value, Recipe):
        return value.make()
    if hasattr(value, "build"):
        return value.build()
    return value
