// Vectors of eight elements, and one instantiation of a kernel for each float type.
#pragma once
#include "prelude.cuh"

// Expands X(f32), X(bf16) and X(f16): the variants of an entry point by the type it is named after.
#define EACH_FLOAT(X) X(f32) X(bf16) X(f16)

// Eight consecutive elements in registers, as the f32 that all arithmetic is in.
struct Eight {
    f32 at[8];
};

// Eight elements in memory, moved in 16-byte pieces: of 16-bit elements one, of f32 two.
template <class T> struct __align__(16) Stored {
    T at[8];
};

// `from` is aligned to 16 bytes and has at least eight elements.
template <class T> DEV Eight load8(const T* from) {
    Stored<T> stored = *reinterpret_cast<const Stored<T>*>(from);
    Eight values;
#pragma unroll
    for (int i = 0; i < 8; ++i) values.at[i] = to_f32(stored.at[i]);
    return values;
}

// `to` is aligned to 16 bytes and has at least eight elements.
template <class T> DEV void store8(T* to, const Eight& values) {
    Stored<T> stored;
#pragma unroll
    for (int i = 0; i < 8; ++i) stored.at[i] = from_f32<T>(values.at[i]);
    *reinterpret_cast<Stored<T>*>(to) = stored;
}

// Two 16-bit elements in one register, the first in the lower half.
template <class T> DEV u32 pack(f32 first, f32 second) {
    return (u32)from_f32<T>(first).bits | (u32)from_f32<T>(second).bits << 16;
}
