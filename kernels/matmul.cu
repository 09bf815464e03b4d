// matmul: c[m, n] = op(a)[m, k] op(b)[k, n], or added to c.
//
// a and b have one float type, c has that or f32; products and sums are f32, rounded once at the
// end. Operands lie as common/product.cuh says; c is [m, n] and overlaps nothing.
// Grid: a block of 256 threads computes 64 x 64 elements, ceil(m / 64) ceil(n / 64) blocks, those of
// a row of tiles after each other. Shared: 8.5 KiB static.
//
//   matmul_{f32,bf16,f16}    c has the type of a and b
//   matmul_to_f32_{bf16,f16} c is f32
#include "product.cuh"
#include "types.cuh"

constexpr u32 TILE = 64;
// Terms of the sums in shared memory at a time.
constexpr u32 DEPTH = 16;
// Four more than a tile keeps 16-byte alignment and spreads the columns of a store over the banks.
constexpr u32 PITCH = TILE + 4;

// Fills tile[p][i] with element (first + i, depth + p) of an operand whose strides are `along` i and
// `across` p, or with zeros where the operand ends. Neighbouring threads read neighbouring elements.
template <class T>
DEV void fill(f32 (&tile)[DEPTH][PITCH], const T* from, u64 first, u64 count, u64 along, u64 depth,
              u64 terms, u64 across) {
#pragma unroll
    for (u32 step = 0; step < TILE * DEPTH / 256; ++step) {
        u32 place = step * 256 + threadIdx.x;
        u32 i = along == 1 ? place % TILE : place / DEPTH;
        u32 p = along == 1 ? place / TILE : place % DEPTH;
        bool inside = first + i < count && depth + p < terms;
        tile[p][i] = inside ? to_f32(from[(first + i) * along + (depth + p) * across]) : 0.0f;
    }
}

template <class T, class C> DEV void matmul(const T* a, const T* b, C* c, const Product& g) {
    __shared__ __align__(16) f32 a_tile[DEPTH][PITCH];
    __shared__ __align__(16) f32 b_tile[DEPTH][PITCH];
    u64 tiles = (g.n + TILE - 1) / TILE;
    u64 first_row = blockIdx.x / tiles * TILE, first_column = blockIdx.x % tiles * TILE;
    // This thread's 4 x 4 elements.
    u32 row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    f32 sums[4][4] = {};
    for (u64 depth = 0; depth < g.k; depth += DEPTH) {
        fill(a_tile, a, first_row, g.m, g.a_row, depth, g.k, g.a_column);
        fill(b_tile, b, first_column, g.n, g.b_column, depth, g.k, g.b_row);
        __syncthreads();
#pragma unroll
        for (u32 p = 0; p < DEPTH; ++p) {
            float4 left = *reinterpret_cast<const float4*>(&a_tile[p][row]);
            float4 right = *reinterpret_cast<const float4*>(&b_tile[p][column]);
            f32 x[4] = {left.x, left.y, left.z, left.w};
            f32 y[4] = {right.x, right.y, right.z, right.w};
#pragma unroll
            for (u32 i = 0; i < 4; ++i) {
#pragma unroll
                for (u32 j = 0; j < 4; ++j) sums[i][j] += x[i] * y[j];
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            u64 at_row = first_row + row + i, at_column = first_column + column + j;
            if (at_row >= g.m || at_column >= g.n) continue;
            C* to = c + at_row * g.n + at_column;
            *to = from_f32<C>(g.add ? to_f32(*to) + sums[i][j] : sums[i][j]);
        }
    }
}

#define MATMUL(NAME, T, C)                                              \
    extern "C" __global__ void __launch_bounds__(256)                   \
        NAME##_##T(const T* a, const T* b, C* c, Product g) {           \
        matmul(a, b, c, g);                                             \
    }
#define MATMUL_SAME(T) MATMUL(matmul, T, T)
EACH_FLOAT(MATMUL_SAME)
MATMUL(matmul_to_f32, bf16, f32)
MATMUL(matmul_to_f32, f16, f32)
