"""What mkdocs does besides: pages that lie outside ``docs/``, and links that work in both places.

A link in a page is written for the repository. On the site, one to a page of ``PROJECT`` goes to
its copy, and one to any other file of the repository becomes its text: the site has no such file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_FOLDER = "project"
# A public name as the repository shows it; mkdocstrings has heading and sentence by itself.
_NAME = re.compile(r"^## [^\n]+\n\n(?:[^\n]+\n\n)?(?=::: )", re.MULTILINE)
_LINK = re.compile(r"\[([^\]\[]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's root."""
    from mkdocs.structure.files import File

    for name in PROJECT:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, f"{_FOLDER}/{name}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of one page; leave the headings of public names to mkdocstrings."""
    pages = {file.src_uri for file in files}
    if page.file.src_uri.startswith("reference/api/"):
        markdown = _NAME.sub("", markdown)
    return _LINK.sub(lambda link: rewritten(link, page.file.src_uri, pages), markdown)


def rewritten(link: re.Match[str], page: str, pages: set[str]) -> str:
    """Return a link as the site needs it.

    Args:
        link: matches text, address and anchor.
        page: path of its page on the site.
        pages: paths of all pages and pictures of the site.
    """
    text, address, anchor = link[1], link[2], link[3] or ""
    if ":" in address:
        return link[0]
    outside = page.startswith(f"{_FOLDER}/")
    folder = "" if outside else posixpath.join("docs", posixpath.dirname(page))
    target = posixpath.normpath(posixpath.join(folder, address))
    found = f"{_FOLDER}/{target}" if target in PROJECT else target.removeprefix("docs/")
    if found not in pages:
        return text
    return f"[{text}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{anchor})"
