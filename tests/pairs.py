"""Tests of several options, in pairs: a few cases in which every two values meet.

Where the error of a kernel depends on two things (a size and a dtype, a path and a sampler), the
cases of a pairwise covering array show it as well as the product of all options does, and are
about as many as the two largest numbers of values multiplied.
"""

import itertools

import numpy as np
import pytest


def pairs(factors, without=()):
    """Parametrize a test by cases in which each value of a factor meets each of the others.

    Parameters
    ----------
    factors : dict
        Values by the name of the argument, or by several names separated by commas, whose values
        are tuples: these are one factor, all of which meets each value of the others. Values are
        a list, or a dict by what the case is called.
    without : sequence of dict
        Values by argument, as strings or numbers, that may not come together.
    """
    arguments = [[part.strip() for part in names.split(",")] for names in factors]
    named = [_named(values) for values in factors.values()]

    def arguments_of(row):
        for names, values, k in zip(arguments, named, row, strict=True):
            if k is not None:
                value = values[k][1]
                yield from zip(names, value if len(names) > 1 else [value], strict=True)

    def allowed(row):
        known = dict(arguments_of(row))
        return not any(all(known.get(n) == value for n, value in case.items()) for case in without)

    cases = []
    for row in covering([len(values) for values in named], allowed):
        called = "-".join(values[k][0] for values, k in zip(named, row, strict=True))
        cases.append(pytest.param(*dict(arguments_of(row)).values(), id=called))
    return pytest.mark.parametrize([name for names in arguments for name in names], cases)


def covering(counts, allowed=lambda row: True):
    """Return rows of indices, below `counts`, in which every two that are allowed meet.

    Each row begins with two that have not met, and takes of every further factor what meets the
    most for the first time (Cohen et al. 1997, "The AETG system: an approach to testing based on
    combinatorial design"). `allowed` is asked for rows in which what is not chosen is None.
    """
    empty = [None] * len(counts)
    # the factors of many values come first: they are what the number of rows depends on
    order = sorted(range(len(counts)), key=lambda f: -counts[f])
    met = np.zeros((len(counts), max(counts), len(counts), max(counts)), bool)
    rows = []
    for f, g in itertools.combinations(order, 2):
        for a, b in itertools.product(range(counts[f]), range(counts[g])):
            row = list(empty)
            row[f], row[g] = a, b
            if met[f, a, g, b] or not allowed(row):
                continue
            for h in order:
                if row[h] is None:
                    row[h] = _most_new(row, h, counts[h], met, len(rows), allowed)
            assert allowed(row), f"{row} can't be completed"
            for h, k in itertools.permutations(order, 2):
                met[h, row[h], k, row[k]] = True
            rows.append(row)
    return rows if len(counts) > 1 else [[a] for a in range(counts[0])]


def _most_new(row, factor, count, met, turn, allowed):
    chosen = [g for g, value in enumerate(row) if value is not None]

    def new(a):
        trial = [*row[:factor], a, *row[factor + 1 :]]
        return allowed(trial) and 1 + sum(not met[factor, a, g, row[g]] for g in chosen)

    # beginning elsewhere in each row: what is new nowhere is not always the first value
    return max(((a + turn) % count for a in range(count)), key=new)


def _named(values):
    if isinstance(values, dict):
        return list(values.items())
    return [(_name(value), value) for value in values]


def _name(value):
    if isinstance(value, tuple) and any(isinstance(part, np.dtype) for part in value):
        return "-".join(map(_name, value))
    return getattr(value, "__name__", None) or str(value)
