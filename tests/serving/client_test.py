"""The common client and its program, against the real local server and a SavedModel: lines, overlays, failures."""
import contextlib
import functools
import json
import os
import pathlib
import socket

import pytest
from PIL import Image

from ornet_tf.errors import ImageRefusedError
from ornet_tf.inference import encoding
from serving import client
from tests import damaged_metadata
from tests.serving import tiny_contract, tiny_export


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run(paths, address, **options):
    with contextlib.closing(client.connect(str(address), attempts=1)) as model:
        return client.run(paths, model, **{name: str(value) for name, value in options.items()})


def test_localize_returns_each_image_s_detections_in_order(older_url, tmp_path):
    wide = tiny_export.write_image(tmp_path / "wide.png", 40, 60, (10, 12, 20, 48))
    tall = tiny_export.write_image(tmp_path / "tall.png", 64, 32, (0, 8, 64, 16))
    results = client.localize(older_url + "/", [tall, wide, pathlib.Path(tall).read_bytes()])
    assert [result.class_names for result in results] == [("tall",), ("wide",), ("tall",)]
    assert results[1].as_dict() == {
        "box": pytest.approx([0.25, 0.2, 0.5, 0.8], abs=1e-6), "score": pytest.approx(0.15), "class": 1,
        "class_name": "wide",
    }  # fmt: skip
    assert client.localize(older_url, [wide], signature="activation_map")[0].activation_map.shape == (4, 4)
    assert client.localize(older_url, []) == []


def test_one_image_instead_of_a_list_is_refused_before_any_request(export_base):
    nobody = "http://127.0.0.1:9/v1/models/ornet"
    for address in (nobody, str(export_base)):
        for ask in (client.connect(address).localize, functools.partial(client.localize, address)):
            with pytest.raises(TypeError, match=r"Expected a list of .*, but got one \(str\); put it in"):
                ask("p.png")


def test_many_images_over_rest_and_without_a_server_give_the_same(export_base, export_url):
    images = tiny_contract.images() * 7
    tiny_contract.expect_same(
        client.localize(export_url, images, signature="activation_map"),
        client.localize(str(export_base / "1"), images, signature="activation_map"),
    )


def test_lines_overlays_and_results(older_url, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    first = tiny_export.write_image(tmp_path / "bird.png", 40, 60, (10, 12, 20, 48))
    second = tiny_export.write_image(tmp_path / "a" / "bird.png", 64, 32, (0, 8, 64, 16))
    before = pathlib.Path(first).read_bytes()
    assert run([first, second], older_url, output_dir=tmp_path, signature="activation_map") == 0
    answers = lines(capsys)
    assert [answer["file"] for answer in answers] == [first, second]
    assert [answer["class_name"] for answer in answers] == ["wide", "tall"]
    assert answers[1]["box_pixels"] == [0.0, 8.0, 64.0, 16.0]
    assert "activation_map" not in answers[0]
    assert [pathlib.Path(answer["overlay"]).name for answer in answers] == ["00000_bird.jpg", "00001_bird.jpg"]
    assert json.loads((tmp_path / "predictions.json").read_text()) == answers
    assert pathlib.Path(first).read_bytes() == before
    with Image.open(answers[1]["overlay"]) as image:
        assert image.size == (32, 64)


def test_images_of_no_and_of_two_objects(export_base, tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("one.png", "junk.png", "both.png", "nothing.png")]
    for path, image in zip(paths, tiny_contract.images()):
        pathlib.Path(path).write_bytes(image if isinstance(image, bytes) else encoding.encode(image))
    assert run(paths, export_base, output_dir=tmp_path / "out") == 1
    one, junk, both, nothing = lines(capsys)
    assert "others" not in one and [other["class_name"] for other in both["others"]] == ["green"]
    assert one["box_score"] == pytest.approx(one["score"] ** 0.5) and 0 < both["others"][0]["box_score"] < 1
    assert junk == {"file": paths[1], "error": "The model cannot read it: neither JPEG nor PNG."}
    expected = {"file": paths[3], "width": 8, "height": 8, "box": None}
    assert nothing == {**expected, "overlay": str(tmp_path / "out" / "00002_nothing.jpg")}
    assert run(paths[:1], export_base, signature="localize", output_dir=tmp_path / "out") == 0
    assert lines(capsys)[0].keys() == {"file", "width", "height", "box", "box_pixels", "box_score", "overlay"}


def test_a_later_run_replaces_the_overlays_and_does_not_ask_about_them(older_url, tmp_path, capsys):
    image = tiny_export.write_image(tmp_path / "b.png", 40, 60, (10, 12, 20, 48))
    for _ in range(2):
        paths = sorted(str(path) for path in tmp_path.iterdir() if path.suffix in (".png", ".jpg"))
        assert run(paths, older_url, output_dir=tmp_path) == 0
        (answer,) = lines(capsys)
        assert (answer["file"], answer["overlay"]) == (image, str(tmp_path / "00000_b.jpg"))


def test_failures_are_named_and_the_others_go_on(older_url, tmp_path, capsys):
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    (tmp_path / "text.png").write_bytes(b"no image" * 2000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "itself.png").symlink_to("itself.png")
    names = ["missing.png", "text.png", "folder", "itself.png", "good.png"]
    assert run([str(tmp_path / name) for name in names], older_url, output_dir=tmp_path / "out") == 4
    missing, text, folder, itself, last = lines(capsys)
    assert itself["error"] == f"Cannot read {tmp_path / 'itself.png'}: Too many levels of symbolic links."
    assert missing == {
        "file": str(tmp_path / "missing.png"),
        "error": f"Cannot read {tmp_path / 'missing.png'}: No such file or directory.",
    }
    assert "HTTP 400: Unknown image file format" in text["error"]
    assert folder["error"].startswith("Cannot read ")
    assert (last["file"], last["class_name"]) == (good, "wide")


def test_a_result_that_cannot_be_written_ends_the_run(export_base, tmp_path):
    path = tiny_export.write_image(tmp_path / "a.png", 40, 60, (10, 12, 20, 48))
    (tmp_path / "out").write_text("a file, no folder")
    with pytest.raises(OSError, match="could not be written to .*out"):
        run([path], export_base, output_dir=tmp_path / "out")


@pytest.mark.parametrize(
    ("suffix", "signature", "message"),
    [
        ("x", "serving_default", r"HTTP 404: Servable not found for request: Latest\(ornetx\)"),
        ("", "nothing", 'a.png: .*HTTP 400: Serving signature name: "nothing" not found'),
        ("", "echo", "Expected detections from http.*, but got .*outputs.*; is it the model that ornet_tf.export"),
    ],
)
def test_refusals_of_the_server(older_url, tmp_path, suffix, signature, message):
    path = tiny_export.write_image(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    with pytest.raises(ValueError, match=message):
        client.localize(older_url + suffix, [path], signature=signature)


def test_the_image_that_is_refused_is_named(older_url):
    good = tiny_export.image(8, 8, (0, 0, 4, 4))
    with pytest.raises(ImageRefusedError, match="^image 3: http.* refuses with HTTP 400: Unknown image"):
        client.localize(older_url, [good, good, b"junk", good])


def test_a_server_that_is_not_there(tmp_path, capsys):
    path = tiny_export.write_image(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/m"
    with pytest.raises(ConnectionError, match=r"No server answers at .* \(Connection refused\)"):
        client.localize(address, [path], attempts=1)
    with pytest.raises(ConnectionError):
        run([path, path], address)
    assert lines(capsys) == []


@pytest.mark.filterwarnings("ignore")
def test_damaged_metadata_costs_its_own_overlay_only(older_url, tmp_path, capsys):
    good = tmp_path / "good.png"
    good.write_bytes(tiny_export.image(40, 60, (10, 12, 20, 48)))
    paths = []
    for name, file in damaged_metadata.kinds().items():
        (tmp_path / name).write_bytes(file)
        paths += [str(tmp_path / name), str(good)]
    failed = run(paths, older_url, output_dir=tmp_path / "out")
    answers = lines(capsys)
    assert [answer["file"] for answer in answers] == paths
    refused = {pathlib.Path(answer["file"]).name: answer["error"] for answer in answers if "error" in answer}
    assert failed == len(refused)
    assert [*refused] == ["short_control.png"]  # Pillow reads no EXIF for an overlay
    for answer in answers:
        assert ("overlay" in answer) == ("error" not in answer)
        if answer["file"] == str(good):
            assert answer["box"] and "overlay" in answer
    assert refused["short_control.png"].startswith("No overlay: Pillow cannot read ")


def test_names_of_any_length_and_bytes(export_base, tmp_path, capsys):
    names = ["n" * 251 + ".png", "n" * 251 + ".PNG", os.fsdecode(b"caf\xe9.png")]
    for name in names:
        (tmp_path / name).write_bytes(tiny_export.image(40, 60, (10, 12, 20, 48)))
    missing = os.fsdecode(b"\xe9.png")
    paths = [str(tmp_path / name) for name in [*names, missing]]
    assert run(paths, export_base, output_dir=tmp_path / "out") == 1
    text = capsys.readouterr().out
    assert "\\ud" not in text  # half of a surrogate pair, which no JSON reader has to take
    answers = [json.loads(line) for line in text.splitlines()]
    assert [pathlib.Path(answer["file"]).name for answer in answers] == [*names[:2], "caf\\xe9.png", "\\xe9.png"]
    overlays = [pathlib.Path(answer["overlay"]) for answer in answers[:3]]
    assert len(set(overlays)) == 3 and all(path.is_file() for path in overlays)
    assert answers[3]["error"].startswith(f"Cannot read {tmp_path}/\\xe9.png: ")
