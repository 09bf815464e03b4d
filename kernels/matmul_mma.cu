// matmul_mma: the matrix products of matmul.cu on the tensor cores.
//
// c[m, n] = op(a)[m, k] op(b)[k, n], or added to c: a and b are bf16 or f16, c has their type or is
// f32; products are exact, sums f32, rounded once at the end. Operands lie as common/product.cuh
// says, at multiples of 16 bytes; of a and of b the stride that is not 1 is a multiple of 8, and so
// is the extent that the other goes along. c is [m, n] and overlaps nothing.
//
// A block of 4 warps computes a square of 64 or 128 elements, a warp a quarter of it. Tiles of 32
// terms pass through a ring of three in shared memory, filled by cp.async; their rows are 16 bytes
// longer than what they hold, an odd number of 16-byte units, so that ldmatrix meets no bank twice.
// Grid: 128 threads, ceil(m / size) ceil(n / size) blocks, those of a row of squares after each
// other. Shared, dynamic: 3 (size + size) 80 bytes: 30,720 or 61,440.
//
//   matmul_mma_{64,128}_{bf16,f16}  squares of 64 or 128; the geometry says what c is
#include "product.cuh"
#include "types.cuh"

constexpr u32 DEPTH = 32;
constexpr u32 STAGES = 3;

// One operand in shared memory: its outer extent is rows of op(a) or columns of op(b), its depth is
// that of the sums. `ALONG` tells which of them is contiguous in memory, and so in a tile's rows.
template <u32 SIZE, bool ALONG_DEPTH> struct Tile {
    static constexpr u32 ROWS = ALONG_DEPTH ? SIZE : DEPTH;
    static constexpr u32 COLUMNS = ALONG_DEPTH ? DEPTH : SIZE;
    static constexpr u32 PITCH = COLUMNS + 8;

    // Asks for the elements from (first, depth) on; those past (count, terms) are zeros.
    template <class T>
    DEV static void load(T* tile, const T* from, u64 pitch, u64 first, u64 count, u64 depth,
                         u64 terms) {
        constexpr u32 CHUNKS = COLUMNS / 8;
#pragma unroll
        for (u32 step = 0; step < ROWS * CHUNKS / 128; ++step) {
            u32 place = step * 128 + threadIdx.x;
            u32 row = place / CHUNKS, column = place % CHUNKS * 8;
            // Eight lanes write two rows where a row is four chunks: rows four apart, which are the
            // nearest whose chunks lie in different banks.
            if (CHUNKS == 4) row = row / 8 * 8 + row % 2 * 4 + row % 8 / 2;
            u64 at_row = (ALONG_DEPTH ? first : depth) + row;
            u64 at_column = (ALONG_DEPTH ? depth : first) + column;
            bool valid = at_row < (ALONG_DEPTH ? count : terms) &&
                         at_column < (ALONG_DEPTH ? terms : count);
            const T* source = valid ? from + at_row * pitch + at_column : from;
            cp_async16(tile + row * PITCH + column, source, valid);
        }
    }

    // The 16 x 16 elements at (first, depth) as four matrices: those of the first 8 of the depth
    // come before those of the last in a's order, and the first 8 of the extent in b's.
    template <bool A, class T>
    DEV static void fragment(u32 (&matrices)[4], const T* tile, u32 first, u32 depth) {
        u32 lane = threadIdx.x % 32, low = lane / 8 % 2 * 8 + lane % 8, high = lane / 16 * 8;
        // Where the lane's row begins, in the extent and in the depth.
        if (ALONG_DEPTH) {
            u32 row = A ? low : high + lane % 8, column = A ? high : lane / 8 % 2 * 8;
            ldmatrix_x4(matrices, tile + (first + row) * PITCH + depth + column);
        } else {
            u32 row = A ? high + lane % 8 : low, column = A ? lane / 8 % 2 * 8 : high;
            ldmatrix_x4_trans(matrices, tile + (depth + row) * PITCH + first + column);
        }
    }
};

// Two neighbouring elements of a row of c, of which the second may be past its end.
template <class C> DEV void store_pair(C* to, f32 first, f32 second, bool both, bool add) {
    to[0] = from_f32<C>(add ? to_f32(to[0]) + first : first);
    if (both) to[1] = from_f32<C>(add ? to_f32(to[1]) + second : second);
}

template <u32 SIZE, bool A_ALONG_DEPTH, bool B_ALONG_DEPTH, class T>
DEV void product(const T* a, const T* b, void* c, const Product& g) {
    using A = Tile<SIZE, A_ALONG_DEPTH>;
    using B = Tile<SIZE, B_ALONG_DEPTH>;
    // A warp's part, in matrices of 16 rows and 8 columns.
    constexpr u32 HEIGHT = SIZE / 32, WIDTH = SIZE / 16;
    constexpr u32 A_SIZE = A::ROWS * A::PITCH, B_SIZE = B::ROWS * B::PITCH;
    extern __shared__ __align__(16) unsigned char shared[];
    T* ring = reinterpret_cast<T*>(shared);

    u64 squares = (g.n + SIZE - 1) / SIZE;
    u64 first_row = blockIdx.x / squares * SIZE, first_column = blockIdx.x % squares * SIZE;
    u64 a_pitch = A_ALONG_DEPTH ? g.a_row : g.a_column;
    u64 b_pitch = B_ALONG_DEPTH ? g.b_column : g.b_row;
    u64 steps = (g.k + DEPTH - 1) / DEPTH;
    auto load = [&](u64 step) {
        T* stage = ring + step % STAGES * (A_SIZE + B_SIZE);
        if (step < steps) {
            A::load(stage, a, a_pitch, first_row, g.m, step * DEPTH, g.k);
            B::load(stage + A_SIZE, b, b_pitch, first_column, g.n, step * DEPTH, g.k);
        }
        // Empty past the end, so that the groups keep their count.
        cp_async_commit();
    };

    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u32 row = warp / 2 * (SIZE / 2), column = warp % 2 * (SIZE / 2);
    f32 sums[HEIGHT][WIDTH][4] = {};
    for (u64 step = 0; step + 1 < STAGES; ++step) load(step);
    for (u64 step = 0; step < steps; ++step) {
        cp_async_wait<STAGES - 2>();
        // Everyone's part of this tile is there, and everyone is done with the one before it.
        __syncthreads();
        load(step + STAGES - 1);
        const T* a_tile = ring + step % STAGES * (A_SIZE + B_SIZE);
        const T* b_tile = a_tile + A_SIZE;
#pragma unroll
        for (u32 depth = 0; depth < DEPTH; depth += 16) {
            u32 left[HEIGHT][4];
#pragma unroll
            for (u32 i = 0; i < HEIGHT; ++i) {
                A::template fragment<true>(left[i], a_tile, row + 16 * i, depth);
            }
#pragma unroll
            for (u32 j = 0; j < WIDTH; j += 2) {
                u32 right[4];
                B::template fragment<false>(right, b_tile, column + 8 * j, depth);
                u32 even[2] = {right[0], right[1]}, odd[2] = {right[2], right[3]};
#pragma unroll
                for (u32 i = 0; i < HEIGHT; ++i) {
                    mma<T>(sums[i][j], left[i], even);
                    mma<T>(sums[i][j + 1], left[i], odd);
                }
            }
        }
    }
    cp_async_wait<0>();
#pragma unroll
    for (u32 i = 0; i < HEIGHT; ++i) {
#pragma unroll
        for (u32 half = 0; half < 2; ++half) {
            u64 at_row = first_row + row + 16 * i + 8 * half + lane / 4;
            if (at_row >= g.m) continue;
#pragma unroll
            for (u32 j = 0; j < WIDTH; ++j) {
                u64 at_column = first_column + column + 8 * j + lane % 4 * 2;
                if (at_column >= g.n) continue;
                u64 at = at_row * g.n + at_column;
                f32 first = sums[i][j][2 * half], second = sums[i][j][2 * half + 1];
                bool both = at_column + 1 < g.n;
                if (g.c_is_f32) {
                    store_pair(static_cast<f32*>(c) + at, first, second, both, g.add);
                } else {
                    store_pair(static_cast<T*>(c) + at, first, second, both, g.add);
                }
            }
        }
    }
}

template <u32 SIZE, class T>
DEV void matmul_mma(const T* a, const T* b, void* c, const Product& g) {
    bool a_along_depth = g.a_column == 1, b_along_depth = g.b_row == 1;
    if (a_along_depth && b_along_depth) product<SIZE, true, true>(a, b, c, g);
    if (a_along_depth && !b_along_depth) product<SIZE, true, false>(a, b, c, g);
    if (!a_along_depth && b_along_depth) product<SIZE, false, true>(a, b, c, g);
    if (!a_along_depth && !b_along_depth) product<SIZE, false, false>(a, b, c, g);
}

#define MATMUL(SIZE, T)                                                   \
    extern "C" __global__ void __launch_bounds__(128)                     \
        matmul_mma_##SIZE##_##T(const T* a, const T* b, void* c, Product g) { \
        matmul_mma<SIZE>(a, b, c, g);                                     \
    }
MATMUL(64, bf16)
MATMUL(64, f16)
MATMUL(128, bf16)
MATMUL(128, f16)
