"""What a program's machine code takes, and each layer of it."""

import os
import pathlib

import pytest
from etils import epath

from benchmarks.estimates import chips, machine_code
from benchmarks.estimates.layer_costs import LayerCost, costs_by_layer
from efficientnet.errors import UserError

# Written by hand in libtpu's form: three bundles, a loop of five bundles that runs ten times with
# one of two inside that runs four times, and a bundle at the end.
KERNEL = """= control target key start
LH: loop header
LB: loop body
= control target key end

     0   :  { %s1 = inlined_call_operand.vmem [shape: bf16[8,128], index: 0] /* operand 0 */ }
   0x1   :  { %2 = vsyncpa [#allocation4], 0 } /* Start region 2 */
   0x2   :  {}
   0x3 LB: > { %s9 = sadd.s32 4294967295, %s1 /* iteration index
of a comment that goes on */ }
   0x4   : > { %v1 = vld [vmem:[%s1] sm:$0xff]  ;;  %v2 = vadd.f32 %v1, %v1 }
   0x5 LB: >> { %v3 = vadd.f32 %v2, %v1 }
   0x6   : >> { %p1 = scmp.ge.s32.totalorder %s3_s1, 4 /* loop exit test */ }
   0x7   : > {}
   0x8 PF: > { %s2 = sadd.s32 1, %s1 }
   0x9   : > { %p2 = scmp.ge.s32.totalorder %s12_s13, 10 /* loop exit test */  ;;  %s3 = smov 0 }
   0xa   :  { %4 = vsyncpa [#allocation4], 1 }
"""
MODULE = """HloModule jit_step, is_scheduled=true

ENTRY %main (p0: f32[8,128], p1: bf16[1024]) -> f32[8,128] {
  %p0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  %p1 = bf16[1024]{0:T(256)S(1)} parameter(1)
  %a = f32[8,128]{1,0:T(8,128)S(1)} fusion(%p0, %p1), kind=kLoop, calls=%fused, \
metadata={op_name="jit(step)/jvp(Net)/block1a/block1a_dwconv/conv"}, \
backend_config={"estimated_cycles":"100"}
  %b = f32[8,128]{1,0:T(8,128)} fusion(%a), kind=kLoop, calls=%fused, \
metadata={op_name="jit(step)/transpose(jvp(Net))/block1a/block1a_dwconv/conv"}, \
backend_config={"estimated_cycles":"70"}
  %c = f32[8,128]{1,0:T(8,128)} fusion(%b), kind=kLoop, calls=%fused, \
metadata={op_name="jit(step)/transpose(jvp(Net))/block1a/block1a_dwconv/add"}, \
backend_config={"estimated_cycles":"70"}
  ROOT %d = f32[8,128]{0,1:T(8,128)} copy(%c), backend_config={"estimated_cycles":"5"}
}
"""


def test_bundles_count_as_often_as_their_loops_run() -> None:
    assert machine_code.cycles(KERNEL) == 3 + 10 * (5 + 4 * 2) + 1


def test_kernels_are_taken_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "1795376935-fusion.3-01-final_bundles.txt").write_text(KERNEL)
    (tmp_path / "1795376935-fusion.3-00-schedule-analysis_final_bundles.txt").write_text("5")
    assert machine_code.take(epath.Path(tmp_path)) == {"fusion.3": 134}
    with pytest.raises(UserError, match="--profile: libtpu wrote no machine code"):
        machine_code.take(epath.Path(tmp_path))


def test_what_libtpu_is_told_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--given=1")
    with machine_code.written_down() as folder:
        assert folder.is_dir()
        flags = os.environ["LIBTPU_INIT_ARGS"].split()
        assert flags[:2] == ["--given=1", f"--xla_jf_dump_to={folder}"]
    assert not folder.exists()


def test_costs_are_added_up_by_layer() -> None:
    chip = chips.Chip(
        clock_hertz=1e9, memory_gib=16, bytes_per_second=1e11, axes=2
    )  # 100 B a cycle
    # The code of %c is that of %b, and that of %d was not written down.
    forward, gradient, rest = 30, 50, 5
    array = 8 * 128 * 4
    assert costs_by_layer(MODULE, {"a": forward, "b": gradient}, chip) == (
        # One reads from the chip's own memory and writes to HBM, the other does both in HBM.
        LayerCost("block1a_dwconv", "gradient", 140, 2 * gradient, 3 * array, 50 + 82),
        LayerCost("", "forward", 5, rest, 2 * array, 82),
        LayerCost("block1a_dwconv", "forward", 100, forward, array, 41),
    )
