// One element or eight consecutive ones, by which a kernel for any number of channels and one for a
// multiple of eight share their text.
#pragma once
#include "types.cuh"

template <int N> struct Vector {
    f32 at[N];
};

template <int N> DEV Vector<N> splat(f32 value) {
    Vector<N> vector;
#pragma unroll
    for (int i = 0; i < N; ++i) vector.at[i] = value;
    return vector;
}

// With N = 8, `from` is aligned to 16 bytes.
template <int N, class T> DEV Vector<N> load(const T* from) {
    static_assert(N == 1 || N == 8, "one element or eight");
    Vector<N> vector;
    if constexpr (N == 1) {
        vector.at[0] = to_f32(*from);
    } else {
        Eight eight = load8(from);
#pragma unroll
        for (int i = 0; i < N; ++i) vector.at[i] = eight.at[i];
    }
    return vector;
}

// With N = 8, `to` is aligned to 16 bytes.
template <int N, class T> DEV void store(T* to, const Vector<N>& vector) {
    static_assert(N == 1 || N == 8, "one element or eight");
    if constexpr (N == 1) {
        *to = from_f32<T>(vector.at[0]);
    } else {
        Eight eight;
#pragma unroll
        for (int i = 0; i < N; ++i) eight.at[i] = vector.at[i];
        store8(to, eight);
    }
}
