"""Configuration of the documentation site: ``sphinx-build -W --keep-going docs site``."""

from importlib.metadata import version as version_of

project = "enfilt"
author = "the enfilt developers"
release = version = version_of("enfilt")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["pictures"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # pages link to one another's headings as GitHub names them

autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": False, "show-inheritance": True}
autodoc_typehints = "none"  # docstrings give types, shapes and units
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
add_module_names = False
# "Model" in a docstring is the model of that page, whichever of two classes the name finds
suppress_warnings = ["ref.python"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "enfilt"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
}
html_static_path: list[str] = []
html_show_sourcelink = False


def equations(app, what, name, obj, options, lines):
    """Show the indented equations of a docstring's description as they stand there."""
    shown, before, inside = [], "", None
    for number, line in enumerate(lines):
        text, depth = line.strip(), len(line) - len(line.lstrip())
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if text and following and set(following) == {"-"}:  # a section: Parameters, Returns, ...
            shown += lines[number:]
            break
        if inside is not None and text and depth < inside:
            inside = None
        paragraph = len(before) - len(before.lstrip()) + 2 * before.lstrip().startswith("- ")
        starts = bool(shown) and not shown[-1].strip() and before and depth > paragraph
        if text and inside is None and starts:
            shown += [" " * paragraph + "::", ""]
            inside = depth
        shown.append(line)
        before = line if text else before
    lines[:] = shown


def setup(app):
    """Tell Sphinx of `equations`."""
    app.connect("autodoc-process-docstring", equations, priority=100)  # before Napoleon
