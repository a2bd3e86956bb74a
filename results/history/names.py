"""Names of the files of a site: they stay the same over the nights, so that links to them do."""

from __future__ import annotations

import hashlib
import re
from typing import Final

INDEX: Final = "index.html"
FEED: Final = "feed.xml"
ASSETS: Final = "assets"
PAGES: Final = "pages"

_OTHERS = re.compile(r"[^a-z0-9]+")
_LONGEST: Final = 40


def page_name(plan: str, device: str, model: str) -> str:
    """The path of a page within the site: readable, and no other's.

    Device and model may be any text; two that differ only in what a file's name can't hold differ in its digits.
    """
    words = "-".join(_OTHERS.sub("-", text.lower()).strip("-")[:_LONGEST] for text in (device, model))
    digits = hashlib.sha256("\0".join((plan, device, model)).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{PAGES}/{words}-{digits}.html"
