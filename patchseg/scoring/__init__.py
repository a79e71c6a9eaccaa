"""Scores on test brains, tables, places to look at, classical tools."""
