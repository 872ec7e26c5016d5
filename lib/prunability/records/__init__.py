"""Finished runs: the store, published tables, and what makes those that are missing.

It uses studies, measures, training, data and foundation.
"""
