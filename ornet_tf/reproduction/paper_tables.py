"""The numbers of the paper's tables, as printed there: what its authors and others reported.

They are quoted, not measured here. Source: Xie et al., "Online Refinement of Low-level Feature Based Activation Map for
Weakly Supervised Object Localization", ICCV 2021.
"""
from __future__ import annotations

import typing
from collections.abc import Mapping

_LOCALIZATION = ("locerr_top1", "locerr_top5", "corloc")
_ALL = ("clserr_top1", "clserr_top5", *_LOCALIZATION)
_CUB = "the test images of CUB-200-2011"


class QuotedTable(typing.NamedTuple):
    """A table of the paper.

    Attributes:
      name: its name in the paper.
      data: the images that it was measured on.
      keys: the keys of its figures, which are percentages.
      rows: label -> figures as printed, in the order of `keys`; "-" where the paper has none.
    """

    name: str
    data: str
    keys: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]


def _rows(text: str) -> dict[str, tuple[str, ...]]:
    lines = [line.partition(":") for line in text.strip().splitlines()]
    return {label: tuple(figures.split()) for label, _, figures in lines}


TABLE_1 = QuotedTable("Table 1", _CUB, _ALL, _rows("""
CAM-GoogLeNet: 26.2 8.5 58.94 49.34 55.1
Friend or Foe-GoogLeNet: - - - - 56.5
SPG-GoogLeNet: - - 53.36 42.28 -
GC-Net-Elli-GoogLeNet: 23.2 6.6 43.46 31.58 72.6
GC-Net-Rect-GoogLeNet: 23.2 6.6 41.42 29.00 75.3
DA-Net-Inception-V3: 28.8 9.4 50.55 39.54 67.0
CAM-VGG16: 23.4 7.5 55.85 47.84 56.0
ACoL-VGG16: 28.1 - 54.08 43.49 54.1
TSC-VGG16: - - - - 65.5
ADL-VGG16: 34.7 - 47.64 - -
DA-Net-VGG16: 24.6 7.7 47.48 38.04 67.7
RCAM-VGG16: 29.9 - 42.63 - 78.6
I2C-VGG16: - - 44.01 31.66 -
GC-Net-Elli-VGG16: 23.2 7.7 41.15 30.10 74.9
GC-Net-Rect-VGG16: 23.2 7.7 36.76 24.46 81.1
ORNet-VGG16: 23.0 7.0 32.26 19.23 86.2
"""))

TABLE_2 = QuotedTable("Table 2", "the validation images of ImageNet-1K", _ALL, _rows("""
Backprop-GoogLeNet: - - 61.31 50.55 -
GMP-GoogLeNet: 35.6 13.9 57.78 45.26 -
CAM-InceptionV3: - - 53.71 41.81 62.68
HaS-32-GoogLeNet: - - 54.53 - -
SPG-InceptionV3: - - 51.40 40.00 64.69
ACoL-GoogLeNet: 29.0 11.8 53.28 42.58 -
DA-Net-InceptionV3: 27.5 8.6 52.47 41.72 -
GC-Net-Rect-InceptionV3: 22.6 6.4 50.94 41.91 -
Backprop-VGG16: - - 61.12 51.46 -
CAM-VGG16: 33.4 12.2 57.20 45.14 -
ACoL-VGG16: 32.5 12.0 54.17 40.57 62.96
ADL-VGG16: 30.5 - 55.08 - -
RCAM-VGG16: 34.8 - 43.91 - 61.48
I2C-VGG16: 30.6 10.7 52.59 41.49 63.90
PSOL-VGG16-Sep: - - 49.11 39.10 64.03
ORNet-VGG16: 28.4 9.6 47.95 36.06 68.27
"""))

# AE is attentive erasing. The paper's text calls the line with L_a and AE "L_a + L_a + AE", which is a slip.
TABLE_3 = QuotedTable("Table 3", _CUB, _LOCALIZATION, _rows("""
stage one: - - 64.52
L_e: 44.36 33.02 71.35
L_e + alpha L_w: 36.05 23.40 81.68
L_e + beta L_a: 44.01 32.40 72.11
L_e + AE: 45.75 35.02 69.14
L_e + alpha L_w + beta L_a: 37.31 24.92 80.10
L_e + alpha L_w + AE: 33.21 20.21 85.09
L_e + beta L_a + AE: 39.99 27.91 76.68
L_e + alpha L_w + beta L_a + AE: 32.26 19.23 86.19
"""))

TABLE_4 = QuotedTable("Table 4", _CUB, _LOCALIZATION, _rows("""
L_e + beta L_a + AE + alpha L_h: 42.53 31.34 72.89
L_e + beta L_a + AE + alpha L_w: 32.26 19.23 86.19
"""))
