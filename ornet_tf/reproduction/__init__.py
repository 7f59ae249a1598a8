"""Studies of the paper: variants, their outcomes, charts and the report."""
