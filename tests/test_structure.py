"""No import runs back: what stands in DESIGN and CONTRIBUTING, read from the code itself."""

import ast
import graphlib
import importlib
import re
from collections import defaultdict
from pathlib import Path

import pytest

import enfilt

ROOT = Path(enfilt.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imported(node, package, types):
    """Yield the modules that code imports, also where it does so when it runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test) and not types:
            continue
        if isinstance(child, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - child.level + 1]
            parts = (above if child.level else []) + ([child.module] if child.module else [])
            base = ".".join(parts)
            for name in child.names:
                yield f"{base}.{name.name}" if f"{base}.{name.name}" in FILES else base
        elif isinstance(child, ast.Import):
            yield from (name.name for name in child.names)
        else:
            yield from imported(child, package, types)


def arrows(*, types):
    found = {}
    for name, path in FILES.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        # the package itself imports names when they are asked for
        own = types and name != "enfilt"
        ours = set(imported(ast.parse(path.read_text()), package, own)) & set(FILES)
        found[name] = ours - {name}
    return found


# for types alone, a file may name another one of its folder that it is a part of
ARROWS = arrows(types=False)


def circle(graph):
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_imports_are_read():
    assert "enfilt.filters.base" in ARROWS["enfilt.filters.lenff"]
    assert "enfilt.kernels.lenff" in ARROWS["enfilt.filters.lenff"]
    assert "enfilt.experiments.result_plots" in ARROWS["enfilt.experiments.result"]
    assert circle({"a": {"b"}, "b": {"a"}}) is not None


def test_no_module_is_in_a_circle():
    assert circle(ARROWS) is None


def test_no_folder_is_in_a_circle():
    graph = defaultdict(set)
    for name, others in arrows(types=True).items():
        for other in others:
            one, two = (part.split(".")[1:2] for part in (name, other))
            if one and two and one != two:
                graph[one[0]].add(two[0])
    assert circle(graph) is None


@pytest.mark.parametrize(
    ("folder", "never"),
    [
        ("backends", {"filters", "models", "observation", "operators", "inflation"}),
        ("models", {"filters", "experiments", "observation"}),
        ("kernels", {"filters", "experiments", "cli"}),
        ("filters", {"experiments", "cli"}),
        ("experiments", {"cli", "benchmark"}),
    ],
)
def test_arrows_point_down(folder, never):
    used = {
        other.split(".")[1]
        for name, others in ARROWS.items()
        if name.split(".")[1:2] == [folder]
        for other in others
        if "." in other
    }
    assert not used & never


def test_both_sides_share_their_mathematics():
    """A formula of cpp/include/enfilt/math is what both compile, and stands there alone."""
    top = Path(__file__).parents[1]
    shared = top / "cpp/include/enfilt/math"
    sides = {
        "math/": list((top / "cpp/include/enfilt").glob("*.hpp")),
        "enfilt/math/": list((top / "cuda/include").rglob("*.hpp")),
    }
    formulas = {path.name for path in shared.glob("*.hpp")} - {"portable.hpp", "vectors.hpp"}
    assert len(formulas) > 6
    for prefix, headers in sides.items():
        text = "".join(path.read_text() for path in headers)
        for name in formulas:
            assert re.search(rf'#include ["<]{prefix}{name}[">]', text), f"{prefix}{name}"
        # multipliers of Philox, a tendency, a clipped score, the slope of atan
        for written in ("D2511F53", "CD9E8D57", "- here +", "score >", "1) + x * x"):
            assert written not in text.replace("0x", ""), written


@pytest.mark.parametrize(
    ("folder", "catalogue", "base"),
    [
        ("filters", "filters/catalogue.py", enfilt.filters.EnsembleFilter),
        ("operators", "operators/__init__.py", enfilt.operators.Operator),
    ],
)
def test_one_line_tells_of_a_filter_or_an_operator(folder, catalogue, base):
    owner = enfilt if folder == "filters" else enfilt.operators
    lines = (ROOT / catalogue).read_text().splitlines()
    public = []
    for path in sorted((ROOT / folder).glob("*.py")):
        module = importlib.import_module(f"enfilt.{folder}.{path.stem}")
        if path.stem not in ("__init__", "catalogue") and hasattr(module, "__all__"):
            values = {name: getattr(module, name) for name in module.__all__}
            public += [n for n, v in values.items() if isinstance(v, type) and issubclass(v, base)]
            assert lines.count(f"from .{path.stem} import *") == 1
    assert public
    assert set(public) <= set(owner.__all__)
    texts = [(ROOT / "__init__.py").read_text(), (ROOT / folder / "__init__.py").read_text()]
    texts += [(ROOT / "filters" / "registry.py").read_text(), (ROOT / catalogue).read_text()]
    words = {word for text in texts for word in re.findall(r"\w+", text.split('"""')[2])}
    assert not words & set(public)
