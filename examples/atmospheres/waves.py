"""A stand-in for SPEEDY, without JAX, of the same fields on a coarse grid."""

import numpy as np


class Waves:
    """Zonal waves that turn, each at a speed of its own; a state is their amplitudes."""

    longitude, latitude, height = 14.4 * np.arange(25), np.linspace(-78, 78, 14), 3 * np.arange(8)

    def begin(self, count):
        """Return random states."""
        noise = np.random.default_rng(1).standard_normal((2, count, 33, 14, 13))
        return list(60 * (noise[0] + 1j * noise[1]) / (1 + np.arange(13)) ** 2)

    def step(self, x):
        """Return the state six hours later."""
        return x * np.exp(-0.3j * np.sqrt(np.arange(13)))

    def grid(self, x):
        """Return the fields of a state."""
        return np.fft.irfft(x, 25).ravel().astype(np.float32)

    def add(self, x, forecast, analysis):
        """Return the state with what is new in the analysis added, as waves."""
        return x + np.fft.rfft((analysis - forecast).reshape(33, 14, 25))
