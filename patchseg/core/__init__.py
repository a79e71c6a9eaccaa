"""What every room stands on: errors, files, progress, keys, the process, tissues."""
