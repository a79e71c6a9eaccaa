"""A few labelled slices of a new animal, and a network that knows it."""
