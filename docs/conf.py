"""How Sphinx sets the site: nothing is executed, nothing is loaded from elsewhere."""

from importlib.metadata import version as version_of

project = "Prunability"
author = "the prunability companion authors"
project_copyright = author
release = version_of("prunability")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "Does robustness to pruning predict generalization?"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
templates_path = []
exclude_patterns = []
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
# Pages are written for a reader of Markdown too, whose headings may begin anywhere.
suppress_warnings = ["myst.header"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
