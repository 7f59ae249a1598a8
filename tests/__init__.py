"""The tests: a package of its own, so that no `tests` that another distribution brings is taken for it."""
