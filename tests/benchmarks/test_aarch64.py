from __future__ import annotations

import pytest

from suite.aarch64 import binary_loops, loops

#: As clang writes it: comments, directives, labels of other blocks, a branch that is no loop, a loop of two blocks.
ASSEMBLY = """\
\t.text
_ZN7bibench4BodyE:                      // @_ZN7bibench4BodyE
// %bb.0:
\tldr\tq0, [x1]
\tcbz\tx0, .LBB0_9
.LBB0_2:                                // =>This Inner Loop Header: Depth=1
\teor\tv3.16b, v1.16b, v2.16b
\tcnt\tv3.16b, v3.16b
\tadd\tv4.16b, v4.16b, v3.16b
\tsubs\tx8, x8, #1
\tb.ne\t.LBB0_2
.LBB0_3:
\tldp\tq0, q1, [x1], #32                // 16-byte Folded Reload
\teor\tv3.16b, v1.16b, v2.16b
\tcnt\tv3.16b, v3.16b
\tcnt\tv5.16b, v5.16b
\tcbnz\tx9, .LBB0_3
.LBB0_4:
\tldp\tq0, q1, [x1], #32
\tldr\tq7, [x2]
\tcnt\tv3.16b, v3.16b
\tcnt\tv5.16b, v5.16b
\ttbnz\tw9, #0, .LBB0_4
.LBB0_5:
\tfadd\tv0.4s, v0.4s, v1.4s
\tb.ne\t.LBB0_4
.LBB0_9:
\tret
"""


def test_loops_are_the_blocks_that_branch_to_their_own_label() -> None:
    found = loops(ASSEMBLY)
    assert [(len(loop.body), loop.count("cnt"), loop.count("ld")) for loop in found] == [
        (5, 1, 0),
        (5, 2, 1),
        (5, 2, 2),
    ]
    assert found[0].body[0] == "eor\tv3.16b, v1.16b, v2.16b"


def test_the_tile_is_the_loop_that_counts_most_with_the_fewest_loads() -> None:
    bare, tile = binary_loops(loops(ASSEMBLY))
    assert bare.count("ld") == 0
    assert (tile.count("cnt"), tile.count("ld")) == (2, 1)


def test_assembly_without_such_loops_is_an_error_and_no_figure() -> None:
    with pytest.raises(ValueError, match="no loop"):
        binary_loops(loops("f:\n\tret\n"))
