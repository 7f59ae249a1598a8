from ornet_tf.formats import LocalizedImage, csv
from tests.formats import birds


def test_the_table_is_the_golden_one(tmp_path):
    csv.write(iter(birds.images()), birds.CLASS_NAMES, str(tmp_path))
    assert (tmp_path / "boxes.csv").read_text().splitlines() == [
        "file,width,height,xmin,ymin,xmax,ymax,class_name,box_score",
        "birds/wren/a.jpg,400,300,80.0,30.0,300.0,150.0,wren,0.8",
        "birds/wren/a.jpg,400,300,200.0,150.0,400.0,300.0,wren,0.25",
        "birds/sparrow/b.jpg,200,300,40.0,30.0,140.0,150.0,sparrow & co,0.6",
        "birds/wren/a.png,64,48,0.0,0.0,64.0,48.0,wren,",
        "birds/wren/none.jpg,50,50,,,,,,",
    ]


def test_commas_and_quotes_are_quoted(tmp_path):
    csv.write([LocalizedImage('a,"b".jpg', "x", 1, 5, 4)], [], str(tmp_path))
    assert (tmp_path / "boxes.csv").read_text().splitlines()[1] == '"a,""b"".jpg",5,4,,,,,,'
