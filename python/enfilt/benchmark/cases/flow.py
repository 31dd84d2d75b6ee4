"""The flow filter: path f2p, local guidance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...filters import EnFF
from ...operators import Arctan, Every, Identity, Operator
from ..case import Array, Case, Limit, Peer, Problem, Size
from ..peers import numpy_forms
from ..problems import Flow, lorenz96_analysis


def _arctan(size: Size) -> dict[str, Any]:
    return lorenz96_analysis(size, Arctan(), std=Flow(1).std, spread=0.2)


def _call(filt: EnFF, problem: dict[str, Any]) -> Callable[[Array | None], Array]:
    return lambda out: filt.analysis(**problem, out=out)


def _broadcasting(flow: Flow, problem: dict[str, Any], target: float | None = None) -> Peer:
    def make() -> Callable[[], Array]:
        from ..peers import torch_forms

        # of 16,384, 131,072 and all components, the first suits the caches best
        return torch_forms.flow_broadcasting(flow, problem, chunk=1 << 14)

    return Peer("PyTorch, N x N x D broadcasting", make, "torch", target)


def _compiled(
    flow: Flow, problem: dict[str, Any], target: float | None = None
) -> tuple[Peer, Peer]:
    def in_torch() -> Callable[[], Array]:
        from ..peers import torch_forms

        return torch_forms.flow_gemm(flow, problem)

    def in_jax() -> Callable[[], Any]:
        from ..peers import jax_forms

        return jax_forms.flow_gemm(flow, problem)

    return (
        Peer("torch.compile, matrix products", in_torch, "torch", target),
        Peer("jax.jit, matrix products", in_jax, "jax", target),
    )


def _keops(flow: Flow, problem: dict[str, Any]) -> Peer:
    def make() -> Callable[[], Array]:
        from ..peers import keops_forms

        return keops_forms.flow(flow, problem)

    return Peer("KeOps", make, "pykeops")


def _numpy(filt: EnFF, problem: dict[str, Any]) -> Peer:
    return Peer("NumPy", lambda: numpy_forms.oracle(filt, problem))


def whole(size: Size) -> Problem:
    """Return a whole analysis of arctan of every component."""
    problem, flow = _arctan(size), Flow(size.steps)
    filt = flow.filter()
    return Problem(
        _call(filt, problem),
        (_numpy(filt, problem), _broadcasting(flow, problem, 150), *_compiled(flow, problem, 4)),
    )


def step(size: Size) -> Problem:
    """Return one step of it: what all steps take less what one takes, a step."""
    problem = _arctan(size)
    many = max(2, size.steps)
    return Problem(
        _call(Flow(many).filter(), problem), base=_call(Flow(1).filter(), problem), parts=many - 1
    )


def _linear(size: Size, operator: Operator, target: float | None) -> Problem:
    problem = lorenz96_analysis(size, operator, std=0.5, spread=0.2)
    filt, streaming, few = (
        Flow(size.steps).filter("reduced"),
        Flow(size.steps).filter("streaming"),
        Flow(10).filter("reduced"),
    )
    return Problem(
        _call(filt, problem),
        (
            Peer("the streaming form", lambda: lambda: streaming.analysis(**problem), "", target),
            # within 10 % of that with 10 steps
            Peer(
                "10 steps",
                lambda: lambda: few.analysis(**problem),
                target=target and 1 / 1.1,
                same_result=False,
                note="another result: fewer steps",
            ),
        ),
    )


def linear(size: Size) -> Problem:
    """Return the reduced form, every component observed."""
    return _linear(size, Identity(), 15)


def every_second(size: Size) -> Problem:
    """Return the reduced form, every second component observed."""
    return _linear(size, Every(2), None)


def small(size: Size) -> Problem:
    """Return a small analysis, the call included."""
    problem, flow = _arctan(size), Flow(size.steps)
    filt = flow.filter()
    return Problem(
        _call(filt, problem),
        (
            Limit("100 microseconds", lambda _: 1e-4, 1.0),
            _numpy(filt, problem),
            *_compiled(flow, problem),
        ),
    )


def low_dim(size: Size) -> Problem:
    """Return many members in few components, where the weights are spread out."""
    problem, flow = _arctan(size), Flow(size.steps)
    filt = flow.filter()
    return Problem(
        _call(filt, problem),
        (
            _numpy(filt, problem),
            _broadcasting(flow, problem),
            *_compiled(flow, problem),
            _keops(flow, problem),
        ),
    )


def _passes(size: Size) -> float:
    return size.bytes * (4.0 * size.steps)  # a step reads z, x1, x0 and writes z


_FULL, _QUICK = Size(20, 1_000_000, 19), Size(5, 2_000, 4)
_ALL = ("dim", "members", "steps", "threads")

CASES = (
    Case("enff", "EnFF f2p, arctan", _FULL, _QUICK, whole, _passes, sweeps=_ALL),
    Case(
        "enff-step", "EnFF f2p, arctan, a step", _FULL, Size(5, 2_000, 19), step,
        lambda size: 4.0 * size.bytes, floor_target=1 / 2.5,
    ),
    Case(
        "enff-linear", "EnFF f2p, every component", Size(20, 1_000_000, 100), Size(5, 4_000, 20),
        linear, lambda size: 7.0 * size.bytes, sweeps=_ALL,
    ),
    Case(
        "enff-every-second", "EnFF f2p, every second component", Size(20, 1_000_000, 100),
        Size(5, 4_000, 20), every_second, lambda size: 7.0 * size.bytes, sweeps=(),
    ),
    Case("enff-small", "EnFF f2p, arctan, small", Size(20, 40, 10), Size(5, 40, 4), small, _passes,
         sweeps=()),
    Case(
        "enff-low-dim", "EnFF f2p, arctan, many members", Size(2_000, 3, 19), Size(50, 3, 4),
        low_dim, _passes, sweeps=(),
    ),
)  # fmt: skip
