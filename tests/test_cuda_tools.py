"""tools/cuda_instructions.py and cuda_table.py, on machine code as cuobjdump prints it."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

SASS = """
arch = sm_80
\t\tFunction : _Z5other
        /*0000*/                   EXIT ;                    /* 0x000000000000794d */
arch = sm_90
\t\tFunction : _Z4pass
        /*0000*/                   LDC R1, c[0x0][0x28] ;    /* 0x00000a00ff017b82 */
                                                             /* 0x000ff00000000800 */
        /*0010*/                   LDG.E R2, [R2.64] ;       /* 0x0000000402027981 */
        /*0020*/              @!P0 LDS R4, [R5+0x4] ;        /* 0x0000000402027981 */
        /*0030*/                   FFMA R4, R4, R4, R6 ;     /* 0x0000000402027981 */
        /*0040*/               @P0 BRA 0x20 ;                /* 0x000000000000894d */
        /*0050*/                   DADD R4, R4, R6 ;         /* 0x0000000402027981 */
        /*0060*/               @P1 BRA 0x10 ;                /* 0x000000000000894d */
        /*0070*/                   STL [R1], R4 ;            /* 0x0000000402027981 */
        /*0080*/                   EXIT ;                    /* 0x000000000000794d */
        /*0090*/                   BRA 0x90 ;                /* 0x000000000000794d */
"""


@pytest.fixture
def tool(monkeypatch, request):
    """Return a module of tools/."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    yield importlib.import_module(request.param)
    for name in ("cuda_instructions", "cuda_table"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("tool", ["cuda_instructions"], indirect=True)
def test_instructions_are_counted_in_the_innermost_loop(tool):
    found = tool.kernels(SASS, "sm_90")
    assert list(found) == ["_Z4pass"]
    rows = tool.rows_of(tool.loops_of(found["_Z4pass"]))
    assert [label.strip("\N{NO-BREAK SPACE}") for label, _ in rows] == ["once", "loop", "loop"]
    once, outer, inner = (dict(counts) for _, counts in rows)
    assert once == {"other": 3, "local": 1}
    assert outer == {"global": 1, "fma64": 1, "other": 1}
    assert inner == {"shared": 1, "fma": 1, "other": 1}
    one = SASS.replace("arch = ", "\tcode for ")  # of a file for one architecture
    assert tool.kernels(one, "sm_90") == found


@pytest.mark.parametrize("tool", ["cuda_table"], indirect=True)
def test_a_component_takes_loops_as_often_as_it_is_said(tool):
    found = tool.cuda_instructions.kernels(SASS, "sm_90")
    total = tool.works(found, tool.Work("pass", (2, 8), 12.0))
    assert total == {"global": 2, "fma64": 2, "shared": 8, "fma": 8, "other": 2 + 8}
    with pytest.raises(ValueError, match=r"has 2 loops of \[3, 3\] instructions, but .* of 1"):
        tool.works(found, tool.Work("pass", (2,), 12.0))
    with pytest.raises(ValueError, match="no kernel is called 'other'"):
        tool.works(found, tool.Work("other", (2,), 12.0))
    resources = " Function _Z4pass:\n  REG:42 STACK:0\n Function _Z5other:\n  REG:7 STACK:0"
    assert tool.registers(resources, "pass") == 42
    page = (ROOT / "docs/gpu.md").read_text()
    assert all(f"| {row.name} | before |" in page for row in tool.ROWS)
