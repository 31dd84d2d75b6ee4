"""The contract's checks find what is wrong with a filter: each of these breaks one part of it."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

import enfilt as ef
from enfilt.filters import EnsembleFilter


class Broken(ef.ETKF):
    """An ETKF, of which each subclass spoils one thing."""


class WritesToForecast(Broken):
    def analysis(self, forecast, y, obs, **options):
        found = super().analysis(forecast, y, obs, **options)
        if isinstance(forecast, np.ndarray) and forecast.flags.writeable:
            forecast += 0
            forecast.reshape(-1)[0] = 0.5
        return found


class AlwaysDouble(Broken):
    def analysis(self, forecast, y, obs, **options):
        return super().analysis(forecast, y, obs, **options).astype(np.float64)


class GivesTheForecastItself(Broken):
    def analysis(self, forecast, y, obs, **options):
        found = super().analysis(forecast, y, obs, **options)
        forecast[...] = found
        return forecast


class MixesABatch(Broken):
    def _update(self, cycle, out):
        super()._update(cycle, out)
        out += 0.1 * (out.mean(axis=0) - out)


class DrawsTheSameForAll(Broken):
    def _update(self, cycle, out):
        super()._update(cycle, out)
        if cycle.noise is None:
            out += cycle.rng.standard_normal(out.shape[1:])


class ForgetsOut(Broken):
    def analysis(self, forecast, y, obs, *, out=None, **options):
        return super().analysis(forecast, y, obs, **options)


class TakesRowsFromMemory(Broken):
    def analysis(self, forecast, y, obs, **options):
        if isinstance(forecast, np.ndarray) and forecast.flags.f_contiguous:
            forecast = forecast.T.reshape(forecast.shape)
        return super().analysis(forecast, y, obs, **options)


class DrawsOnItsOwn(Broken):
    def _update(self, cycle, out):
        super()._update(cycle, out)
        if cycle.noise is None:
            out += 1e-3 * np.random.default_rng().standard_normal(out.shape)


class DrawsFromTheGlobalState(Broken):
    def _update(self, cycle, out):
        super()._update(cycle, out)
        if cycle.noise is None:
            np.random.random()  # noqa: NPY002


class TakesMissingForZero(Broken):
    def _update(self, cycle, out):
        super()._update(dataclasses.replace(cycle, y=np.nan_to_num(cycle.y)), out)


class TakesMasksOff(Broken):
    def analysis(self, forecast, y, obs, **options):
        return super().analysis(forecast, np.asarray(y), obs, **options)


class TakesMasksOffTheForecast(Broken):
    def analysis(self, forecast, y, obs, **options):
        if isinstance(forecast, np.ma.MaskedArray):
            forecast = forecast.data
        return super().analysis(forecast, y, obs, **options)


class MovesWithoutObservations(Broken):
    def analysis(self, forecast, y, obs, **options):
        found = super().analysis(forecast, y, obs, **options)
        found *= 1.0 + 1e-15
        return found


class Overflows(Broken):
    def _check_result(self, cycle, analysis):
        pass


class TakesAnyDtype(Broken):
    def analysis(self, forecast, y, obs, **options):
        if isinstance(forecast, np.ndarray) and forecast.dtype == np.float16:
            forecast = forecast.astype(np.float64)
        return super().analysis(forecast, y, obs, **options)


class NamesNothing(Broken):
    def analysis(self, forecast, y, obs, **options):
        try:
            return super().analysis(forecast, y, obs, **options)
        except ValueError:
            raise ValueError("wrong input") from None


class TakesInfinities(Broken):
    @staticmethod
    def _check_values(y, arrays, backend):
        pass

    def _check_result(self, cycle, analysis):
        pass


class TakesAnySeed(Broken):
    def analysis(self, forecast, y, obs, *, rng=None, **options):
        return super().analysis(forecast, y, obs, rng=0 if isinstance(rng, str) else rng, **options)


class DoesNotPickle(Broken):
    def __reduce__(self):
        raise TypeError("not today")


class RemembersForGood(Broken):
    def _update(self, cycle, out):
        super()._update(cycle, out)
        cycle.facts["count"] = self.__dict__["seen"] = self.__dict__.get("seen", 0) + 1


class HasNoReset(Broken):
    def reset(self):
        pass

    def _update(self, cycle, out):
        super()._update(cycle, out)
        cycle.facts["spread"] = 1.0


class KeepsAnotherState(Broken):
    """Moves by how often it was called since `reset`, of which `state` tells nothing."""

    def reset(self):
        super().reset()
        self.__dict__["seen"] = 0

    def _update(self, cycle, out):
        super()._update(cycle, out)
        self.__dict__["seen"] = self.__dict__.get("seen", 0) + 1
        out += 0.1 * self.__dict__["seen"]


@dataclass(eq=False)
class Thawed:
    """Not a subclass: `frozen` is not asked of it, so it is taken apart below."""

    def analysis(self, forecast, y, obs, **options):
        return ef.ETKF().analysis(forecast, y, obs, **options)


class TakesValuesOfTheFirst(Broken):
    def _update(self, cycle, out):
        given = cycle.given
        if given is not None:
            given = np.stack([given[-1]] * len(given))
        super()._update(dataclasses.replace(cycle, given=given), out)


class HidesItsName(Broken):
    def describe(self):
        return "the best filter"


@dataclass(frozen=True, repr=False)
class WrongRepr(Broken):
    def __repr__(self):
        return "WrongRepr(inflation=2.0)"


CHECKS = {
    "shapes_and_dtypes": [AlwaysDouble, GivesTheForecastItself],
    "batches": [MixesABatch, DrawsTheSameForAll],
    "out": [ForgetsOut],
    "inputs": [WritesToForecast],
    "layouts": [TakesRowsFromMemory],
    "seeds": [DrawsOnItsOwn, DrawsFromTheGlobalState],
    "observed_values": [TakesValuesOfTheFirst],
    "missing_observations": [TakesMissingForZero],
    "masked_observations": [TakesMasksOff],
    "nothing_observed": [MovesWithoutObservations],
    "extremes": [Overflows],
    "dtypes_refused": [TakesAnyDtype],
    "shapes_refused": [NamesNothing],
    "values_refused": [TakesInfinities],
    "masks_refused": [TakesMasksOffTheForecast],
    "others_refused": [TakesAnySeed],
    "pickling": [DoesNotPickle],
    "memory": [RemembersForGood, HasNoReset],
    "restoring": [KeepsAnotherState],
    "names": [HidesItsName, WrongRepr],
}
PAIRS = [(name, kind) for name, kinds in CHECKS.items() for kind in kinds]


def check_of(filt, name):
    return next(check for check in ef.testing.checks(filt) if check.name == name)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_what_is_broken_is_found(name, kind):
    with pytest.raises(AssertionError, match=f"^{name}: .*; expected"):
        check_of(kind(), name)()


def test_every_check_is_broken_once():
    left = {check.name for check in ef.testing.checks(ef.ETKF())} - set(CHECKS)
    assert left == {"noise", "frozen"}  # below


def test_noise_that_is_not_used():
    class DrawsAnyhow(ef.EnKF):
        def _update(self, cycle, out):
            super()._update(dataclasses.replace(cycle, noise=None), out)

    with pytest.raises(AssertionError, match=r"^noise: .* another seed.* no draw but noise"):
        check_of(DrawsAnyhow(), "noise")()


def test_options_that_change():
    class Thaws(ef.ETKF):
        __setattr__ = object.__setattr__

    with pytest.raises(AssertionError, match=r"^frozen: the option inflation can be set"):
        check_of(Thaws(), "frozen")()


def test_a_filter_of_another_base():
    """Any object with such an `analysis`: less is asked of it."""
    ef.testing.check_filter(Thawed())
    names = {check.name for check in ef.testing.checks(Thawed())}
    assert names == {check.name for check in ef.testing.checks(ef.ETKF())} - {
        "noise", "observed_values", "memory", "restoring", "frozen", "names"
    }  # fmt: skip


@dataclass(frozen=True)
class Nudging(EnsembleFilter):
    """The filter of docs/own-filters.md."""

    weight: float = 0.5

    def _check_options(self):
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight={self.weight}: expected a number from 0 to 1")

    def _update(self, cycle, out):
        for b, x in enumerate(cycle.forecast):
            pull = cycle.obs.operator.vjp(x, np.nan_to_num(cycle.y[b] - cycle.obs.operator(x)))
            out[b] = x + self.weight * pull


def test_another_problem_and_skipped_checks():
    obs = ef.Observation(ef.operators.Identity(), 1.0)
    ef.testing.check_filter(Nudging(), obs=obs, dim=6, members=3)
    ef.testing.check_filter(TakesMasksOff(), skip=["masked_observations"])
    with pytest.raises(ValueError, match=r"skip=\['mask'\]: expected names of checks"):
        ef.testing.check_filter(Nudging(), skip=["mask"])
    with pytest.raises(ValueError, match="dim is missing"):
        ef.testing.check_filter(Nudging(), obs=obs)
    with pytest.raises(TypeError, match="obs=Identity"):
        ef.testing.check_filter(Nudging(), obs=ef.operators.Identity())
