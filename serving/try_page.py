"""The page on which a user tries the model of a local server: try_page.html, a single file that loads nothing else."""
from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from ornet_tf.maps import visualize

_TEMPLATE = pathlib.Path(__file__).with_name("try_page.html").read_text(encoding="utf-8")
# A browser then refuses whatever is not part of the page, and sends requests to this server only.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def render(name: str, version: int, extent: Sequence[float] | None) -> str:
    """Returns the page as HTML.

    Args:
      name: the model's name in URLs.
      version: of the model whose extent it is.
      extent: the part of an image that the activation map covers, [ymin, xmin, ymax, xmax] in fractions; None if
        unknown: the page then draws no map.
    """
    colours = visualize.heatmap(np.linspace(0.0, 1.0, 256)[np.newaxis])[0].tolist()
    facts = {"name": name, "version": str(version), "extent": extent, "colours": colours}
    served = json.dumps(facts, separators=(",", ":"))
    return _TEMPLATE.replace("{{served}}", served.replace("<", "\\u003c"))
