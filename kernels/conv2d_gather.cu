// conv2d_gather: sums of products of a window's pixels with filters, on tensor cores; fprop, and
// dgrad as one such gather for each phase of the stride.
//
//   y[n, first + i step_out, k] = f(bias[k] + sum_{t, c} X[t, c] w[t, k, c])
//   X[t, c] = x[n, origin + i step_in + taps[t], c]
//
// where i runs over positions down and across. x is [images, extent, channels] and y likewise, of
// bf16 or f16; bias is f32 and may be null; f is relu or nothing. Where a mask like y is given and
// not above zero, y is zero; it may be null. Sums are f32 and rounded once. Nothing overlaps but
// that y may be the mask.
// w is packed by conv2d_pack.cu, zeros where there is no channel, filter or tap:
//   [blocks of filters, blocks of channels, tiles, filters of a block, 8 chunks of 8 channels]
// A tile's chunks are those of the list (tap, chunk of the block), the taps in their order.
// taps is [3, taps]: places in the window down and across, and what conv2d_pack.cu reads.
//
// The halo of a tile's positions stays in shared memory. A table has for each chunk of the list its
// distance in the halo; to ldmatrix each lane brings the address of its own row, the pixel of its
// position plus the chunk's distance. Stride, dilation and shape of the window are but another
// table. Filters stream through a ring of three tiles.
// Grid: (tiles of positions, blocks of filters) blocks of 128 threads, four warps of 64 positions
// each by all 8 NT filters. Shared: ring, table, halo, dynamic; the results use them again.
//
//   conv2d_gather_{2,3,4,5,6,8}_{bf16,f16}  the number is NT
#include "halo.cuh"

struct Gather {
    Map input;
    Map output;
    // Positions down and across.
    u32 positions[2];
    u32 first[2];
    u32 step_out[2];
    u32 step_in[2];
    // Where in the input the window of the first position begins, which may be before it.
    u32 origin[2];
    Tiling tiling;
    // Chunks of 8 channels of a block of channels, and how many blocks there are.
    u32 chunks;
    u32 blocks;
    u32 taps;
    // Tiles of 8 chunks that a block of channels takes of the filters.
    u32 tiles;
    u32 relu;
};

enum : u32 { STAGES = 3, THREADS = 128, MT = 4, ROW = 9 * 16 };

template <int NT, class T> struct Block {
    enum : u32 { FILTERS = NT * 8, STAGE = FILTERS * ROW, PITCH = (NT | 1) * 16 };

    const Gather& g;
    u8* ring;
    u32* table;
    u8* halo;
    Corner corner;

    DEV Block(const Gather& g, u8* shared) : g(g), ring(shared), corner() {
        table = reinterpret_cast<u32*>(shared + STAGES * STAGE);
        halo = reinterpret_cast<u8*>(table + g.tiles * 8);
        corner = Corner::of(g.tiling, blockIdx.x);
    }

    DEV void make_table(const u32* taps) const {
        for (u32 i = threadIdx.x; i < g.tiles * 8; i += THREADS) {
            u32 tap = i / g.chunks, chunk = i % g.chunks, distance = 0;
            if (tap < g.taps) {
                u32 pixel = taps[tap] * g.tiling.halo[1] + taps[g.taps + tap];
                distance = pixel * g.tiling.pitch + chunk * 16;
            }
            table[i] = distance;
        }
    }

    DEV void load_input(const T* x, u32 block) const {
        Corner first = {corner.image, corner.row * g.step_in[0] + g.origin[0],
                        corner.column * g.step_in[1] + g.origin[1]};
        load_halo<THREADS>(halo, x, g.input, g.tiling, first, block * g.chunks, g.chunks);
    }

    // Starts to load a tile of the filters of a block of channels, if there is one.
    DEV void load_filters(const T* w, u32 block, u32 tile) const {
        if (tile < g.tiles) {
            u64 index = ((u64)blockIdx.y * g.blocks + block) * g.tiles + tile;
            const T* from = w + index * FILTERS * 64;
            u8* stage = ring + tile % STAGES * STAGE;
#pragma unroll
            for (u32 i = 0; i < FILTERS * 8; i += THREADS) {
                u32 chunk = i + threadIdx.x;
                if (FILTERS * 8 % THREADS == 0 || chunk < FILTERS * 8) {
                    cp_async16(stage + chunk / 8 * ROW + chunk % 8 * 16, from + chunk * 8, true);
                }
            }
        }
        cp_async_commit();
    }

    // The halo's rows of the positions whose fragments this lane fetches.
    DEV void find_rows(const u8* (&rows)[MT]) const {
#pragma unroll
        for (u32 i = 0; i < MT; ++i) {
            u32 index = threadIdx.x / 32 * 64 + i * 16 + threadIdx.x % 16;
            rows[i] = halo + Position::of(g.tiling, index).in_halo(g.tiling, g.step_in);
        }
    }

    DEV void multiply_tile(const u8* const (&rows)[MT], u32 tile, f32 (&sums)[MT][NT][4]) const {
        u32 lane = threadIdx.x % 32;
        const u8* stage = ring + tile % STAGES * STAGE + (lane / 8 % 2) * 16;
        const u8* filters = stage + (lane % 8 + lane / 16 * 8) * ROW;
        const u8* last_filters = stage + (NT / 2 * 16 + lane % 8) * ROW;
        const u32* distances = table + tile * 8 + lane / 16;
#pragma unroll
        for (u32 k = 0; k < 4; ++k) {
            u32 distance = distances[2 * k];
            u32 a[MT][4], b[NT][2];
#pragma unroll
            for (u32 i = 0; i < MT; ++i) ldmatrix_x4(a[i], rows[i] + distance);
#pragma unroll
            for (u32 j = 0; j + 1 < NT; j += 2) {
                u32 both[4];
                ldmatrix_x4(both, filters + j * 8 * ROW + k * 32);
                b[j][0] = both[0], b[j][1] = both[1];
                b[j + 1][0] = both[2], b[j + 1][1] = both[3];
            }
            if (NT % 2) ldmatrix_x2(b[NT - 1], last_filters + k * 32);
#pragma unroll
            for (u32 j = 0; j < NT; ++j) {
#pragma unroll
                for (u32 i = 0; i < MT; ++i) mma<T>(sums[i][j], a[i], b[j]);
            }
        }
    }

    // Rounds a warp's results into shared memory, from where they are stored as whole rows.
    DEV void stage_results(f32 (&sums)[MT][NT][4], const f32* bias, u8* results) const {
        u32 lane = threadIdx.x % 32;
#pragma unroll
        for (u32 j = 0; j < NT; ++j) {
            u32 filter = blockIdx.y * FILTERS + j * 8 + lane % 4 * 2;
            f32 add[2] = {0.0f, 0.0f};
#pragma unroll
            for (u32 e = 0; e < 2; ++e) {
                if (bias && filter + e < g.output.channels) add[e] = bias[filter + e];
            }
#pragma unroll
            for (u32 i = 0; i < MT; ++i) {
#pragma unroll
                for (u32 half = 0; half < 2; ++half) {
                    f32 y[2] = {sums[i][j][2 * half] + add[0], sums[i][j][2 * half + 1] + add[1]};
                    if (g.relu) {
                        y[0] = y[0] < 0.0f ? 0.0f : y[0];
                        y[1] = y[1] < 0.0f ? 0.0f : y[1];
                    }
                    u32 row = i * 16 + lane / 4 + half * 8;
                    u8* to = results + row * PITCH + j * 16 + lane % 4 * 4;
                    *reinterpret_cast<u32*>(to) = pack<T>(y[0], y[1]);
                }
            }
        }
    }

    // Stores a warp's 64 rows of results.
    DEV void store_results(const u8* results, const T* mask, T* y) const {
        u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32, channels = g.output.channels;
        for (u32 i = lane; i < 64 * NT; i += 32) {
            u32 row = i / NT, chunk = i % NT, filter = blockIdx.y * FILTERS + chunk * 8;
            Position at = Position::of(g.tiling, warp * 64 + row);
            u32 image = corner.image + at.image;
            u32 p = corner.row + at.row, q = corner.column + at.column;
            bool live = at.live && image < g.output.images && p < g.positions[0] &&
                        q < g.positions[1] && filter < channels;
            if (!live) continue;
            p = g.first[0] + p * g.step_out[0], q = g.first[1] + q * g.step_out[1];
            u64 pixel = ((u64)image * g.output.extent[0] + p) * g.output.extent[1] + q;
            const T* from = reinterpret_cast<const T*>(results + row * PITCH + chunk * 16);
            store_chunk(from, mask, y, pixel * channels + filter, channels - filter);
        }
    }

    // Stores 8 results, or the `count` that there are.
    DEV void store_chunk(const T* from, const T* mask, T* y, u64 at, u32 count) const {
        if (g.output.channels % 8 == 0 && !mask) {
            *reinterpret_cast<uint4*>(y + at) = *reinterpret_cast<const uint4*>(from);
            return;
        }
#pragma unroll
        for (u32 e = 0; e < 8; ++e) {
            if (e >= count) return;
            bool passes = !mask || to_f32(mask[at + e]) > 0.0f;
            y[at + e] = passes ? from[e] : from_f32<T>(0.0f);
        }
    }
};

template <int NT, class T>
DEV void gather(const T* x, const T* w, const u32* taps, const f32* bias, const T* mask, T* y,
                const Gather& g) {
    extern __shared__ __align__(128) u8 shared[];
    Block<NT, T> block(g, shared);
    f32 sums[MT][NT][4];
#pragma unroll
    for (u32 i = 0; i < MT; ++i) {
#pragma unroll
        for (u32 j = 0; j < NT; ++j) {
#pragma unroll
            for (u32 e = 0; e < 4; ++e) sums[i][j][e] = 0.0f;
        }
    }
    block.make_table(taps);
    const u8* rows[MT];
    block.find_rows(rows);
    for (u32 channels = 0; channels < g.blocks; ++channels) {
        block.load_input(x, channels);
        cp_async_commit();
        for (u32 tile = 0; tile < STAGES - 1; ++tile) block.load_filters(w, channels, tile);
#pragma unroll 1
        for (u32 tile = 0; tile < g.tiles; ++tile) {
            cp_async_wait<STAGES - 2>();
            __syncthreads();
            block.load_filters(w, channels, tile + STAGES - 1);
            block.multiply_tile(rows, tile, sums);
        }
        cp_async_wait<0>();
        __syncthreads();
    }
    u8* results = shared + threadIdx.x / 32 * 64 * Block<NT, T>::PITCH;
    block.stage_results(sums, bias, results);
    __syncwarp();
    block.store_results(results, mask, y);
}

#define GATHER(NT, T)                                                                          \
    extern "C" __global__ void __launch_bounds__(128, 2)                                       \
        conv2d_gather_##NT##_##T(const T* x, const T* w, const u32* taps, const f32* bias,     \
                                 const T* mask, T* y, Gather g) {                              \
        gather<NT>(x, w, taps, bias, mask, y, g);                                              \
    }
#define CONV2D_GATHER(T) \
    GATHER(2, T) GATHER(3, T) GATHER(4, T) GATHER(5, T) GATHER(6, T) GATHER(8, T)
CONV2D_GATHER(bf16)
CONV2D_GATHER(f16)
