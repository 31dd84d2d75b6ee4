"""The cases that other tests are cut down to leave no two values out."""

import itertools

from pairs import covering


def test_every_two_values_meet():
    counts = (4, 14, 7, 3, 5, 2)

    def allowed(row):
        return (row[3], row[4]) != (0, 0)

    rows = covering(counts, allowed)
    assert all(map(allowed, rows))
    for f, g in itertools.combinations(range(len(counts)), 2):
        met = {(row[f], row[g]) for row in rows}
        assert len(met) == counts[f] * counts[g] - ((f, g) == (3, 4))
    assert len(rows) == 14 * 7  # no fewer are possible
