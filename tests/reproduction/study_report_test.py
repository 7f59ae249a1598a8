import numpy as np
import pytest
from PIL import Image

from ornet_tf.reproduction import study_report
from ornet_tf.reproduction.study_charts import Table


def report(name, title="A <b> & c"):
    table = Table("Figures", ["", "CorLoc"], [["a<b", "1.0"]], [{"label": "a<b", "corloc": 1.0}])
    curve = Table("Curve", ["at", "a"], [["0.5", "1.0"]], [{"at": 0.5, "a": 1.0}, {"at": 0.6, "b": 2.0}])
    return study_report.Report(
        name, title, "about", "settings", {"": table, "thresholds": curve}, {"own": np.full([8, 9, 3], 7, np.uint8)}
    )


def test_one_page_holds_the_studies_of_several_calls_in_order(tmp_path):
    for name in ("b", "a", "b"):
        study_report.write(str(tmp_path), report(name))
    text = (tmp_path / "index.html").read_text()
    assert text.count("<section") == 2 and text.index('id="a"') < text.index('id="b"')
    assert "A &lt;b&gt; &amp; c" in text and "a&lt;b" in text and "<b>" not in text
    assert '<a href="#a">a</a>' in text and "<details><summary>Curve" in text


def test_files_hold_the_tables_and_the_figure_of_the_study(tmp_path):
    study_report.write(str(tmp_path), report("a"))
    assert (tmp_path / "a.csv").read_text() == "label,corloc\na<b,1.0\n"
    assert (tmp_path / "a_thresholds.csv").read_text() == "at,a,b\n0.5,1.0,\n0.6,,2.0\n"
    assert "|  | CorLoc |\n|---|---|\n| a<b | 1.0 |" in (tmp_path / "a.md").read_text()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (9, 8) and image.getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize(("side", "kind"), [(20, "png"), (1500, "jpeg")])
def test_large_images_are_jpeg(side, kind):
    with_image = report("a")._replace(images={"own": np.zeros([side, side, 3], np.uint8)})
    assert f'src="data:image/{kind};base64,' in study_report.section(with_image)
