"""Settings by name: the options of filters and models, and the values that texts mean."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import _checks, inflation, localization, operators, priors


def options_of(value: Any) -> list[str]:
    """Return the names of what a filter, model or the like is made with."""
    return [f.name for f in dataclasses.fields(value) if f.init]


def with_options(value: Any, changes: Mapping[str, Any]) -> Any:
    """Return a filter, model or the like with options changed.

    Raises
    ------
    ValueError
        If it has no such option; the message gives the nearest one that it has.
    """
    known = options_of(value)
    for name in changes:
        if name not in known:
            hint = _checks.nearest(name, known) or f"; known are {', '.join(known)}"
            raise ValueError(f"{name} is no option of {type(value).__name__}{hint}")
    return dataclasses.replace(value, **changes)


def parse_value(text: str) -> Any:
    """Return the value that a setting's text means.

    A Python literal (``19``, ``0.05``, ``None``), an operator, inflation, localization or prior
    by its name and options (``Arctan() @ Every(2)``, ``RTPS(0.3)``, ``GaspariCohn(12)``), or else
    the text itself.

    Examples
    --------
    >>> parse_value("19"), parse_value("f2p"), parse_value("Every(2, offset=1)")
    (19, 'f2p', Every(k=2, offset=1))
    """
    try:
        # a ValueError from in here is the operator's own, and says what is wrong
        return _evaluate(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return text


def _maker(node: ast.expr) -> type | None:
    """Return the operator, inflation, localization or prior that a call names."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        for module in (operators, inflation, localization, priors):
            made = getattr(module, node.func.id, None)
            if isinstance(made, type):
                return made
    return None


def _evaluate(node: ast.expr) -> Any:
    made = _maker(node)
    if made is not None and isinstance(node, ast.Call):
        options = {k.arg: _evaluate(k.value) for k in node.keywords if k.arg}
        return made(*[_evaluate(a) for a in node.args], **options)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return _evaluate(node.left) @ _evaluate(node.right)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise SyntaxError(str(error)) from None
