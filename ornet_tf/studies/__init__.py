"""Studies: tables and figures of rows or variants of an experiment. Each plug-in defines `Study`."""
