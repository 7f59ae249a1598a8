"""The folder and the processes of a run: checkpoints, locks, origins of weights, distribution, interruption."""
