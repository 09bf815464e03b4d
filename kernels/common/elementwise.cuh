// Functions of one element or of two at the same place, in vectors of eight.
//
// Grid: blocks of 256 threads, ceil(len / 2048) of them; thread t of the grid owns the elements
// 8 t .. 8 t + 8, the last thread what is left. Operands start at multiples of 16 bytes. `y` may be
// `a` or `b` itself: a thread reads its elements before it writes them.
#pragma once
#include "types.cuh"

// The first element of this thread.
DEV u64 first_of_eight() { return 8 * ((u64)blockIdx.x * blockDim.x + threadIdx.x); }

// y[i] = f(a[i], i) for i < len.
template <class A, class Y, class F> DEV void map(u64 len, const A* a, Y* y, F f) {
    u64 first = first_of_eight();
    if (first + 8 <= len) {
        Eight values = load8(a + first);
#pragma unroll
        for (int i = 0; i < 8; ++i) values.at[i] = f(values.at[i], first + i);
        store8(y + first, values);
    } else {
        for (u64 i = first; i < len; ++i) y[i] = from_f32<Y>(f(to_f32(a[i]), i));
    }
}

// y[i] = f(a[i], b[i]) for i < len.
template <class T, class F> DEV void map2(u64 len, const T* a, const T* b, T* y, F f) {
    u64 first = first_of_eight();
    if (first + 8 <= len) {
        Eight left = load8(a + first), right = load8(b + first);
#pragma unroll
        for (int i = 0; i < 8; ++i) left.at[i] = f(left.at[i], right.at[i]);
        store8(y + first, left);
    } else {
        for (u64 i = first; i < len; ++i) y[i] = from_f32<T>(f(to_f32(a[i]), to_f32(b[i])));
    }
}
