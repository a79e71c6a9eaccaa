"""Sphinx: the site of docs/ and the executed notebooks. `make docs` builds it.

Nothing is executed, and nothing comes from the network.
"""

import re
import sys
from pathlib import Path
from textwrap import indent

HERE = Path(__file__).parent
sys.path[:0] = map(str, (HERE, HERE.parent / "tools", HERE.parent))

import prepare  # noqa: E402

from patchseg import __version__  # noqa: E402

prepare.notebooks()
prepare.api()

project, author, release = "patchseg", "The patchseg authors", __version__
project_copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["tables/*"]
highlight_language = "none"
default_role = "code"  # docstrings write names in single backticks

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # would be loaded from the network
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
# blocks that only a test reads, as in CONTRIBUTING
suppress_warnings = ["misc.highlighting_failure"]

autodoc_mock_imports = ["tensorflow", "keras"]  # they take seconds to load, and greet
autodoc_default_options = {"exclude-members": "set, model_config"}  # of matplotlib and pydantic
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the types stand in the docstrings, with shapes
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

nitpicky = True  # every name in a role has to be found …
# … but shapes and dtypes of docstrings are no classes
nitpick_ignore_regex = [("py:(class|obj|exc|data)", ".*")]

html_theme = "furo"
html_title = f"patchseg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False


def as_text(app, what, name, obj, options, lines):
    """Read docstrings as plain text, not reStructuredText.

    Drawings and examples stay as they are; ``|`` and ``*.nii`` are letters.
    """
    blocks, literal = "\n".join(lines).split("\n\n"), False
    for number, block in enumerate(blocks):
        indented = block.startswith("    ")
        literal = indented and (literal or blocks[number - 1].endswith("::"))
        if literal or ">>>" in block:
            continue
        if not indented and re.search(r"\S {3,}\S", block):  # columns
            blocks[number] = "::\n\n" + indent(block, "    ")
            continue
        block = re.sub(r"(?<![\\*\w])\*(?=[._])", r"\\*", block).replace("|", r"\|")
        leads = block.endswith(":") and not block.startswith(":") and not indented
        blocks[number] = block + ":" * (
            leads and "".join(blocks[number + 1 : number + 2]).startswith("    ")
        )
    lines[:] = "\n\n".join(blocks).split("\n")


def setup(app):
    """Connect what reads the docstrings, after napoleon."""
    app.connect("autodoc-process-docstring", as_text, priority=600)
