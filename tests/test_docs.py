"""README, site and links: short, up to date, and leading somewhere."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
links = runpy.run_path(str(ROOT / "tools" / "check_links.py"))


def write(folder, **pages):
    folder.mkdir()
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    return folder


def test_a_whole_site_has_nothing_wrong(tmp_path):
    a = '<h1 id="top">A</h1><a href="b.html#end">b</a><a href="#top">up</a>'
    here = write(tmp_path / "site", a=a, b='<p id="end"></p><a href="https://example.org/x">x</a>')
    assert links["site"](here) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<a href="missing.html">x</a>', "a.html: missing.html leads to no file"),
        ('<a href="b.html#gone">x</a>', "a.html: b.html#gone: no such place on that page"),
        ('<a href="#gone">x</a>', "a.html: #gone: no such place on that page"),
        ('<img src="gone.png">', "a.html: gone.png leads to no file"),
        (
            '<script src="https://example.org/x.js"></script>',
            "a.html: loads https://example.org/x.js from the network",
        ),
        (
            '<link rel="stylesheet" href="//example.org/x.css">',
            "a.html: loads //example.org/x.css from the network",
        ),
    ],
)
def test_each_broken_link_is_named(tmp_path, text, says):
    assert links["site"](write(tmp_path / "site", a=text, b="<p></p>")) == [says]


def test_a_font_from_the_network_is_named(tmp_path):
    here = write(tmp_path / "site", a="<p></p>")
    text = '@font-face { src: url("https://example.org/f.woff2") } p { background: url(own.png) }'
    (here / "own.css").write_text(text)
    assert links["site"](here) == ["own.css: loads https://example.org/f.woff2 from the network"]


def test_an_empty_site_is_no_good_site(tmp_path):
    assert links["site"](write(tmp_path / "site"))


def test_links_of_a_markdown_file(tmp_path):
    (tmp_path / "other.md").write_text("# One\n## Two, three\n```\n# no heading\n```\n")
    text = "[a](other.md#two-three) [b](gone.md) [c](other.md#four) [d](https://example.org)\n"
    text += "[e](#one)\n# One\n```\n[f](g.md)\n```\n[h](other.md#no-heading)"
    (tmp_path / "page.md").write_text(text)
    found = [line.partition("page.md: ")[2] for line in links["markdown"](tmp_path / "page.md")]
    places = [f"other.md#{name}: no such heading in that file" for name in ("four", "no-heading")]
    assert found == ["gone.md leads to no file", *places]


def test_readme_is_short_and_its_table_is_that_of_artefacts():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1000
    now = runpy.run_path(str(ROOT / "tools" / "readme_scores.py"))["readme"]()
    assert text == now, "run python tools/readme_scores.py"
