// Some consecutive elements, by which kernels that take a different number at once share their text.
#pragma once
#include "types.cuh"

template <int N> struct Vector {
    f32 at[N];
};

// The same in memory, moved in 16-byte pieces if they are as long.
template <class T, int N>
struct __align__(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Packed {
    T at[N];
};

template <int N> DEV Vector<N> splat(f32 value) {
    Vector<N> vector;
#pragma unroll
    for (int i = 0; i < N; ++i) vector.at[i] = value;
    return vector;
}

// `from` is aligned to 16 bytes or, if they are fewer, to those of N elements.
template <int N, class T> DEV Packed<T, N> packed(const T* from) {
    return *reinterpret_cast<const Packed<T, N>*>(from);
}

template <int N, class T> DEV Vector<N> unpacked(const Packed<T, N>& elements) {
    Vector<N> vector;
#pragma unroll
    for (int i = 0; i < N; ++i) vector.at[i] = to_f32(elements.at[i]);
    return vector;
}

// `from` as in `packed`.
template <int N, class T> DEV Vector<N> load(const T* from) { return unpacked(packed<N>(from)); }

// `to` is aligned as `from` in `packed`.
template <int N, class T> DEV void store(T* to, const Vector<N>& vector) {
    Packed<T, N> elements;
#pragma unroll
    for (int i = 0; i < N; ++i) elements.at[i] = from_f32<T>(vector.at[i]);
    *reinterpret_cast<Packed<T, N>*>(to) = elements;
}
