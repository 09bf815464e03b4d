// What kernels see instead of the toolkit's headers: included before every program. Like NVRTC it
// declares the language's own functions and types only; there are no system headers.
//
// Inline PTX cannot run on a CPU. A prelude that wraps an instruction in a function gives it a body
// under `#ifdef CUDA_EMU`, which may call what follows. All warp-level functions must be called by
// all 32 lanes of a warp; addresses are plain pointers.
//
//   emu_warp.h    __emu_bar_sync(id, threads)                 bar.sync on a named barrier
//                 __emu_grid_sync()                           the grid's barrier (cooperative launch)
//                 __emu_yield()                               lets other threads go on; call it in
//                                                             every loop that waits for memory
//                 __emu_shared_address(p), __cvta_generic_to_shared(p)
//                                                             window address of dynamic shared memory
//   emu_half.h    __emu_f2bf(f), __emu_bf2f(bits)             cvt.rn.bf16.f32 and back, as bits
//                 __emu_f2h(f), __emu_h2f(bits)               cvt.rn.f16.f32 and back, as bits
//   emu_async.h   __emu_cp_async(shared, global, bytes, from) cp.async of 4, 8 or 16 bytes, of which
//                                                             `from` are read and the rest is zero
//                 __emu_cp_commit(), __emu_cp_wait(keep)      commit_group, wait_group
//   emu_mma.h     __emu_ldmatrix<N, trans>(r, row)            ldmatrix.x1, .x2, .x4, optionally .trans
//                 __emu_stmatrix<N, trans>(row, r)            stmatrix
//                 __emu_mma_bf16(d, a, b, c), __emu_mma_f16   mma.m16n8k16, f32 accumulators
//                 __emu_mma_tf32(d, a, b, c)                  mma.m16n8k8.tf32
//   emu_hopper.h  __emu_mbar_init, _arrive(bar, tx), _try_wait(bar, parity)
//                 __emu_tma_load(shared, map, bar, coordinates)
//                 __emu_wgmma_issue(d, a, b, accumulate, b_mn_major), a a
//                                                             descriptor or four registers
//                 __emu_wgmma_commit(), __emu_wgmma_wait<N>(keep)
//
// Asynchronous instructions do nothing until they are waited for, and poison their destination
// meanwhile: a missing wait shows.
#pragma once

#include "emu_core.h"
#include "emu_hooks.h"
#include "emu_warp.h"
#include "emu_half.h"
#include "emu_math.h"
#include "emu_atomic.h"
#include "emu_async.h"
#include "emu_mma.h"
#include "emu_hopper.h"
