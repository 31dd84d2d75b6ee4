"""A catchment and its measured discharge: storages and parameters of a rainfall-runoff model.

HYMOD (Boyle 2000; equations as in Quan et al. 2015, doi:10.5194/piahs-368-180-2015) has five
storages and five parameters. An ensemble of both takes in the discharge of each day, and says that
of the next. Run it with ``python examples/discharge.py``: with the package spotpy, on the five
years of measurements that it ships, else on a small catchment that the model itself has made.
"""

import csv
import importlib.util
import pathlib

import numpy as np

import enfilt as ef

#: Cmax (mm), bexp, alpha, Ks, Kq: the least and largest that there may be.
LEAST, MOST = np.array([[1.0, 0.1, 0.1, 0.001, 0.1], [500.0, 2.0, 0.99, 0.1, 0.99]])
LITRES = 1.783e6 / 86400  # a mm a day from 1.783 km2, in litres a second
NAMES = ("soil", "slow", "quick1", "quick2", "quick3", "cmax", "bexp", "alpha", "ks", "kq", "wet")
STORAGE, DRIFT = 0.1, 0.005  # what the model does not know of storages and parameters, each day
RAIN, STAYS = 1.2, 0.7  # how far the logarithm of the rain is off, and how much of that stays


def measured():
    """Return rain and evaporation (mm), and discharge (l/s), day by day."""
    found = importlib.util.find_spec("spotpy")
    if found is None:
        return made()
    path = pathlib.Path(found.submodule_search_locations[0], "examples/hymod_python")
    with (path / "hymod_input.csv").open() as file:
        rows = list(csv.reader(file, delimiter=";"))[1:]
    return np.array([[float(value) for value in row[1:]] for row in rows]).T


def made(days=300):
    """Return the same of a catchment that there is not."""
    rng, x = np.random.default_rng(1), np.array([[60.0, 9, 1, 1, 1, 300, 0.4, 0.7, 0.03, 0.5, 0]])
    rain = rng.exponential(8.0, days) * (rng.random(days) < 0.4)
    dry = 1.5 + np.sin(np.arange(days) / 58)
    flow = np.full(days, np.nan)
    for day in range(1, days):
        x = Hymod(rain, dry, noise=0)(x, day - 1, day, rng)
        flow[day] = discharge(x)[0, 0] * np.exp(0.1 * rng.standard_normal())
    return rain, dry, flow


def discharge(x):
    """Return that of each member, (N, 1), in l/s."""
    _, slow, _, _, quick, _, _, _, ks, kq, _ = x.T
    return LITRES * (ks / (1 - ks) * slow + kq / (1 - kq) * quick)[:, None]


class Hymod:
    """The model of all members, with what it does not know as noise."""

    def __init__(self, rain, evaporation, noise=1.0):
        self.rain, self.evaporation, self.noise = rain, evaporation, noise

    def __call__(self, x, start, stop, rng):
        for day in range(int(start) + 1, int(stop) + 1):
            x = self.day(x, day, self.noise * rng.standard_normal((11, len(x))))
        return x

    def day(self, x, day, noise):
        soil, slow, *quick, cmax, bexp, alpha, ks, kq, wet = x.T
        wet = STAYS * wet + RAIN * np.sqrt(1 - STAYS**2) * noise[0]
        rain = self.rain[day] * np.exp(wet)
        full = cmax / (1 + bexp)  # all that the soil holds
        level = cmax * (1 - (1 - np.minimum(soil / full, 1)) ** (1 / (1 + bexp)))
        over = np.maximum(rain + level - cmax, 0)
        level = np.minimum(level + rain, cmax)
        filled = full * (1 - (1 - level / cmax) ** (1 + bexp))
        excess = np.maximum(rain - over - (filled - soil), 0)
        soil = filled - np.minimum(self.evaporation[day] * filled / full, 0.99 * filled)
        storages = [soil, (1 - ks) * (slow + (1 - alpha) * excess)]
        inflow = over + alpha * excess
        for storage in quick:
            storages.append((1 - kq) * (storage + inflow))
            inflow = kq / (1 - kq) * storages[-1]
        storages = np.maximum(storages, 1e-6) * np.exp(STORAGE * noise[1:6])
        z = np.log(x[:, 5:10] - LEAST) - np.log(MOST - x[:, 5:10]) + DRIFT * noise[6:].T
        parameters = LEAST + (MOST - LEAST) / (1 + np.exp(-np.clip(z, -9, 9)))
        return np.hstack([storages.T, parameters, wet[:, None]])


def first(members, rng):
    """Return an ensemble that knows nothing."""
    storages = np.array([50.0, 1, 1, 1, 1]) * np.exp(rng.standard_normal((members, 5)))
    parameters = LEAST + (MOST - LEAST) * rng.beta(2, 2, (members, 5))
    return np.hstack([storages, parameters, RAIN * rng.standard_normal((members, 1))])


def windows(flow, relative=0.15, least=0.1):
    """Yield the discharge of each day, whose error is in proportion to it."""
    h = ef.operators.Custom(discharge)
    for day, value in enumerate(flow):
        if day and np.isfinite(value):
            yield day, np.array([value]), ef.Observation(h, std=relative * value + least)


def positive(filt):
    """Return a filter of logarithms, and of parameters in their bounds."""
    bounds = zip(NAMES[5:10], LEAST, MOST, strict=True)
    transforms = dict.fromkeys(NAMES[:5], ef.transforms.Log())
    transforms |= {name: ef.transforms.Logit(*ends) for name, *ends in bounds}
    return ef.Transformed(filt, transforms, {name: slice(k, k + 1) for k, name in enumerate(NAMES)})


def main(filters, picture="", members=50, seeds=(0,), last=366):
    """Print how good each filter is over the last days, and return the scores by name."""
    rain, evaporation, flow = measured()
    last = min(last, len(flow) - 100)
    scores = {"persistence": [float(np.nanmean(np.abs(np.diff(flow[-last - 1 :]))))]}
    print(f"persistence: CRPS {scores['persistence'][0]:.3g} l/s")
    for name, filt in filters.items():
        scores[name] = []
        for seed in seeds:
            ahead = []  # what was forecast of each day
            run = ef.Assimilation(
                Hymod(rain, evaporation),
                windows(flow),
                start=0,
                forecast_to=lambda day, x, ahead=ahead: ahead.append((day, discharge(x)[:, 0])),
            )
            result = run.run(filt, ensemble=first(members, np.random.default_rng(seed)), seed=seed)
            found = result.innovations.total(last=last)
            ranks = result.innovations.rank_histogram(last=last)
            outer = (ranks[0] + ranks[-1]) / ranks.sum()
            scores[name].append(found.crps)
            print(
                f"{name}, seed {seed}: CRPS of the next day {found.crps:.3g} l/s, {outer:.1%} in "
                f"the outer ranks, smallest storage {result.ensemble[:, :5].min():.2g} mm"
            )
    if picture:
        plot(picture, ahead[-last:], flow)
    return scores


def plot(path, ahead, flow):
    """Draw the forecasts of each day, and what was measured."""
    from matplotlib import pyplot

    days, members = zip(*ahead, strict=True)
    low, middle, high = np.quantile(members, [0.05, 0.5, 0.95], axis=1)
    _, axes = pyplot.subplots(figsize=(9, 3), layout="constrained")
    axes.fill_between(days, low, high, alpha=0.4, label="5 to 95 % of the members, a day ahead")
    axes.plot(days, middle, lw=0.8, label="their median")
    axes.plot(days, flow[list(days)], "k.", ms=2, label="measured")
    axes.set(xlabel="day", ylabel="discharge (l/s)", yscale="log")
    axes.legend()
    pyplot.savefig(path, dpi=110)


if __name__ == "__main__":
    whole = importlib.util.find_spec("spotpy") is not None
    compared = {"open loop": None, "ETKF": positive(ef.ETKF(rotate=True))}
    main(compared, seeds=range(5 if whole else 1))
