"""Lists in pages are those of the code, and links between pages lead somewhere."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import enfilt as ef
from enfilt.filters import registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])


def first_cells(page, head):
    """Return the first cells of the table under a head."""
    lines = page.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head)) + 2
    cells = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        cells.append(line.split("|")[1].strip())
    return cells


def test_the_shell_page_lists_the_presets():
    listed = first_cells(DOCS / "shell.md", "| preset | what |")
    assert sorted(cell.strip("`") for cell in listed) == sorted(ef.presets.PRESETS)


def test_the_tuning_page_lists_the_filters_that_can_be_tuned():
    listed = ", ".join(first_cells(DOCS / "tuning.md", "| filter | what is tuned |")).split(", ")
    kinds = [ef.filters.FILTERS[name] for name in registry.names()]
    base = ef.filters.EnsembleFilter.search_space
    tuned = {kind.__name__ for kind in kinds if kind.search_space is not base}
    assert set(listed) == tuned


def test_the_installation_page_lists_the_extras():
    listed = ", ".join(first_cells(DOCS / "installation.md", "| extra | for |")).split(", ")
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert {cell.strip("`[]") for cell in listed} == set(extras)


def anchors(page):
    """Return the names by which a page's headings are reached."""
    found = set()
    for line in page.read_text().splitlines():
        if line.startswith("#"):
            text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip())
            found.add(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if heading:
            assert heading in anchors(file), target


def test_the_reference_lists_every_name_of_the_package():
    listed = (DOCS / "reference.rst").read_text().split()
    modules = {name for name in ef.__all__ if inspect.ismodule(getattr(ef, name))}
    assert set(ef.__all__) - modules - {"__version__"} <= set(listed)
    for module in ("operators", "geometry", "transforms", "kernels"):
        for name in getattr(ef, module).__all__:
            value = getattr(getattr(ef, module), name)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert f"{module}.{name}" in listed


def test_every_page_is_in_a_part_of_the_site():
    parts = " ".join(
        (DOCS / f"{part}.md").read_text() for part in ("start", "how-to", "understand")
    )
    hidden = " ".join(re.findall(r"```\{toctree\}(.*?)```", parts, flags=re.DOTALL)).split()
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index", "start", "how-to", "understand"}
    assert pages == set(hidden) - {":hidden:"}
