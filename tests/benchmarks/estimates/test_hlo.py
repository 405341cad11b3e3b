"""Reading optimized HLO."""

import pytest

from benchmarks.estimates.hlo import (
    Collective,
    Kernel,
    collectives,
    estimated_cycles,
    gathered_bytes,
    kernels,
    rematerialized,
)

MODULE = """HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%fused (p: f32[8,128]) -> f32[8,128] {
  %p = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %e = f32[8,128]{1,0:T(8,128)} exponential(%p), backend_config={"estimated_cycles":"7"}
}

%body (s: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %s = (s32[], f32[8,128]{1,0}) parameter(0)
  %x = f32[8,128]{1,0:T(8,128)} get-tuple-element(%s), index=1
  %reduced = f32[8,128]{1,0:T(8,128)} all-reduce(%x), channel_id=2, to_apply=%add
  %f = f32[8,128]{1,0:T(8,128)} fusion(%reduced), kind=kLoop, calls=%fused, \
backend_config={"window_config":{"estimated_cycles":"100"}}
  ROOT %t = (s32[], f32[8,128]{1,0}) tuple(%i, %f)
}

%short (s.2: (s32[], f32[8,128])) -> pred[] {
  %s.2 = (s32[], f32[8,128]{1,0}) parameter(0)
  %three = u32[] constant(3)
  ROOT %less.2 = pred[] compare(%i.2, %three), direction=LT
}

%short_body (s.3: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %s.3 = (s32[], f32[8,128]{1,0}) parameter(0)
  %many = u32[] constant(1000)
  %picked = u8[50]{0} fusion(%x.3, %j), kind=kCustom, calls=%fused_gather, \
metadata={op_name="jit(step)/gather" stack_frame_id=8}
  ROOT %t.3 = (s32[], f32[8,128]{1,0}) copy(%s.3), backend_config={"estimated_cycles":"11"}
}

%fused_gather (g: u8[90]) -> u8[50] {
  ROOT %g = u8[50]{0} parameter(0)
}

%condition (s.1: (s32[], f32[8,128])) -> pred[] {
  %s.1 = (s32[], f32[8,128]{1,0}) parameter(0)
  ROOT %less = pred[] compare(%i.1, %n), direction=LT, backend_config={"estimated_cycles":"1"}
}

%cheap (c: f32[]) -> f32[] {
  ROOT %k = f32[] copy(%c), backend_config={"estimated_cycles":"20"}
}

%dear (d: f32[]) -> f32[] {
  ROOT %l = f32[] copy(%d), backend_config={"estimated_cycles":"30"}
}

ENTRY %main (p0: f32[8,128], p1: bf16[16]) -> f32[8,128] {
  %p0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  %p1 = bf16[16]{0:T(256)} parameter(1)
  %start = (bf16[16]{0:T(256)(128)(2,1)S(1)}, f32[]{:T(128)}) all-reduce-start(%p1, %z), \
channel_id=1, to_apply=%add
  %done = (bf16[16]{0}, f32[]) all-reduce-done(%start)
  %gather = (bf16[16]{0:T(256)}, bf16[64]{0:T(256)}) all-gather-start(%p1), dimensions={0}
  %loop = (s32[], f32[8,128]{1,0}) while(%init), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"4"}}
  %loop.2 = (s32[], f32[8,128]{1,0}) while(%loop), condition=%short, body=%short_body
  %choice = f32[] conditional(%q, %u, %v), branch_computations={%cheap, %dear}
  %copy.12.remat.1 = f32[8,128]{1,0} copy(%loop)
  %add.remat = f32[] add(%choice, %copy.12.remat.1)
  %remat2.356 = f32[] add(%add.remat, %u)
  ROOT %copy = f32[8,128]{0,1:T(8,128)} copy(%r), backend_config={"estimated_cycles":"5"}
}
"""


def test_cycles_count_loops_as_often_as_they_run_and_the_dearer_branch() -> None:
    # The loop's body and condition four times, the other's body as often as its condition says, the
    # dearer branch, the copy; what is inside of a fusion is part of it.
    assert estimated_cycles(MODULE) == 4 * (100 + 1) + 3 * 11 + 30 + 5


def test_gathers_without_an_estimate_are_counted_in_bytes() -> None:
    assert gathered_bytes(MODULE) == 3 * 50


def test_what_the_compiler_repeats_is_counted_not_what_the_program_does() -> None:
    assert rematerialized(MODULE) == 2


def test_collectives_are_counted_by_kind_with_the_bytes_of_their_results() -> None:
    assert collectives(MODULE) == (
        Collective("all-reduce", 1 + 4, (16 * 2 + 4) + 4 * 8 * 128 * 4),
        Collective("all-gather", 1, 64 * 2),
    )


def test_kernels_count_what_they_move_and_loops_their_trips() -> None:
    module = """HloModule jit_step

%body (s: (s32[], f32[4])) -> (s32[], f32[4]) {
  %s = (s32[], f32[4]{0}) parameter(0)
  %x = f32[4]{0} get-tuple-element(%s), index=1
  %twice = f32[4]{0} fusion(%x, %x), kind=kLoop, calls=%fused
  ROOT %t = (s32[], f32[4]{0}) tuple(%i, %twice)
}

%condition (s.1: (s32[], f32[4])) -> pred[] {
  %s.1 = (s32[], f32[4]{0}) parameter(0)
}

ENTRY %main (p0: bf16[8,16], p1: bf16[16,2]) -> f32[8,2] {
  %p0 = bf16[8,16]{1,0} parameter(0)
  %p1 = bf16[16,2]{1,0} parameter(1)
  %product = (f32[8,2]{1,0}, s8[4194304]{0}) custom-call(%p0, %p1), \
custom_call_target="__cublas$lt$matmul", metadata={op_name="jit(step)/dot_general"}
  %loop = (s32[], f32[4]{0}) while(%init), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"3"}}
  ROOT %result = f32[8,2]{1,0} get-tuple-element(%product), index=0
}
"""
    product, *trips = kernels(module)
    assert product == Kernel(
        "product", "jit(step)/dot_general", 8 * 16 * 2 + 16 * 2 * 2 + 8 * 2 * 4
    )
    assert trips == [Kernel("twice", "", 2 * 4 * 4)] * 3


def test_text_that_is_no_module_is_an_error() -> None:
    with pytest.raises(ValueError, match="no entry computation"):
        estimated_cycles("not found")
