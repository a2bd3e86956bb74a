"""The colours of algorithms are told apart: on both themes, and with each kind of colour blindness."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from bibench_deploy.results.html.chart import COLOURS

#: Of linear RGB, at full severity: Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of
#: Color Vision Deficiency", IEEE TVCG 15(6), 2009, table 1.
SEEN_BY = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
#: ΔE*ab of CIE 1976; 2.3 is just noticeable side by side, small marks need several times as much.
APART = 20.0
#: WCAG 2.2 asks for 3 where nothing else tells it; every number stands in a table, too.
CONTRAST = 2.8
WHITE, NEAR_BLACK = "#ffffff", "#111418"
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE_POINT = np.array([0.9505, 1.0, 1.089])

Colour = NDArray[np.float64]


def linear(text: str) -> Colour:
    value = np.array([int(text[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    found: Colour = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return found


def lab(rgb: Colour) -> Colour:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE_POINT
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: str, b: str) -> float:
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("eyes", [None, *SEEN_BY])
def test_any_two_are_told_apart(eyes: str | None) -> None:
    matrix = np.array(SEEN_BY[eyes]) if eyes else np.eye(3)
    seen = {name: lab(matrix @ linear(colour)) for name, colour in COLOURS.items()}
    near = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(seen, 2)}
    assert {pair: distance for pair, distance in near.items() if distance < APART} == {}


@pytest.mark.parametrize("behind", [WHITE, NEAR_BLACK])
def test_each_is_seen_on_both_themes(behind: str) -> None:
    faint = {name: contrast(colour, behind) for name, colour in COLOURS.items()}
    assert {name: ratio for name, ratio in faint.items() if ratio < CONTRAST} == {}
