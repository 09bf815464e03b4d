// An array seen as rows of channels, its last dimension, and what a team of threads does with a row
// that it needs several times.
#pragma once
#include "reduce.cuh"
#include "vector.cuh"

struct Rows {
    u64 count;
    u64 channels;
};

// M rows of equal length, whose elements are given to the threads of a team: x[m] is that of row m.
//   each(f)       f(j, x) for the places j of this thread, in their order
//   write(to, f)  to[j] = f(j, x); `to` may be one of the rows

// From memory, as often as they are asked for, element by element.
template <class Team, class T, int M> struct Streamed {
    const T* rows[M];
    u64 channels;

    template <class F> DEV void each(F f) const {
        for (u64 j = Team::lane(); j < channels; j += Team::lanes()) call(j, f);
    }
    template <class F> DEV void write(T* to, F f) const {
        for (u64 j = Team::lane(); j < channels; j += Team::lanes()) to[j] = from_f32<T>(call(j, f));
    }

  private:
    template <class F> DEV auto call(u64 j, F& f) const {
        f32 x[M];
#pragma unroll
        for (int m = 0; m < M; ++m) x[m] = to_f32(rows[m][j]);
        return f(j, x);
    }
};

// Read once, in pieces of 16 bytes, and held in registers: rows whose channels are a multiple of
// eight, and not too many.
template <class Team, class T, int M> struct Held {
    DEV static bool fits(u64 channels) {
        return channels % 8 == 0 && channels <= Team::HELD * Team::lanes();
    }
    DEV explicit Held(const Streamed<Team, T, M>& from) : channels((u32)from.channels) {
#pragma unroll
        for (int piece = 0; piece < PIECES; ++piece) {
#pragma unroll
            for (int m = 0; m < M; ++m) {
                u32 place = place_of(piece);
                if (place < channels) pieces[m][piece] = packed<N>(from.rows[m] + place);
            }
        }
    }
    template <class F> DEV void each(F f) const {
#pragma unroll
        for (int piece = 0; piece < PIECES; ++piece) {
#pragma unroll
            for (int i = 0; i < N; ++i) {
                if (place_of(piece) < channels) call(piece, i, f);
            }
        }
    }
    template <class F> DEV void write(T* to, F f) const {
#pragma unroll
        for (int piece = 0; piece < PIECES; ++piece) {
            if (place_of(piece) >= channels) continue;
            Vector<N> values;
#pragma unroll
            for (int i = 0; i < N; ++i) values.at[i] = call(piece, i, f);
            store(to + place_of(piece), values);
        }
    }

  private:
    static constexpr int N = 16 / sizeof(T);
    static constexpr int PIECES = Team::HELD / N;

    Packed<T, N> pieces[M][PIECES];
    u32 channels;

    DEV static u32 place_of(int piece) { return N * (piece * Team::lanes() + Team::lane()); }

    template <class F> DEV auto call(int piece, int i, F& f) const {
        f32 x[M];
#pragma unroll
        for (int m = 0; m < M; ++m) x[m] = to_f32(pieces[m][piece].at[i]);
        return f((u64)place_of(piece) + i, x);
    }
};
