"""Makes studies: trains variants, and writes tables, charts and a report of their results."""
