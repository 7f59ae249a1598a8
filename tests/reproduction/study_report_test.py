import numpy as np
import pytest
from PIL import Image

from ornet_tf.reproduction import study, study_report
from ornet_tf.reproduction.contents import Picture, Table
from tests.reproduction import evaluated_folders


def report(name, title="A <b> & c"):
    table = Table("figures", "Figures", ["", "CorLoc"], [["a<b", "1.0"]], [{"label": "a<b", "corloc": 1.0}], ("Note.",))
    numbers = [{"at": 0.5, "a": 1.0}, {"at": 0.6, "b": 2.0}]
    curve = Table("thresholds", "Curve", ["at", "a"], [["0.5", "1.0"]], numbers, is_long=True)
    own, other = (Picture(name, title, np.full([8, 9, 3], 7, np.uint8)) for name in ("own", "other"))
    return study_report.Report(name, title, "about", "settings", [table, own, curve, other])


def test_one_page_holds_the_studies_of_several_calls_in_order(tmp_path):
    for name in ("a10", "a2", "a10"):
        study_report.write(str(tmp_path), report(name))
    text = (tmp_path / "index.html").read_text()
    assert text.count("<section") == 2 and text.index('id="a2"') < text.index('id="a10"')
    assert "A &lt;b&gt; &amp; c" in text and "a&lt;b" in text and "<b>" not in text
    assert '<a href="#a2">a2</a>' in text and "<details><summary>Curve" in text and "<li>Note.</li>" in text


def test_the_page_says_why_a_study_is_left_out_until_it_is_made(tmp_path):
    study_report.write_left_out(str(tmp_path), "a3", "it needs <b>.")
    study_report.write(str(tmp_path), report("a2"))
    text = (tmp_path / "index.html").read_text()
    assert text.index('id="a2"') < text.index('id="a3"') and "Left out: it needs &lt;b&gt;." in text
    study_report.write(str(tmp_path), report("a3"))
    assert "Left out" not in (tmp_path / "index.html").read_text()


def test_files_hold_the_tables_and_the_figure_of_the_study(tmp_path):
    study_report.write(str(tmp_path), report("a"))
    assert (tmp_path / "a.csv").read_text() == "label,corloc\na<b,1.0\n"
    assert (tmp_path / "a_thresholds.csv").read_text() == "at,a,b\n0.5,1.0,\n0.6,,2.0\n"
    text = (tmp_path / "a.md").read_text()
    assert "|  | CorLoc |\n|---|---|\n| a<b | 1.0 |\n\n* Note.\n" in text and "Curve" not in text
    for name in ("a.png", "a_other.png"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (9, 8) and image.getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize(("side", "kind"), [(20, "png"), (1500, "jpeg")])
def test_large_images_are_jpeg(side, kind):
    with_picture = report("a")._replace(shown=[Picture("own", "Own", np.zeros([side, side, 3], np.uint8))])
    assert f'src="data:image/{kind};base64,' in study_report.section(with_picture)


class Empty(study.Study):
    title, about = "Title", "about"

    def show(self, results):
        return []


def test_a_report_says_what_was_measured_and_that_there_is_nothing_to_show(tmp_path):
    results = study.Results(
        evaluated_folders.config(), {"a": evaluated_folders.outcome("a", tmp_path, [[1, 0], [1, 1]])}, {}
    )
    settings = study_report.make_report("a", Empty(), results).settings
    assert settings.startswith("2 test images of toybirds; figures: t; seeds: 0, 1; threshold 0.5, IoU 0.5; ")
    assert "Nothing to show" in settings
    with pytest.raises(ValueError, match="--what=a: expected rows with an activation map"):
        study_report.make_report("a", Empty(), results._replace(rows={}))
