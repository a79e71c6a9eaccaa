"""Brains with labels: BIDS folders, the sample, the zoo."""
