"""Plotters that take finished tables and an ``ax`` and compute nothing, in one style."""
