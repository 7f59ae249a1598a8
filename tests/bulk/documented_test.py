"""docs/bulk_localization.md lists all flags, columns and statuses."""
import re

from ornet_tf.bulk import columns, localization, statuses
from tests import docs_test

PAGE = "docs/bulk_localization.md"


def first_cells(heading):
    return [re.sub("[`-]{2,}|`", "", cells[0]) for cells in docs_test.table(PAGE, heading)]


def test_all_flags():
    assert sorted(first_cells("## Options")) == sorted(docs_test.own_flags("ornet_tf/localize_many.py"))
    assert {*localization.Options._fields} <= {*first_cells("## Options")}


def test_the_defaults():
    given = {row[0].strip("`-"): row[2] for row in docs_test.table(PAGE, "## Options")}
    for name in ("part_size", "batch_size"):
        assert given[name] == str(localization.Options._field_defaults[name])


def test_all_columns():
    assert first_cells("## Output") == columns.SCHEMA.names


def test_all_statuses():
    listed = {row[0].strip("`"): row[1] for row in docs_test.table(PAGE, "### Statuses")}
    assert list(listed) == [statuses.OK, *statuses.REFUSALS]
    assert {name: listed[name] for name in statuses.REFUSALS} == statuses.REFUSALS
