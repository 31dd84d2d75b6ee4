"""SPEEDY, a global atmosphere in JAX, as ``atmosphere.py`` runs it (extra ``[atmosphere]``)."""

from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
from jcm.forcing import ForcingData
from jcm.model import Model, RunState
from jcm.physics.speedy.speedy_coords import get_speedy_coords
from jcm.physics_interface import PhysicsState
from jcm.terrain import TerrainData


class Speedy:
    """T31 with 8 levels, with forcing and land of the package jcm; a state is its own, in waves.

    On the grid it is u, v (m/s), t (K) and q (g/kg) of 8 levels from the top down, and ps (hPa),
    each by latitude and longitude.
    """

    def __init__(self):
        coords, data = get_speedy_coords(), files("jcm") / "data/bc/t30/clim"
        self.forcing = ForcingData.from_file(str(data / "forcing.nc"), coords=coords)
        land = TerrainData.from_file(str(data / "terrain.nc"), coords=coords)
        self.jcm = Model(coords=coords, terrain=land)
        self.longitude = np.rad2deg(coords.horizontal.longitudes)
        self.latitude = np.rad2deg(coords.horizontal.latitudes)
        self.height = -7.5 * np.log(coords.vertical.centers)  # km, of a scale height of 7.5
        self.step, self.grid, self.add = map(jax.jit, (self._step, self._grid, self._add))

    def begin(self, count):
        """Return states of a run from rest, every second day after a month, at one date."""
        state = RunState(*self.jcm.bootstrap_state(), self.jcm.start_time, jnp.int32(0))
        states = []
        for k in range(122 + 8 * count):
            if k >= 122 and k % 8 == 2:
                states.append(state)
            state = self.step(state)
        return [x.replace(time=states[-1].time, step=states[-1].step) for x in states]

    def _step(self, x):
        """Return the state six hours later."""
        own = {"initial_physics_state": x.physics, "initial_time": x.time, "initial_step": x.step}
        return self.jcm.run_from_state_with_carry(
            x.dynamics, self.forcing, save_interval=0.25, total_time=0.25, **own
        )[0]

    def _grid(self, x):
        on = self.jcm.dycore.to_physics_state(x.dynamics)
        q, ps = 1000 * on.specific_humidity, 1000 * on.normalized_surface_pressure[None]
        return jnp.concatenate([on.u_wind, on.v_wind, on.temperature, q, ps]).swapaxes(1, 2).ravel()

    def _add(self, x, forecast, analysis):
        """Return the state with what is new in the analysis added, as waves."""
        increment = self._waves(analysis) - self._waves(forecast)
        return x.replace(dynamics=x.dynamics + increment)

    def _waves(self, fields):
        fields = fields.reshape(33, 48, 96).swapaxes(1, 2)
        u, v, t, q = fields[:32].reshape(4, 8, 96, 48)
        names = {"u_wind": u, "v_wind": v, "temperature": t, "specific_humidity": q / 1000}
        names["normalized_surface_pressure"] = fields[32] / 1000
        return self.jcm.initial_state(PhysicsState.zeros(u.shape, **names))
