"""Training sets, losses, the loop, networks for any species."""
