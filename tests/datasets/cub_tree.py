"""The lists of a small data set in the layout of CUB-200-2011, without images."""
from __future__ import annotations

# (image id, class id, file, 1 = training, x y width height); ids have gaps and are not ordered by class.
ROWS = [
    (3, 7, "007.Parakeet_Auklet/a_1.jpg", 1, "1.0 2.0 30.0 40.0"),
    (5, 2, "002.Laysan_Albatross/b 2.jpg", 1, "60.5 27.0 325.0 304.25"),
    (6, 2, "002.Laysan_Albatross/c.jpg", 0, "0.0 0.0 12.0 9.0"),
    (8, 7, "007.Parakeet_Auklet/d.jpg", 0, "139.0 30.0 153.0 264.0"),
    (9, 7, "007.Parakeet_Auklet/e.jpg", 1, "5.0 6.0 7.0 8.0"),
    (12, 2, "002.Laysan_Albatross/f.jpg", 1, "9.0 8.0 7.0 6.0"),
    (13, 2, "002.Laysan_Albatross/g.jpg", 1, "3.0 3.0 3.0 3.0"),
    (40, 9, "009.Brewer_Blackbird/h.jpg", 1, "3.0 3.0 3.0 3.0"),
    (41, 9, "009.Brewer_Blackbird/i.jpg", 1, "3.0 3.0 3.0 3.0"),
    (44, 9, "009.Brewer_Blackbird/j.jpg", 0, "4.0 5.0 6.0 7.0"),
]
LISTINGS = ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt")


def write(root):
    """Writes the lists and an empty folder of images; returns the folder of the data set."""
    (root / "images").mkdir(parents=True)
    lists = {
        "classes.txt": ["2 002.Laysan_Albatross", "7 007.Parakeet_Auklet", "9 009.Brewer_Blackbird"],
        "images.txt": [f"{i} {file}" for i, _, file, _, _ in ROWS],
        "image_class_labels.txt": [f"{i} {c}" for i, c, _, _, _ in ROWS],
        "train_test_split.txt": [f"{i} {t}" for i, _, _, t, _ in ROWS],
        "bounding_boxes.txt": [f"{i} {box}" for i, _, _, _, box in ROWS],
    }
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def ids_of(source):
    """Returns the ids of a source's images."""
    id_of = {file: i for i, _, file, _, _ in ROWS}
    return [id_of[name] for name in source.names]
