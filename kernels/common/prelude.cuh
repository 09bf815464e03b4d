// Every instruction that CUDA C++ has no name for, as a function with two bodies: PTX for the GPU,
// and plain C++ (CUDA_EMU) for the emulator. Kernels contain no asm and include no toolkit header.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEV __device__ __forceinline__

// A parameter that may be indexed where it is.
#ifdef CUDA_EMU
#define __grid_constant__
#endif

// Storage formats are bits: nothing but the conversions below gives them a value.
typedef float f32;
typedef double f64;
struct bf16 {
    u16 bits;
};
struct f16 {
    u16 bits;
};

DEV f32 to_f32(f32 value) { return value; }
DEV f32 to_f32(bf16 value) { return __uint_as_float((u32)value.bits << 16); }
DEV f32 to_f32(f16 value) {
#ifdef CUDA_EMU
    return __emu_h2f(value.bits);
#else
    f32 wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
    return wide;
#endif
}

// Rounds to nearest, ties to even.
template <class T> DEV T from_f32(f32 value);
template <> DEV f32 from_f32<f32>(f32 value) { return value; }
template <> DEV bf16 from_f32<bf16>(f32 value) {
    bf16 narrow;
#ifdef CUDA_EMU
    narrow.bits = __emu_f2bf(value);
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(value));
#endif
    return narrow;
}
template <> DEV f16 from_f32<f16>(f32 value) {
    f16 narrow;
#ifdef CUDA_EMU
    narrow.bits = __emu_f2h(value);
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(value));
#endif
    return narrow;
}

// Shared memory from global memory, asynchronously: 16 bytes, both addresses aligned to 16; zeros if
// not `valid`, for which nothing is read. Complete when the thread has waited for the group.
DEV void cp_async16(void* to, const void* from, bool valid) {
#ifdef CUDA_EMU
    __emu_cp_async(to, from, 16, valid ? 16 : 0);
#else
    u32 address = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
#endif
}

// The same of 8 bytes, with addresses aligned to 8.
DEV void cp_async8(void* to, const void* from, bool valid) {
#ifdef CUDA_EMU
    __emu_cp_async(to, from, 8, valid ? 8 : 0);
#else
    u32 address = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(address), "l"(from),
                 "r"(valid ? 8 : 0)
                 : "memory");
#endif
}

// Makes a group of the copies since the last one.
DEV void cp_async_commit() {
#ifdef CUDA_EMU
    __emu_cp_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most the last N groups of this thread are incomplete.
template <int N> DEV void cp_async_wait() {
#ifdef CUDA_EMU
    __emu_cp_wait(N);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// Four 8 x 8 matrices of 16-bit elements from shared memory: lane 8 i + r brings the address of row r
// of matrix i, 16 bytes. A lane gets elements 2 (lane % 4) and the next of row lane / 4 of each.
DEV void ldmatrix_x4(u32 (&matrices)[4], const void* row) {
#ifdef CUDA_EMU
    __emu_ldmatrix<4, false>(matrices, row);
#else
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(address)
                 : "memory");
#endif
}

// The same of two matrices, with the addresses of lanes 0 .. 16.
DEV void ldmatrix_x2(u32 (&matrices)[2], const void* row) {
#ifdef CUDA_EMU
    __emu_ldmatrix<2, false>(matrices, row);
#else
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(matrices[0]), "=r"(matrices[1])
                 : "r"(address)
                 : "memory");
#endif
}

// The same of the transposes: a lane gets rows 2 (lane % 4) and the next of column lane / 4.
DEV void ldmatrix_x4_trans(u32 (&matrices)[4], const void* row) {
#ifdef CUDA_EMU
    __emu_ldmatrix<4, true>(matrices, row);
#else
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(address)
                 : "memory");
#endif
}

// sums += a b on the tensor cores: a is 16 x 16 by rows, b 16 x 8 by columns, the sums are f32. With
// g = lane / 4 and t = 2 (lane % 4), a lane has (g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8) and
// the next of each row of a, (t, g) and (t + 8, g) and the next of each column of b, (g, t),
// (g, t + 1), (g + 8, t), (g + 8, t + 1) of the sums.
template <class T> DEV void mma(f32 (&sums)[4], const u32 (&a)[4], const u32 (&b)[2]);

template <> DEV void mma<bf16>(f32 (&sums)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#ifdef CUDA_EMU
    __emu_mma_bf16(sums, a, b, sums);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

template <> DEV void mma<f16>(f32 (&sums)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#ifdef CUDA_EMU
    __emu_mma_f16(sums, a, b, sums);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
