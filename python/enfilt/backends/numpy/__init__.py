"""The oracle of every kernel, in plain NumPy."""
