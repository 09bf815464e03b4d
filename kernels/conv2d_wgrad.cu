// conv2d_wgrad: the gradient of filters on tensor cores, a slice of the positions a block.
//
// Formula and geometry are those of common/wgrad.cuh; x and dy are what common/source.cuh says, both
// of bf16 or f16, dy of one segment, whose address is an argument for its type; partial is f32. The
// slices' sums of dy, which are the gradient of a bias, come of the same pass. conv2d_wgrad_total adds the slices up.
//
// A block goes through every `slices`th tile of positions. It has the halo of the tile and its dy
// in shared memory; both are fetched transposed, 32 positions at a time. The gradient's columns
// are blocks (chunk of 8 channels, tap) in that order, so that a group of columns needs only a few
// chunks of the halo.
// Grid: (slices, groups of 4 NB blocks of columns, groups of 16 MT filters) blocks of 128 threads:
// each of four warps has NB blocks of columns by all filters of the group. Shared: distances of
// positions, dy, sums, halo, chunks, dynamic. Nothing overlaps.
//
//   conv2d_wgrad_{MT}_{NB}_{bf16,f16}  for MT 2, 3, 4 and NB 3, 9
#include "chunk_sums.cuh"
#include "halo.cuh"
#include "wgrad.cuh"

enum : u32 { THREADS = 128 };

struct Fused {
    Wgrad wgrad;
    Source x;
    Source dy;
    // [slices, filters], the sums of dy; may be null.
    f32* bias;
};

template <int MT, int NB, class T> struct Block {
    enum : u32 { FILTERS = MT * 16, PITCH = (MT * 2 | 1) * 16 };

    const Fused& fused;
    const Wgrad& g;
    u32* distances;
    u8* gradient;
    // The sums of dy's columns, and the chunks of the halo's pixels.
    ChunkSums<FILTERS, 8> bias;
    Chunk* chunks;
    u8* halo;
    // The first block of columns and the first chunk of the group.
    u32 first, first_chunk;

    DEV Block(const Fused& fused, u8* shared)
        : fused(fused), g(fused.wgrad), distances(reinterpret_cast<u32*>(shared)) {
        gradient = shared + g.rows * 4;
        u8* sums = gradient + g.rows * PITCH;
        bias.at = reinterpret_cast<f32*>(sums);
        halo = sums + ChunkSums<FILTERS, 8>::BYTES;
        chunks = reinterpret_cast<Chunk*>(halo + g.halo_bytes);
        first = blockIdx.y * 4 * NB;
        first_chunk = first / g.taps;
    }

    DEV u32 column_block(u32 j) const { return first + threadIdx.x / 32 * NB + j; }

    DEV void find_positions() const {
        for (u32 i = threadIdx.x; i < g.rows; i += THREADS) {
            distances[i] = Position::of(g.tiling, i).in_halo(g.tiling, g.step[0]);
        }
    }

    // The distance of a block of columns in the halo.
    DEV u32 distance(const u32* taps, u32 j) const {
        u32 block = column_block(j), chunk = block / g.taps, tap = block % g.taps;
        if (chunk >= g.chunks) return 0;
        return g.tiling.distance(taps[tap], taps[g.taps + tap]) + (chunk - first_chunk) * 16;
    }

    DEV Halo<THREADS> input() const {
        return Halo<THREADS>{halo, fused.x, g.x, g.tiling, chunks, g.halo_chunks};
    }

    DEV void load_tile(const Corner& corner, const Corner& window) const {
        input().template load<T>(window);
        each_gradient(corner, [&](T* to, const Chunk& chunk, u64 pixel, bool live) {
            load_chunk(to, fused.dy, chunk, pixel, live);
        });
        cp_async_commit();
        cp_async_wait<0>();
        if (fused.x.normalised) input().template normalise<T>(window);
        if (!fused.dy.normalised) return;
        each_gradient(corner, [&](T* landed, const Chunk& chunk, u64 pixel, bool live) {
            if (live) normalise_chunk(landed, fused.dy, chunk, pixel);
        });
    }

    // The chunks of dy that this thread loads.
    template <class F> DEV void each_gradient(const Corner& corner, F f) const {
        for (u32 i = threadIdx.x; i < g.rows * MT * 2; i += THREADS) {
            u32 row = i / (MT * 2), chunk = i % (MT * 2);
            Position position = Position::of(g.tiling, row);
            u32 image = corner.image + position.image;
            u32 p = corner.row + position.row, q = corner.column + position.column;
            bool live = position.live && image < g.dy.images && p < g.dy.extent[0] &&
                        q < g.dy.extent[1];
            u64 pixel = ((u64)image * g.dy.extent[0] + p) * g.dy.extent[1] + q;
            T* at = reinterpret_cast<T*>(gradient + row * PITCH) + chunk * 8;
            f(at, Chunk{0, blockIdx.z * FILTERS + chunk * 8}, pixel, live);
        }
    }

    // Whether this block sums the columns of dy, as one of each slice's does.
    DEV bool sums_bias() const { return fused.bias && blockIdx.y == 0; }

    DEV void sum_bias() const {
        if (bias.idle()) return;
        Vector<8> sums = splat<8>(0.0f);
        for (u32 row = bias.group(); row < g.rows; row += bias.GROUPS) {
            const T* of_row = reinterpret_cast<const T*>(gradient + row * PITCH);
            Vector<8> values = load<8>(of_row + bias.chunk() * 8);
#pragma unroll
            for (u32 e = 0; e < 8; ++e) sums.at[e] += values.at[e];
        }
        bias.add(sums);
    }

    DEV void store_bias() const {
        f32 sum = bias.total();
        u32 filter = blockIdx.z * FILTERS + threadIdx.x;
        if (threadIdx.x >= FILTERS || filter >= g.dy.channels) return;
        fused.bias[(u64)blockIdx.x * g.dy.channels + filter] = sum;
    }

    DEV void multiply_tile(const u32 (&columns)[NB], f32 (&sums)[MT][NB][4]) const {
        u32 lane = threadIdx.x % 32;
        const u8* from = gradient + (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 16;
#pragma unroll 1
        for (u32 row = 0; row < g.rows; row += 32) {
            u32 a[2][MT][4];
#pragma unroll
            for (u32 half = 0; half < 2; ++half) {
#pragma unroll
                for (u32 i = 0; i < MT; ++i) {
                    ldmatrix_x4_trans(a[half][i], from + (row + half * 16) * PITCH + i * 32);
                }
            }
            const u8* position = halo + distances[row + lane];
#pragma unroll
            for (u32 j = 0; j < NB; ++j) {
                u32 both[4];
                ldmatrix_x4_trans(both, position + columns[j]);
#pragma unroll
                for (u32 half = 0; half < 2; ++half) {
                    u32 b[2] = {both[2 * half], both[2 * half + 1]};
#pragma unroll
                    for (u32 i = 0; i < MT; ++i) mma<T>(sums[i][j], a[half][i], b);
                }
            }
        }
    }

    DEV void store(const f32 (&sums)[MT][NB][4], f32* partial) const {
        u32 lane = threadIdx.x % 32, filters = g.dy.channels, channels = g.x.channels;
        partial += (u64)blockIdx.x * filters * g.taps * channels;
#pragma unroll
        for (u32 j = 0; j < NB; ++j) {
            u32 block = column_block(j), channel = block / g.taps * 8 + lane % 4 * 2;
#pragma unroll
            for (u32 i = 0; i < MT; ++i) {
#pragma unroll
                for (u32 e = 0; e < 4; ++e) {
                    u32 filter = blockIdx.z * FILTERS + i * 16 + lane / 4 + e / 2 * 8;
                    u32 c = channel + e % 2;
                    if (filter >= filters || c >= channels) continue;
                    partial[((u64)filter * g.taps + block % g.taps) * channels + c] = sums[i][j][e];
                }
            }
        }
    }
};

template <int MT, int NB, class T>
DEV void wgrad(const u32* taps, f32* partial, const Fused& fused) {
    extern __shared__ __align__(128) u8 shared[];
    Block<MT, NB, T> block(fused, shared);
    const Wgrad& g = fused.wgrad;
    f32 sums[MT][NB][4];
    u32 columns[NB];
#pragma unroll
    for (u32 j = 0; j < NB; ++j) {
        columns[j] = block.distance(taps, j);
#pragma unroll
        for (u32 i = 0; i < MT; ++i) {
#pragma unroll
            for (u32 e = 0; e < 4; ++e) sums[i][j][e] = 0.0f;
        }
    }
    block.find_positions();
    find_chunks(fused.x, block.first_chunk, g.halo_chunks, block.chunks);
    if (block.sums_bias()) block.bias.clear();
    __syncthreads();
    for (u32 tile = blockIdx.x; tile < g.tiles; tile += gridDim.x) {
        Corner corner = Corner::of(g.tiling, tile);
        block.load_tile(corner,
                        {corner.image, corner.row * g.step[0] + g.origin[0],
                         corner.column * g.step[1] + g.origin[1]});
        __syncthreads();
        if (block.sums_bias()) block.sum_bias();
        block.multiply_tile(columns, sums);
        __syncthreads();
    }
    block.store(sums, partial);
    if (block.sums_bias()) block.store_bias();
}

#define WGRAD(MT, NB, T)                                                                   \
    extern "C" __global__ void __launch_bounds__(128, 2) conv2d_wgrad_##MT##_##NB##_##T(   \
        const T* dy, const u32* taps, f32* partial, const __grid_constant__ Fused fused) { \
        wgrad<MT, NB, T>(taps, partial, fused);                                            \
    }
#define CONV2D_WGRAD(T) \
    WGRAD(2, 3, T) WGRAD(3, 3, T) WGRAD(4, 3, T) WGRAD(2, 9, T) WGRAD(3, 9, T) WGRAD(4, 9, T)
CONV2D_WGRAD(bf16)
CONV2D_WGRAD(f16)
