"""Check that every internal link of the built site and of the project's Markdown leads somewhere.

    python tools/check_links.py build/docs README.md CONTRIBUTING.md

Also checks that the site loads no script, style, font or image from the network. Links to other
sites are not followed.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
REMOTE = re.compile(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


class Page(HTMLParser):
    """What an HTML page names (`anchors`), links to (`links`) and loads (`loaded`)."""

    def __init__(self, text):
        """Read a page."""
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Note the names and links of one tag."""
        known = dict(attributes)
        self.anchors.update(known[key] for key in ("id", "name") if known.get(key))
        if tag in ("a", "area") and known.get("href"):
            self.links.append(known["href"])
        if tag in ("script", "img", "iframe", "source") and known.get("src"):
            self.loaded.append(known["src"])
        if tag == "link" and known.get("href") and known.get("rel") not in ("canonical", "search"):
            self.loaded.append(known["href"])


def site(folder):
    """Return what is wrong in a built site, a line each."""
    pages = {
        path.resolve(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(Path(folder).rglob("*.html"))
    }
    wrong = [] if pages else [f"{folder}: no page in it"]
    for path in sorted(Path(folder).rglob("*.css")):
        wrong += [
            f"{path.name}: loads {link} from the network"
            for link in REMOTE.findall(path.read_text(encoding="utf-8"))
        ]
    for path, page in pages.items():
        wrong += [
            f"{path.name}: loads {link} from the network"
            for link in page.loaded
            if urlsplit(link).netloc
        ]
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                wrong.append(f"{path.name}: {link} leads to no file")
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].anchors
            ):
                wrong.append(f"{path.name}: {link}: no such place on that page")
    return wrong


def markdown(path):
    """Return what is wrong in a Markdown file that stands in the project, a line each."""
    path, wrong = Path(path), []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = path.parent / unquote(parts.path) if parts.path else path
        if not target.exists():
            wrong.append(f"{path}: {link} leads to no file")
        elif (
            parts.fragment
            and target.suffix == ".md"
            and parts.fragment not in slugs(target.read_text(encoding="utf-8"))
        ):
            wrong.append(f"{path}: {link}: no such heading in that file")
    return wrong


def slugs(text):
    """Return the names that GitHub gives to the headings of a Markdown text.

    Examples
    --------
    >>> sorted(slugs("# Training the *weights*\\n## The zoo, again"))
    ['the-zoo-again', 'training-the-weights']
    """
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in HEADING.findall(FENCE.sub("", text))
    }


if __name__ == "__main__":
    found = [
        line
        for name in sys.argv[1:]
        for line in (site(name) if Path(name).is_dir() else markdown(name))
    ]
    print("\n".join(found) or f"every internal link of {', '.join(sys.argv[1:])} leads somewhere")
    sys.exit(bool(found))
