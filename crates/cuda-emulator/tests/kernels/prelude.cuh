// PTX of the test kernels, with the bodies that the emulator executes.
#pragma once
typedef unsigned short u16;
typedef unsigned int u32;

__device__ __forceinline__ void cp_async16(void* shared, const void* global) {
#ifdef CUDA_EMU
    __emu_cp_async(shared, global, 16, 16);
#else
    u32 to = (u32)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#endif
}
__device__ __forceinline__ void cp_async_commit() {
#ifdef CUDA_EMU
    __emu_cp_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int KEEP> __device__ __forceinline__ void cp_async_wait() {
#ifdef CUDA_EMU
    __emu_cp_wait(KEEP);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(KEEP) : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix_x4(u32 (&r)[4], const void* row) {
#ifdef CUDA_EMU
    __emu_ldmatrix<4, false>(r, row);
#else
    u32 from = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix_x2_trans(u32 (&r)[2], const void* row) {
#ifdef CUDA_EMU
    __emu_ldmatrix<2, true>(r, row);
#else
    u32 from = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(from) : "memory");
#endif
}
// d += a (16x16, row major) * b (16x8, column major)
__device__ __forceinline__ void mma_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#ifdef CUDA_EMU
    __emu_mma_bf16(d, a, b, d);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
