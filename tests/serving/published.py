"""Versions that tests publish in a moment: folders whose model is a text."""


def publish(base, name, content):
    aside = base / f"writing-{name}"
    aside.mkdir()
    (aside / "saved_model.pb").write_text(content)
    aside.rename(base / name)


def load(path):
    content = (path / "saved_model.pb").read_text()
    if content == "broken":
        raise ValueError("the file is broken")
    return content
