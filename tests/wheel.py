"""What an installed wheel does anywhere, with nothing but its own dependencies: run by itself."""

import ctypes
from pathlib import Path

import numpy as np

import enfilt as ef

rng = np.random.default_rng(0)
previous = rng.standard_normal((10, 33))
obs = ef.Observation(ef.operators.Arctan(), std=0.1)
y = np.arctan(previous[0])
analysis, oracle = (
    ef.EnFF(steps=5, backend=name).analysis(previous + 0.1, y, obs, previous=previous, rng=1)
    for name in ("auto", "numpy")
)
np.testing.assert_allclose(analysis, oracle, rtol=0, atol=1e-12)
backend = ef.backends.get().name
found = list((Path(ef.get_include()).with_name("lib")).glob("libenfilt.*"))
if backend == "cpp":
    (path,) = found
    library = ctypes.CDLL(str(path))
    numbers = np.empty((3, 5))
    pointer = ctypes.c_void_p(numbers.ctypes.data)
    sizes = ctypes.c_int64(3), ctypes.c_int64(5)
    assert library.enfilt_normals_f64(ctypes.c_uint64(7), 0, *sizes, pointer) == 0
    assert (numbers == ef.kernels.standard_normal(7, (3, 5))).all()
else:
    assert not found
print(f"enfilt {ef.__version__} by the backend {backend}")
