// Every instruction that CUDA C++ has no name for, as a function with two bodies: PTX for the GPU,
// and plain C++ (CUDA_EMU) for the emulator. Kernels contain no asm and include no toolkit header.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEV __device__ __forceinline__

// Storage formats are bits: nothing but the conversions below gives them a value.
typedef float f32;
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
    _Float16 half;
    __builtin_memcpy(&half, &value, sizeof half);
    return half;
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
    _Float16 half = (_Float16)value;
    __builtin_memcpy(&narrow, &half, sizeof half);
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(value));
#endif
    return narrow;
}
