"""tools/cuda_instructions.py, on machine code as cuobjdump prints it."""

import importlib.util
import sys
from pathlib import Path

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


def load():
    path = ROOT / "tools" / "cuda_instructions.py"
    spec = importlib.util.spec_from_file_location("cuda_instructions", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    del sys.modules[spec.name]
    return module


def test_instructions_are_counted_in_the_innermost_loop():
    tool = load()
    found = tool.kernels(SASS, "sm_90")
    assert list(found) == ["_Z4pass"]
    rows = tool.rows_of(tool.loops_of(found["_Z4pass"]))
    assert [label.strip("\N{NO-BREAK SPACE}") for label, _ in rows] == ["once", "loop", "loop"]
    once, outer, inner = (dict(counts) for _, counts in rows)
    assert once == {"other": 3, "local": 1}
    assert outer == {"global": 1, "fma64": 1, "other": 1}
    assert inner == {"shared": 1, "fma": 1, "other": 1}
