"""The feed, by the rules of RFC 4287."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import numpy as np

from bibench_deploy.results import Store
from bibench_deploy.results.history import write_site
from support.history_sites import CHANGE, NIGHTS, atom, feed_of
from support.night_rows import SEED, night_name, night_row, tell_night

#: Section 4.2 and 4.1: elements that must stand once, and those that may not stand twice.
ONCE = ("id", "title", "updated")


def test_the_feed_has_what_the_standard_asks_for(site: Path) -> None:
    root = feed_of(site)
    assert root.tag == atom("feed")
    entries_of_it = root.findall(atom("entry"))
    for element in (root, *entries_of_it):
        for name in ONCE:
            (child,) = element.findall(atom(name))
            assert child.text
            assert child.text.strip() == child.text
        assert UUID(element.findtext(atom("id"), ""))  # 4.2.6: an absolute IRI; urn:uuid:…
        assert element.findtext(atom("id"), "").startswith("urn:uuid:")
        moment = element.findtext(atom("updated"), "")  # 3.3: RFC 3339, with a capital T and Z
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
        alternates = [link for link in element.findall(atom("link")) if link.get("rel") == "alternate"]
        assert len(alternates) == 1  # 4.1.1: not two with the same type and language
        assert all(link.get("href") for link in element.findall(atom("link")))
    # 4.1.1: an author in the feed, or in every entry.
    assert [author.findtext(atom("name")) for author in root.findall(atom("author"))] == ["bibench-deploy"]
    assert len([link for link in root.findall(atom("link")) if link.get("rel") == "self"]) == 1
    ids = [entry.findtext(atom("id")) for entry in entries_of_it]
    assert len(set(ids)) == len(ids) > 0
    known = {atom(name) for name in ("id", "title", "updated", "author", "link", "entry")}
    assert {child.tag for child in root} <= known
    for entry in entries_of_it:
        assert {child.tag for child in entry} <= known | {atom("content"), atom("category")}
        (content,) = entry.findall(atom("content"))
        assert content.get("type") == "html"  # 4.1.3.3: text that is HTML, so without child elements
        assert not list(content)
        assert "<ul>" in (content.text or "")
        assert "<b id" not in (content.text or "")


def test_the_feed_tells_of_the_regression_and_leads_to_its_page(site: Path) -> None:
    (entry,) = feed_of(site).findall(atom("entry"))
    title = entry.findtext(atom("title"), "")
    assert title.startswith("regression: rpi4: resnet18 slower, ")
    assert night_name(CHANGE) in title
    assert entry.findtext(atom("updated")) == f"{night_name(CHANGE)}T03:30:00Z"
    link = entry.find(atom("link"))
    assert link is not None
    assert (site / link.get("href", "")).is_file()


def test_an_entry_keeps_its_id_when_the_site_is_written_with_more_nights(
    site: Path, filled_store: Store, tmp_path: Path
) -> None:
    store = Store.at(str(tmp_path / "more.sqlite"))
    assert filled_store.path is not None
    (tmp_path / "more.sqlite").write_bytes(filled_store.path.read_bytes())
    tell_night(store, NIGHTS, [])
    store.append([night_row(NIGHTS, 66.0, np.random.default_rng(SEED), size_bytes=4_000_000)])
    write_site(store, tmp_path / "more", "0.1.0")
    before, after = (
        [entry.findtext(atom("id")) for entry in feed_of(at).findall(atom("entry"))]
        for at in (site, tmp_path / "more")
    )
    assert before == after
