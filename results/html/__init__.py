"""The report as one page of HTML: charts by Vega-Lite, their numbers as tables, every row down to its samples."""

from .page import page

__all__ = ["page"]
