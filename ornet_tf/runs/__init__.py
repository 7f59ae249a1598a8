"""A run's folder and processes: checkpoints, locks, origins of weights, distribution, interruption."""
