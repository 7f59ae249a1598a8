"""The paper's Table 2: methods on ImageNet-1K."""
from __future__ import annotations

from ornet_tf.reproduction import paper_tables
from ornet_tf.studies import _method_table


class Study(_method_table.MethodTable):
    """The experiment's methods beside Table 2."""

    title = "Table 2: comparison of methods, beside ImageNet-1K"
    quoted = paper_tables.TABLE_2
