"""Sentences in Markdown, every number computed from the tables."""
