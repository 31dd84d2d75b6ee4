"""Observation operators: values, adjoints, composition, the form that kernels take, errors."""

import dataclasses

import numpy as np
import pytest
from scipy import sparse

import enfilt as ef
from enfilt.operators import (
    Arctan,
    Compose,
    Custom,
    Every,
    Identity,
    Linear,
    Mask,
    Power,
    Sigmoid,
    Subset,
    Tanh,
)
from enfilt.operators.componentwise import Everywhere

DIM = 7
MATRIX = np.random.default_rng(5).standard_normal((4, DIM))
MASK = np.array([True, False, True, True, False, False, True])


def speed():
    return Custom(
        lambda x: np.hypot(x[:, 0:6:2], x[:, 1:6:2]),
        lambda x, u: np.stack(
            [
                np.where(d < 6, x[:, d] * u[:, min(d, 5) // 2], 0)
                / np.hypot(x[:, min(d, 5) // 2 * 2], x[:, min(d, 5) // 2 * 2 + 1])
                for d in range(DIM)
            ],
            axis=1,
        ),
    )


def sparse_linear():
    return Linear(sparse.csr_array(MATRIX))


# Each operator and its h written out another way, on one state.
OPERATORS = {
    "identity": (Identity, lambda x: x),
    "arctan": (Arctan, np.arctan),
    "tanh": (Tanh, np.tanh),
    "sigmoid": (lambda: Sigmoid(1.7), lambda x: 1 / (1 + np.exp(-1.7 * x))),
    "sigmoid falling": (lambda: Sigmoid(-0.4), lambda x: 1 / (1 + np.exp(0.4 * x))),
    "power 1": (lambda: Power(1), lambda x: x),
    "power 2": (lambda: Power(2), lambda x: x * x),
    "power 5": (lambda: Power(5), lambda x: x * x * x * x * x),
    "power 2.5": (lambda: Power(2.5), lambda x: np.sign(x) * np.abs(x) ** 2.5),
    "power 0.5": (lambda: Power(0.5), lambda x: np.sign(x) * np.sqrt(np.abs(x))),
    "subset": (lambda: Subset([5, 0, 3]), lambda x: np.array([x[5], x[0], x[3]])),
    "subset twice": (lambda: Subset([2, 2, 6]), lambda x: np.array([x[2], x[2], x[6]])),
    "every": (lambda: Every(3), lambda x: np.array([x[0], x[3], x[6]])),
    "every offset": (lambda: Every(3, offset=2), lambda x: np.array([x[2], x[5]])),
    "mask": (lambda: Mask(MASK), lambda x: np.array([x[0], x[2], x[3], x[6]])),
    "linear": (lambda: Linear(MATRIX), lambda x: MATRIX @ x),
    "linear sparse": (sparse_linear, lambda x: MATRIX @ x),
    "custom": (speed, lambda x: np.sqrt(x[0:6:2] ** 2 + x[1:6:2] ** 2)),
    "arctan of every": (lambda: Arctan() @ Every(2), lambda x: np.arctan(x[::2])),
    "subset of tanh": (lambda: Subset([4, 1]) @ Tanh(), lambda x: np.tanh(x[[4, 1]])),
    "arctan of linear": (lambda: Arctan() @ Linear(MATRIX), lambda x: np.arctan(MATRIX @ x)),
    "three": (
        lambda: Power(2) @ Subset([1, 0]) @ Every(2, offset=1),
        lambda x: np.array([x[3], x[1]]) ** 2,
    ),
    "chain": (lambda: Tanh() @ Arctan(), lambda x: np.tanh(np.arctan(x))),
}


@pytest.fixture(params=OPERATORS)
def case(request):
    make, plain = OPERATORS[request.param]
    return make(), plain


@pytest.fixture
def states(rng):
    # away from zero by 0.3, where |x|^p has a kink or a vertical tangent
    return rng.choice([-1.0, 1.0], (3, DIM)) * rng.uniform(0.3, 1.5, (3, DIM))


def test_values(case, states):
    operator, plain = case
    expected = np.array([plain(x) for x in states])
    # a handful of operations on values of order one
    np.testing.assert_allclose(operator(states), expected, rtol=1e-14, atol=1e-14)
    assert operator.size(DIM) == expected.shape[1]


def test_leading_axes(case, states):
    operator, _ = case
    flat = operator(states)
    m = operator.size(DIM)
    assert operator(states[0]).shape == (m,)
    # a matrix product may be summed in another order for another number of rows
    np.testing.assert_allclose(operator(states[0]), flat[0], rtol=1e-14, atol=1e-15)
    batch = np.stack([states, 2 * states])
    assert operator(batch).shape == (2, 3, m)
    np.testing.assert_allclose(operator(batch)[0], flat, rtol=1e-14, atol=1e-15)
    u = np.ones((2, 3, m))
    assert operator.vjp(batch, u).shape == batch.shape
    np.testing.assert_allclose(
        operator.vjp(batch, u)[0], operator.vjp(states, u[0]), rtol=1e-14, atol=1e-15
    )


def test_keeps_the_dtype_and_its_input(case, states, dtype):
    operator, _ = case
    x = states.astype(dtype)
    before = x.copy()
    values = operator(x)
    assert values.dtype == dtype
    assert not np.shares_memory(values, x)
    assert operator.vjp(x, np.ones_like(values)).dtype == dtype
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("make", [Sigmoid, Power], ids=["Sigmoid", "Power"])
@pytest.mark.parametrize("option", [np.float64(2.5), np.float64(2), np.float32(2.5), 2])
def test_a_numpy_scalar_as_option_keeps_the_dtype(make, option, dtype):
    x = np.array([0.5, 2.0], dtype)
    operator = make(option)
    assert operator(x).dtype == dtype
    assert operator.vjp(x, x).dtype == dtype
    np.testing.assert_array_equal(operator(x), make(float(option))(x))


def test_vjp_against_finite_differences(case, states, rng):
    operator, _ = case
    u = rng.standard_normal((3, operator.size(DIM)))
    step = 1e-5
    expected = np.empty_like(states)
    for d in range(DIM):
        shift = np.zeros(DIM)
        shift[d] = step
        slope = (operator(states + shift) - operator(states - shift)) / (2 * step)
        expected[:, d] = np.sum(u * slope, axis=1)
    # central differences: step^2 |h'''|/6 < 1e-10 * 60/0.3^2.5 (powers), rounding eps/step = 2e-11
    np.testing.assert_allclose(operator.vjp(states, u), expected, rtol=1e-7, atol=2e-8)


def test_adjoint_identity(case, states, rng):
    """<u, h'(x) dx> = <h'(x)^T u, dx>, h'(x) dx assembled from the rows of the Jacobian."""
    operator, _ = case
    m = operator.size(DIM)
    dx, u = rng.standard_normal(DIM), rng.standard_normal(m)
    x = np.repeat(states[:1], m, axis=0)
    jacobian = operator.vjp(x, np.eye(m))
    together = operator.vjp(states[0], u) @ dx
    # linear in u: only rounding of a few dozen terms apart
    np.testing.assert_allclose(together, u @ (jacobian @ dx), rtol=1e-12, atol=1e-13)


def test_vjp_of_a_component_observed_twice_adds_up():
    x = np.zeros((1, 4))
    u = np.array([[1.0, 10.0, 100.0]])
    np.testing.assert_array_equal(Subset([3, 1, 3]).vjp(x, u), [[0, 10, 0, 101]])


def test_sigmoid_does_not_overflow():
    x = np.array([-1e4, 0.0, 1e4])
    np.testing.assert_array_equal(Sigmoid(1.0)(x), [0, 0.5, 1])
    np.testing.assert_array_equal(Sigmoid(-1.0)(x), [1, 0.5, 0])
    assert np.isfinite(Sigmoid(3.0).vjp(x, x)).all()


def test_power_even_and_odd():
    x = np.array([-2.0, 2.0])
    np.testing.assert_array_equal(Power(2)(x), [4, 4])
    np.testing.assert_array_equal(Power(3)(x), [-8, 8])
    np.testing.assert_array_equal(Power(2.0)(x), Power(2)(x))


def test_sparse_matrix_stays_sparse():
    for make in (sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix):
        operator = Linear(make(MATRIX))
        assert sparse.issparse(operator.matrix)
        x = np.ones((2, DIM), np.float32)
        # float32: sums of seven products of order one
        np.testing.assert_allclose(operator(x), Linear(MATRIX)(x), rtol=0, atol=1e-5)
        assert type(operator(x)) is np.ndarray
        assert type(operator.vjp(x, operator(x))) is np.ndarray


def test_linear_keeps_a_copy():
    matrix = np.eye(2)
    operator = Linear(matrix)
    matrix[0, 0] = 5
    np.testing.assert_array_equal(operator(np.array([1.0, 1.0])), [1, 1])


def test_selections_keep_a_copy_and_compare():
    indices, mask = np.array([0, 2]), np.array([True, False])
    subset, masked = Subset(indices), Mask(mask)
    indices[0], mask[1] = 9, True
    np.testing.assert_array_equal(subset.indices, [0, 2])
    np.testing.assert_array_equal(masked.mask, [True, False])
    assert subset == Subset([0, 2])
    assert hash(subset) == hash(Subset([0, 2]))
    assert subset != Subset([2, 0])
    assert subset != masked
    assert masked == Mask([True, False])


# -- the form that compiled kernels evaluate


LOWERED = {
    "identity": ("identity", 0.0),
    "arctan": ("arctan", 0.0),
    "tanh": ("tanh", 0.0),
    "sigmoid": ("sigmoid", 1.7),
    "power 5": ("power_integer", 5.0),
    "power 2.5": ("power_real", 2.5),
    "subset": ("identity", 0.0),
    "every offset": ("identity", 0.0),
    "mask": ("identity", 0.0),
    "arctan of every": ("arctan", 0.0),
    "subset of tanh": ("tanh", 0.0),
    "three": ("power_integer", 2.0),
}
FUNCTIONS = {
    "identity": lambda x, p: x,
    "arctan": lambda x, p: np.arctan(x),
    "tanh": lambda x, p: np.tanh(x),
    "sigmoid": lambda x, p: 1 / (1 + np.exp(-p * x)),
    "power_integer": lambda x, p: x**p,
    "power_real": lambda x, p: np.sign(x) * np.abs(x) ** p,
}


@pytest.mark.parametrize("name", LOWERED)
def test_pointwise(name, states):
    operator = OPERATORS[name][0]()
    form = operator.pointwise(DIM)
    assert (form.kind, form.parameter) == LOWERED[name]
    x = np.abs(states) if form.kind == "power_integer" else states
    lowered = FUNCTIONS[form.kind](x[:, form.components], form.parameter)
    np.testing.assert_allclose(lowered, operator(x), rtol=1e-14)
    if isinstance(form.components, slice):
        assert None not in (form.components.start, form.components.stop, form.components.step)
    else:
        assert form.components.dtype == np.int64


@pytest.mark.parametrize(
    "name", ["subset twice", "linear", "linear sparse", "custom", "arctan of linear", "chain"]
)
def test_what_kernels_do_not_know(name):
    assert OPERATORS[name][0]().pointwise(DIM) is None


@pytest.mark.parametrize(
    ("operator", "chosen"),
    [
        (Every(2) @ Every(3, offset=1), [1, 7, 13]),
        (Every(3, offset=1) @ Every(2), [2, 8, 14]),
        (Every(2, offset=1) @ Subset([9, 4, 0, 7]), [4, 7]),
        (Subset([1, 0]) @ Every(5), [5, 0]),
        (Mask([False, True, True]) @ Every(5), [5, 10]),
        (Every(20), [0]),
        (Every(4, offset=14), [14]),
    ],
)
def test_composed_choices(operator, chosen):
    x = np.arange(15.0)
    np.testing.assert_array_equal(operator(x), chosen)
    form = operator.pointwise(15)
    np.testing.assert_array_equal(x[form.components], chosen)


def test_composition_is_an_operator():
    composed = Arctan() @ Every(2)
    assert isinstance(composed, Compose)
    assert composed == Compose(Arctan(), Every(2))
    assert composed.size(5) == 3
    assert composed.has_gradient
    assert not (Arctan() @ Custom(lambda x: x)).has_gradient
    assert not (Custom(lambda x: x) @ Arctan()).has_gradient


# -- errors


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Subset([0, -1]), ValueError, "indices holds -1"),
        (lambda: Subset([0.0, 1.0]), TypeError, "indices has dtype float64"),
        (lambda: Subset([True, False]), TypeError, "indices has dtype bool"),
        (lambda: Subset([]), ValueError, r"indices has shape \(0,\)"),
        (lambda: Subset([[0, 1]]), ValueError, r"indices has shape \(1, 2\)"),
        (lambda: Subset(3), ValueError, r"indices has shape \(\)"),
        (lambda: Every(0), ValueError, "k=0"),
        (lambda: Every(-2), ValueError, "k=-2"),
        (lambda: Every(2.0), TypeError, "k=2.0"),
        (lambda: Every(True), TypeError, "k=True"),
        (lambda: Every(2, offset=-1), ValueError, "offset=-1"),
        (lambda: Every(2, offset=0.5), TypeError, "offset=0.5"),
        (lambda: Mask([1, 0, 1]), TypeError, "mask has dtype int"),
        (lambda: Mask([False, False]), ValueError, "mask has shape .* 0 true"),
        (lambda: Mask([[True]]), ValueError, r"mask has shape \(1, 1\)"),
        (lambda: Sigmoid(0), ValueError, "alpha=0"),
        (lambda: Sigmoid(np.inf), ValueError, "alpha=inf"),
        (lambda: Sigmoid("steep"), TypeError, "alpha='steep'"),
        (lambda: Sigmoid("2"), TypeError, "alpha='2'"),
        (lambda: Power(0), ValueError, "p=0"),
        (lambda: Power(-1), ValueError, "p=-1"),
        (lambda: Power(np.nan), ValueError, "p=nan"),
        (lambda: Linear([1.0, 2.0]), ValueError, r"matrix has shape \(2,\)"),
        (lambda: Linear(np.ones((0, 3))), ValueError, r"matrix has shape \(0, 3\)"),
        (lambda: Linear([[1.0, np.nan]]), ValueError, "matrix holds"),
        (lambda: Linear([["a"]]), TypeError, "matrix can't be read"),
        (lambda: Custom(None), TypeError, "h=None"),
        (lambda: Custom(np.sin, 3), TypeError, "vjp=3"),
        (lambda: Arctan() @ np.sin, TypeError, "inner="),
        (lambda: Compose(np.sin, Arctan()), TypeError, "outer="),
    ],
)
def test_bad_options(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_sparse_matrix_with_nan():
    with pytest.raises(ValueError, match="matrix holds"):
        Linear(sparse.csr_array(np.array([[1.0, np.nan]])))


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Subset([0, 7]), "indices holds 7, out of range for a state of 7"),
        (Every(2, offset=7), "offset=7 is out of range"),
        (Mask([True, True]), "mask has 2 entries: expected 7"),
        (Linear(np.ones((2, 3))), "matrix has shape .2, 3.: expected 7 columns"),
        (Arctan() @ Subset([9]), "indices holds 9"),
        (Subset([4]) @ Every(2), "indices holds 4, out of range for a state of 4"),
    ],
)
def test_states_that_do_not_fit(operator, message):
    with pytest.raises(ValueError, match=message):
        operator.size(DIM)


@pytest.mark.parametrize("operator", [Subset([0, 7]), Every(2, offset=7), Mask([True, True])])
def test_selections_check_every_call(operator):
    with pytest.raises(ValueError, match=r"out of range|entries"):
        operator(np.zeros((2, DIM)))
    with pytest.raises(ValueError, match=r"out of range|entries"):
        operator.pointwise(DIM)


def test_custom_without_vjp():
    operator = Custom(lambda x: x)
    assert not operator.has_gradient
    with pytest.raises(TypeError, match="vjp"):
        operator.vjp(np.zeros((1, 2)), np.zeros((1, 2)))


@pytest.mark.parametrize("shape", [(3,), (2, 4), (3, 4, 1)])
def test_custom_of_wrong_shape(shape):
    operator = Custom(lambda x: np.zeros(shape))
    with pytest.raises(ValueError, match="h returned shape"):
        operator(np.zeros((3, 2)))


def test_custom_vjp_of_wrong_shape():
    operator = Custom(lambda x: x, lambda x, u: u[:, :1])
    with pytest.raises(ValueError, match="vjp returned shape"):
        operator.vjp(np.zeros((3, 2)), np.zeros((3, 2)))


def test_custom_is_called_once_with_the_whole_ensemble():
    shapes = []

    def h(x):
        shapes.append(x.shape)
        return x[:, :1]

    assert Custom(h)(np.zeros((2, 3, 4))).shape == (2, 3, 1)
    assert shapes == [(6, 4)]


def test_an_operator_of_ones_own():
    class Sum(ef.operators.Operator):
        def size(self, dim):
            return 1

        def __call__(self, x):
            return x.sum(axis=-1, keepdims=True)

    operator = Sum()
    assert operator.pointwise(3) is None
    np.testing.assert_array_equal((Power(2) @ operator)(np.ones((2, 3))), [[9], [9]])
    with pytest.raises(TypeError, match="no gradient"):
        operator.vjp(np.ones((2, 3)), np.ones((2, 1)))


@dataclasses.dataclass(frozen=True)
class Cubic(Everywhere):
    """Of one Python file alone: no kernel knows it."""

    def __call__(self, x):
        return x + 0.1 * x**3

    def derivative(self, x):
        return 1 + 0.3 * x**2

    def _kernel(self):
        return "cubic", 0.0


TAPER = ef.localization.GaspariCohn(3.0)


@pytest.mark.parametrize(
    "filt",
    [
        *(ef.EnFF(steps=3), ef.EnFF(path="ot", steps=3, guidance="covariance")),
        *(ef.EnSF(steps=4), ef.EnSF(steps=4, regress_unobserved=True), ef.BootstrapPF()),
        *(ef.ETKF(inflation=ef.inflation.Adaptive()), ef.EnKF(), ef.EnKF(localization=TAPER)),
        *(ef.LETKF(TAPER), ef.LEnFF(TAPER, steps=2), ef.LEnFF(steps=2), ef.SSLS(steps=6)),
    ],
    ids=lambda filt: type(filt).__name__,
)
def test_an_operator_need_not_be_in_the_kernels(filt, backend):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 12))
    y, grid = rng.standard_normal(6), ef.grids.RegularGrid((12,))
    cube = Custom(lambda a: a + 0.1 * a**3, lambda a, u: (1 + 0.3 * a**2) * u) @ Every(2)
    places = np.arange(0, 12.0, 2)
    obs = ef.Observation(Cubic() @ Every(2), std=0.5, grid=grid)
    other = ef.Observation(cube, std=0.5, grid=grid, locations=places)
    filt = dataclasses.replace(filt, backend=backend)
    found = filt.analysis(x, y, obs, previous=x, rng=1)
    assert np.isfinite(found).all()
    if getattr(filt, "regress_unobserved", False):  # which needs an operator that chooses
        return
    filt.reset()
    expected = filt.analysis(x, y, other, previous=x, rng=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
