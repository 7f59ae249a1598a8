import pytest

from ornet_tf.reproduction import paper_tables

TABLES = (paper_tables.TABLE_1, paper_tables.TABLE_2, paper_tables.TABLE_3, paper_tables.TABLE_4)

# Of each column of the tables in the paper's text: the number of figures, and their sum.
COLUMNS = (
    ((12, 311.5), (9, 68.7), (14, 649.59), (12, 426.56), (13, 890.6)),
    ((10, 304.9), (8, 85.2), (16, 856.55), (13, 557.65), (7, 448.01)),
    ((8, 312.94), (8, 216.11), (9, 686.86)),
    ((2, 74.79), (2, 50.57), (2, 159.08)),
)
# Of each line there: the sum of its figures.
LINES = (
    (198.08, 56.5, 95.64, 177.44, 175.52, 195.29, 190.59, 179.77, 65.5, 82.34, 185.52, 151.13, 75.67, 177.05, 173.22,
     167.69),
    (111.86, 152.54, 158.2, 54.53, 156.09, 136.66, 130.29, 121.85, 112.58, 147.94, 202.2, 85.58, 140.19, 199.28, 152.24,
     190.28),
    (64.52, 148.73, 141.13, 148.52, 149.91, 142.33, 138.51, 144.58, 137.68),
    (146.76, 137.68),
)  # fmt: skip


@pytest.mark.parametrize(("table", "lines"), [*zip(TABLES, (16, 16, 9, 2))])
def test_every_line_has_a_figure_or_a_dash_for_each_column(table, lines):
    assert len(table.rows) == lines
    for label, figures in table.rows.items():
        assert label and len(figures) == len(table.keys)
        assert all(figure == "-" or 0 < float(figure) < 100 for figure in figures)


@pytest.mark.parametrize(("table", "expected"), [*zip(TABLES, COLUMNS)])
def test_columns_have_the_figures_of_the_paper(table, expected):
    for column, (count, total) in zip(zip(*table.rows.values(), strict=True), expected, strict=True):
        figures = [float(figure) for figure in column if figure != "-"]
        assert (len(figures), sum(figures)) == (count, pytest.approx(total, abs=1e-6))


@pytest.mark.parametrize(("table", "expected"), [*zip(TABLES, LINES)])
def test_lines_have_the_figures_of_the_paper(table, expected):
    sums = [sum(float(figure) for figure in line if figure != "-") for line in table.rows.values()]
    assert sums == pytest.approx(expected, abs=1e-6)


def test_figures_that_the_paper_derives_from_its_tables():
    """Sentences of section 4.2 and 4.3 that compare two lines."""
    first, _, third, fourth = (table.rows for table in TABLES)

    def difference(rows, one, other, column):
        return float(rows[one][column]) - float(rows[other][column])

    assert difference(first, "ORNet-VGG16", "GC-Net-Rect-VGG16", -1) == pytest.approx(5.1)
    assert difference(first, "GC-Net-Rect-VGG16", "ORNet-VGG16", 2) == pytest.approx(4.5)
    assert difference(first, "ORNet-VGG16", "CAM-VGG16", -1) == pytest.approx(30.2)
    assert difference(first, "CAM-VGG16", "ORNet-VGG16", 2) == pytest.approx(23.59)
    assert difference(third, "L_e", "stage one", -1) == pytest.approx(6.83)
    assert difference(third, "L_e + alpha L_w", "L_e", -1) == pytest.approx(10.33)
    assert difference(third, "L_e", "L_e + alpha L_w", 0) == pytest.approx(8.31)
    assert difference(third, "L_e", "L_e + alpha L_w", 1) == pytest.approx(9.62)
    assert fourth["L_e + beta L_a + AE + alpha L_w"] == third["L_e + alpha L_w + beta L_a + AE"]
