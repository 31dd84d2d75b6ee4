"""A user's scalar functions, compiled to C functions of a block of numbers.

Inlined into the loop over a block, most functions become vector code; what would keep them from it
is taken out of their intermediate form before their types are inferred. That is arctan, tanh, exp
and logarithms, which are calls of the C library a number at a time; and, for float32, constants,
which are float64 or int64 to Numba and would carry all that they touch into float64. (Sine and
cosine stay calls: of any argument they need more than a polynomial.)
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]
from numba.core import compiler, compiler_machinery, errors, ir, untyped_passes
from numba.extending import overload

from .elementary import arctan_of, exp_of, log10_of, log_of, tanh_of

Scalar = Callable[[float], float]

_OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
_INLINED: Any = {**_OPTIONS, "forceinline": True}


class Block(NamedTuple):
    """C functions of blocks, alive as long as this is: ``(x, n, h)`` and ``(x, n, h, slope)``."""

    values: Any
    linearize: Any


def _kind_of(x: types.Type) -> Any:
    """Return the type of the result for a number of a type; None for what is none."""
    if not isinstance(x, types.Float | types.Integer):
        return None
    return np.float32 if x == types.float32 else np.float64


def _vector_form(function: Scalar, polynomial: Callable[[Any, Any], Any]) -> Scalar:
    """Return what stands for a function of the C library where a loop is to be vector code."""

    def stand_in(x: float) -> float:
        return function(x)

    @overload(stand_in, jit_options=_INLINED)
    def compile_for(x: Any) -> Any:
        kind = _kind_of(x)

        def value(x: Any) -> Any:
            return polynomial(kind(x), kind) if x == x else kind(x)

        return value if kind else None

    return stand_in


_VECTOR_FORMS: dict[Any, Scalar] = {
    function: stand_in
    for functions, polynomial in (
        ((math.atan, np.arctan), arctan_of),
        ((math.tanh, np.tanh), tanh_of),
        ((math.exp, np.exp), exp_of),
        ((math.log, np.log), log_of),
        ((math.log10, np.log10), log10_of),
    )
    for stand_in in (_vector_form(functions[0], polynomial),)
    for function in functions
}
_ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.truediv)


@compiler_machinery.register_pass(mutates_CFG=False, analysis_only=False)
class _ForVectors(compiler_machinery.FunctionPass):
    """Give a function of one number the form that becomes vector code."""

    _name = "enfilt_for_vectors"

    def __init__(self) -> None:  # abstract in the base
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        narrow = np.float32 if state.args[0] == types.float32 else None
        assigned = [a for b in state.func_ir.blocks.values() for a in b.find_insts(ir.Assign)]
        operands = {
            v.name
            for a in assigned
            if isinstance(a.value, ir.Expr) and a.value.op == "binop" and a.value.fn in _ARITHMETIC
            for v in (a.value.lhs, a.value.rhs)
        }
        changes: list[tuple[Any, Any]] = []
        for a in assigned:
            name, value = a.target.name, _constant(state.func_ir, a.value)
            # names with $ are of a single use: a loop's counter keeps its type
            operand = type(value) is int and name.startswith("$") and name in operands
            if narrow and (type(value) is float or operand):
                changes.append((a, narrow(value)))
            elif callable(value) and value in _VECTOR_FORMS:
                changes.append((a, _VECTOR_FORMS[value]))
        for a, value in changes:
            a.value = ir.Global(a.target.name, value, a.loc)
        return bool(changes)


def _constant(func_ir: Any, value: Any) -> Any:
    """Return what an expression is where it is a constant, a global or a part of a module."""
    if isinstance(value, ir.Const | ir.Global | ir.FreeVar):
        return value.value
    if isinstance(value, ir.Expr) and value.op == "getattr":
        try:
            of = _constant(func_ir, func_ir.get_definition(value.value))
        except KeyError:
            return None
        return getattr(of, value.attr, None) if isinstance(of, ModuleType) else None
    return None


class _Compiler(compiler.CompilerBase):
    def define_pipelines(self) -> list[Any]:
        manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.add_pass_after(_ForVectors, untyped_passes.IRProcessing)
        manager.finalize()
        return [manager]


@functools.lru_cache(maxsize=64)
def block(h: Scalar, dh: Scalar | None, dtype: np.dtype[Any]) -> Block:
    """Return h, and h with its derivative (zeros for None), as C functions for blocks of `dtype`.

    Raises
    ------
    TypeError
        If one of them can't be compiled, or does not return a real number.
    """
    number, kind = numba.from_dtype(dtype), dtype.type
    value = _scalar("h", h, number)
    slope = None if dh is None else _scalar("dh", dh, number)
    pointer = types.CPointer(number)

    @cfunc(types.void(pointer, types.intp, pointer), **_OPTIONS)
    def values(x_at: Any, n: int, h_at: Any) -> None:
        x, to = carray(x_at, n), carray(h_at, n)
        for d in range(n):
            to[d] = kind(value(x[d]))

    if slope is None:

        def both(x_at: Any, n: int, h_at: Any, slope_at: Any) -> None:
            x, to, slopes = carray(x_at, n), carray(h_at, n), carray(slope_at, n)
            for d in range(n):
                to[d] = kind(value(x[d]))
                slopes[d] = 0

    else:

        def both(x_at: Any, n: int, h_at: Any, slope_at: Any) -> None:
            x, to, slopes = carray(x_at, n), carray(h_at, n), carray(slope_at, n)
            for d in range(n):
                to[d] = kind(value(x[d]))
                slopes[d] = kind(slope(x[d]))

    signature = types.void(pointer, types.intp, pointer, pointer)
    return Block(values, cfunc(signature, **_OPTIONS)(both))


# A function of two numbers is a TypeError from some versions of Numba, from others one of its own.
_REFUSED = (errors.NumbaError, TypeError)


def _scalar(name: str, function: Scalar, number: types.Type) -> Any:
    """Return a function of a number, compiled for it and inlined where it is called."""
    body: Any = getattr(function, "py_func", function)  # of one that Numba compiled before
    if not isinstance(body, FunctionType):

        def body(x: float) -> float:
            return function(x)

    # Whatever Numba takes is taken: a function that is not understood with its constants in
    # float32, such as one that indexes with them, is compiled as it stands.
    try:
        compiled = njit(pipeline_class=_Compiler, **_INLINED)(body)
        result = _result(compiled, number)
    except _REFUSED:
        compiled = njit(**_INLINED)(body)
        try:
            result = _result(compiled, number)
        except _REFUSED as error:
            raise TypeError(
                f"{name}={function!r} can't be compiled by Numba: {_reason(error)}; expected a "
                f"function of one number (one of whole arrays becomes an operator by "
                f"Custom(h, vjp))"
            ) from error
    if not isinstance(result, types.Float | types.Integer | types.Boolean):
        raise TypeError(f"{name}={function!r} returns {result}: expected a real number")
    return compiled


def _result(compiled: Any, number: types.Type) -> types.Type:
    compiled.compile((number,))
    result: types.Type = compiled.overloads[(number,)].signature.return_type
    return result


def _reason(error: Exception) -> str:
    """Return the line of a message from Numba that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines()]
    general = ("Failed in", "During", "File", "")
    return next((line for line in lines if line and not line.startswith(general[:3])), str(error))
