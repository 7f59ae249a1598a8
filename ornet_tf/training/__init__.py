"""Training: the step, the loop, what is logged."""
