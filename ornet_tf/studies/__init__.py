"""Studies: tables and figures that compare variants of an experiment. A plug-in defines `Study`."""
