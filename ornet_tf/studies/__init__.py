"""Studies: tables and figures that compare variants of an experiment. Each plug-in defines `Study`."""
