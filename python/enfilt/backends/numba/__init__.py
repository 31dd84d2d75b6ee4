"""The kernels of the Numba backend, a file for each header of the compiled core."""
