"""The paper's Table 1: methods on CUB-200-2011."""
from __future__ import annotations

from ornet_tf.reproduction import paper_tables
from ornet_tf.studies import _method_table


class Study(_method_table.MethodTable):
    """The experiment's methods beside Table 1."""

    title = "Table 1: comparison of methods, beside CUB-200-2011"
    quoted = paper_tables.TABLE_1
