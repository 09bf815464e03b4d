// Arrays that are moved in pieces: a piece is one element or, where eight divides every offset and
// extent, eight neighbours, which are 16 bytes or two times 16. A geometry counts in pieces.
//
// Grid: a thread a piece that is written, in blocks of 256 threads.
#pragma once
#include "types.cuh"

// The piece of this thread.
DEV u64 piece() { return (u64)blockIdx.x * 256 + threadIdx.x; }

// The sums of the elements, rounded once from f32.
template <class T> DEV T plus(const T& a, const T& b) { return from_f32<T>(to_f32(a) + to_f32(b)); }
template <class T> DEV Stored<T> plus(const Stored<T>& a, const Stored<T>& b) {
    Stored<T> sums;
#pragma unroll
    for (int i = 0; i < 8; ++i) sums.at[i] = plus(a.at[i], b.at[i]);
    return sums;
}
