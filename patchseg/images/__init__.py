"""One image: reading, grid, brain, bias field."""
