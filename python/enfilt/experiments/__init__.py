"""Experiments: a filter against a truth, filters against each other, and the search for options."""
