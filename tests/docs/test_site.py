"""The documentation site: it builds without a warning, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from scripts.site_hooks import PROJECT
from tests.support.pages import PAGES, ROOT, text_of

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_PICTURE = 200_000  # bytes


def anchors(page: str) -> set[str]:
    """The anchors that a repository's browser makes of the headings of a page."""
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *(name for name in PROJECT if name not in PAGES)])
def test_links_lead_to_files_of_the_repository(page: str) -> None:
    for link in _LINK.findall(_CODE.sub("", text_of(page))):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https"
            continue
        target = (ROOT / page).parent / parts.path if parts.path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if parts.fragment:
            name = target.resolve().relative_to(ROOT).as_posix()
            assert parts.fragment in anchors(name), f"{page}: {link}"


def test_pictures_are_small_and_shown() -> None:
    shown = {Path(link).name for page in PAGES for link in _LINK.findall(text_of(page))}
    for picture in (ROOT / "docs/images").glob("*.png"):
        assert picture.stat().st_size < _PICTURE, picture
        assert picture.name in shown, f"no page shows {picture}"


class Links(HTMLParser):
    """The addresses and anchors of a page, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if anchor := given.get("id"):
            self.anchors.add(anchor)
        if tag == "a" and (address := given.get("href")):
            self.links.append(address)
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(given.get("href") or "")
        elif tag in ("script", "img", "iframe") and (address := given.get("src")):
            self.loads.append(address)


@pytest.mark.slow
def test_it_builds_without_a_warning_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason='pip install -e ".[docs]" builds the site')
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {path: Links() for path in site.rglob("*.html")}
    for path, found in pages.items():
        found.feed(path.read_text(encoding="utf-8"))
    for path, found in pages.items():
        for address in found.loads:
            assert not urlsplit(address).netloc, f"{path.name} loads {address} from elsewhere"
        if path.name == "404.html":
            continue  # its links begin at the root of a web server
        for address in (*found.links, *found.loads):
            _leads_somewhere(path, address, pages)


def _leads_somewhere(page: Path, address: str, pages: dict[Path, Links]) -> None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    assert target.exists(), f"{page.name}: {address}"
    if parts.fragment and target in pages and not parts.fragment.startswith("__"):
        assert unquote(parts.fragment) in pages[target].anchors, f"{page.name}: {address}"
