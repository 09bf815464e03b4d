// conv2d_gather: fprop and dgrad on tensor cores.
//
// Formula and geometry are those of common/gather.cuh; x is what common/source.cuh says, y goes where
// common/results.cuh says, both of bf16 or f16. bias is f32 and may be null; f is relu or nothing.
// Sums are f32 and rounded once. Nothing overlaps but that y may be the mask.
// w is packed, zeros where there is no channel, filter or tap; for each phase
//   [blocks of filters, blocks of channels, tiles, filters of a block, 8 chunks of 8 channels]
// A tile's chunks are those of the list (tap, chunk of the block), the taps in their order.
//
// The halo of a tile's positions stays in shared memory. A table has for each chunk of the list its
// distance in the halo; to ldmatrix each lane brings the address of its own row, the pixel of its
// position plus the chunk's distance. Stride, dilation and shape of the window are but another
// table. Filters stream through a ring of three tiles.
// Grid: (most tiles of positions of a phase, blocks of filters, phases) blocks of 128 threads, four
// warps of 64 positions each by all 8 NT filters; split, a block has 64 positions and each warp a
// quarter of the list. Shared: ring, table, chunks, halo, dynamic; the results and what is summed of
// them use them again.
//
//   conv2d_gather_{2,3,4,5,6,8}_{bf16,f16}  the number is NT
#include "results.cuh"

enum : u32 { STAGES = 3, THREADS = 128, MT = 4, ROW = 9 * 16, MOST_CHUNKS = 8 };

struct Fused {
    Gather gather;
    Source source;
    Sinks sinks;
};

template <int NT, class T> struct Block {
    enum : u32 { FILTERS = NT * 8, STAGE = FILTERS * ROW, PITCH = Results<FILTERS, T>::PITCH };

    const Gather& g;
    const Source& source;
    const Phase& phase;
    u8* ring;
    u32* table;
    // Those of a block of channels.
    Chunk* chunks;
    u8* halo;
    Corner corner;

    DEV Block(const Fused& fused, u8* shared)
        : g(fused.gather), source(fused.source), phase(g.phases[blockIdx.z]), ring(shared) {
        table = reinterpret_cast<u32*>(shared + STAGES * STAGE);
        chunks = reinterpret_cast<Chunk*>(table + phase.tiles * 8);
        halo = reinterpret_cast<u8*>(chunks + MOST_CHUNKS);
        corner = Corner::of(phase.tiling, blockIdx.x);
    }

    // Chunks of the list of a block of channels.
    DEV u32 list() const { return phase.taps * g.chunks; }

    DEV void make_table(const u32* taps) const {
        taps += phase.taps_at;
        for (u32 i = threadIdx.x; i < phase.tiles * 8; i += THREADS) {
            u32 tap = i / g.chunks, distance = 0;
            if (tap < phase.taps) {
                distance = phase.tiling.distance(taps[tap], taps[phase.taps + tap]);
                distance += i % g.chunks * 16;
            }
            table[i] = distance;
        }
    }

    DEV Halo<THREADS> input() const {
        return Halo<THREADS>{halo, source, g.input, phase.tiling, chunks, g.chunks};
    }

    DEV Corner first_window() const {
        return Corner{corner.image, corner.row * g.step_in[0] + phase.origin[0],
                      corner.column * g.step_in[1] + phase.origin[1]};
    }

    // Starts to load a tile of the filters of a block of channels, if there is one.
    DEV void load_filters(const T* w, u32 block, u32 tile) const {
        if (tile < phase.tiles) {
            u64 index = ((u64)blockIdx.y * g.blocks + block) * phase.tiles + tile;
            const T* from = w + (phase.filters_at + index * FILTERS * 8) * 8;
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
            u32 index = (g.split ? 0 : threadIdx.x / 32 * 64) + i * 16 + threadIdx.x % 16;
            rows[i] = halo + Position::of(phase.tiling, index).in_halo(phase.tiling, g.step_in[0]);
        }
    }

    // Adds the products of the list's chunks in a tile. What it does not fill of its last is zero.
    DEV void multiply_tile(const u8* const (&rows)[MT], u32 tile, f32 (&sums)[MT][NT][4]) const {
        const u8* stage = ring + tile % STAGES * STAGE;
        const u32* distances = table + tile * 8 + threadIdx.x % 32 / 16;
        u32 left = list() - tile * 8, warp = threadIdx.x / 32;
        if (left > 6 && !g.split) {
#pragma unroll
            for (u32 k = 0; k < 4; ++k) multiply(rows, distances[2 * k], stage + k * 32, sums);
        } else {
#pragma unroll 1
            for (u32 k = g.split ? warp : 0; 2 * k < left && k < 4; k += g.split ? 4 : 1) {
                multiply(rows, distances[2 * k], stage + k * 32, sums);
            }
        }
    }

    // Adds the products of two chunks, of which this lane's rows are at a distance in the halo.
    DEV void multiply(const u8* const (&rows)[MT], u32 distance, const u8* stage,
                      f32 (&sums)[MT][NT][4]) const {
        u32 lane = threadIdx.x % 32;
        stage += lane / 8 % 2 * 16;
        const u8* filters = stage + (lane % 8 + lane / 16 * 8) * ROW;
        u32 a[MT][4], b[NT][2];
#pragma unroll
        for (u32 i = 0; i < MT; ++i) ldmatrix_x4(a[i], rows[i] + distance);
#pragma unroll
        for (u32 j = 0; j + 1 < NT; j += 2) {
            u32 both[4];
            ldmatrix_x4(both, filters + j * 8 * ROW);
            b[j][0] = both[0], b[j][1] = both[1];
            b[j + 1][0] = both[2], b[j + 1][1] = both[3];
        }
        if (NT % 2) ldmatrix_x2(b[NT - 1], stage + (NT / 2 * 16 + lane % 8) * ROW);
#pragma unroll
        for (u32 j = 0; j < NT; ++j) {
#pragma unroll
            for (u32 i = 0; i < MT; ++i) mma<T>(sums[i][j], a[i], b[j]);
        }
    }

    // Adds up what the warps have of the same 64 positions, in their order: sums[0] becomes that of
    // as many sixteens of positions as the warp is one of.
    DEV void add_warps(f32 (&sums)[MT][NT][4], u8* shared) const {
        float4* parts = reinterpret_cast<float4*>(shared) + threadIdx.x % 32;
        u32 warp = threadIdx.x / 32;
#pragma unroll
        for (u32 i = 0; i < MT * NT; ++i) {
            f32(&part)[4] = sums[i / NT][i % NT];
            parts[(warp * MT * NT + i) * 32] = make_float4(part[0], part[1], part[2], part[3]);
        }
        __syncthreads();
#pragma unroll
        for (u32 j = 0; j < NT; ++j) {
            f32(&sum)[4] = sums[0][j];
            sum[0] = sum[1] = sum[2] = sum[3] = 0.0f;
#pragma unroll
            for (u32 other = 0; other < 4; ++other) {
                float4 part = parts[((other * MT + warp) * NT + j) * 32];
                sum[0] += part.x, sum[1] += part.y, sum[2] += part.z, sum[3] += part.w;
            }
        }
        __syncthreads();
    }

    // The bias of the filters of this lane's results.
    DEV void load_bias(const f32* bias, f32 (&of_filters)[NT][2]) const {
#pragma unroll
        for (u32 i = 0; i < NT * 2; ++i) {
            u32 filter = blockIdx.y * FILTERS + i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
            bool there = bias && filter < g.output.channels;
            of_filters[i / 2][i % 2] = there ? bias[filter] : 0.0f;
        }
    }

    // Rounds the results of 16 positions into shared memory, from where whole rows are stored.
    DEV void stage_results(const f32 (&sums)[NT][4], const f32 (&bias)[NT][2], u8* results) const {
        u32 lane = threadIdx.x % 32;
#pragma unroll
        for (u32 i = 0; i < NT * 2; ++i) {
            u32 j = i / 2, half = i % 2;
            f32 first = sums[j][2 * half] + bias[j][0], second = sums[j][2 * half + 1] + bias[j][1];
            if (g.relu) {
                first = first < 0.0f ? 0.0f : first;
                second = second < 0.0f ? 0.0f : second;
            }
            u8* row = results + (lane / 4 + half * 8) * PITCH;
            *reinterpret_cast<u32*>(row + j * 16 + lane % 4 * 4) = pack<T>(first, second);
        }
    }
};

template <int NT, class T>
DEV void gather(const T* w, const u32* taps, const f32* bias, const Fused& fused) {
    extern __shared__ __align__(128) u8 shared[];
    Block<NT, T> block(fused, shared);
    const Gather& g = fused.gather;
    u32 positions = g.split ? 64 : 256;
    u8* scratch = shared + positions * Block<NT, T>::PITCH;
    Results<NT * 8, T> results = {g,      block.phase, fused.sinks, block.corner,
                                  shared, positions,   scratch};
    if (block.corner.image >= g.input.images) return results.store_nothing();
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
        find_chunks(fused.source, channels * g.chunks, g.chunks, block.chunks);
        __syncthreads();
        block.input().template load<T>(block.first_window());
        cp_async_commit();
        for (u32 tile = 0; tile < STAGES - 1; ++tile) block.load_filters(w, channels, tile);
        if (fused.source.normalised) {
            cp_async_wait<STAGES - 1>();
            block.input().template normalise<T>(block.first_window());
        }
#pragma unroll 1
        for (u32 tile = 0; tile < block.phase.tiles; ++tile) {
            cp_async_wait<STAGES - 2>();
            __syncthreads();
            block.load_filters(w, channels, tile + STAGES - 1);
            block.multiply_tile(rows, tile, sums);
        }
        cp_async_wait<0>();
        __syncthreads();
    }
    if (g.split) block.add_warps(sums, shared);
    f32 of_filters[NT][2];
    block.load_bias(bias, of_filters);
    u32 first = threadIdx.x / 32 * (positions / 4);
#pragma unroll
    for (u32 i = 0; i < MT; ++i) {
        if (i && g.split) break;
        block.stage_results(sums[i], of_filters,
                            shared + (first + i * 16) * Block<NT, T>::PITCH);
    }
    __syncthreads();
    results.store();
}

#define GATHER(NT, T)                                                                       \
    extern "C" __global__ void __launch_bounds__(128, 2)                                    \
        conv2d_gather_##NT##_##T(const T* w, const u32* taps, const f32* bias,              \
                                 const __grid_constant__ Fused fused) {                     \
        gather<NT, T>(w, taps, bias, fused);                                                   \
    }
#define CONV2D_GATHER(T) \
    GATHER(2, T) GATHER(3, T) GATHER(4, T) GATHER(5, T) GATHER(6, T) GATHER(8, T)
CONV2D_GATHER(bf16)
CONV2D_GATHER(f16)
