// conv2d_pack: filters in the order in which the kernels of a gather read them.
//
//   packed[F, B, t, f, l, e] = w[filter F f, channel 8 (B chunks + c) + e, tap]
//
// where chunk l of tile t is number i = t chunks_a_tile + l of a list in which each tap has
// `chunks` chunks of 8 channels: its tap is i / chunks, its c is i % chunks. What there is not is
// zero. w is f32 and read at taps[2, tap] + filter filter_step + channel channel_step, so that
// the gather of dgrad has filters and channels exchanged; packed is of the type that the
// kernel is named after.
// Nothing overlaps. Grid: a thread a chunk of a filter, ceil(count / 256) blocks of 256 threads. No
// shared memory.
//
//   conv2d_pack_{f32,bf16,f16}
#include "types.cuh"

struct Packing {
    // How many chunks of filters there are to write.
    u64 count;
    u64 filter_step;
    u64 channel_step;
    u32 filters;
    u32 channels;
    // Filters of a block.
    u32 block;
    // Blocks of channels, their chunks, and the tiles that their list takes.
    u32 blocks;
    u32 chunks;
    u32 tiles;
    u32 taps;
    u32 chunks_a_tile;
    // Distances in a tile.
    u32 filter_pitch;
    u32 chunk_pitch;
    u32 element_pitch;
    u32 reserved;
};

template <class T> DEV void pack(const f32* w, const u32* taps, T* packed, const Packing& g) {
    u64 place = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= g.count) return;
    u32 chunk = (u32)(place % g.chunks_a_tile);
    u64 rest = place / g.chunks_a_tile;
    u32 in_block = (u32)(rest % g.block);
    u64 tile = rest / g.block;
    u32 block = (u32)(tile / g.tiles % g.blocks);
    u64 filter = tile / g.tiles / g.blocks * g.block + in_block;
    u32 in_list = (u32)(tile % g.tiles) * g.chunks_a_tile + chunk, tap = in_list / g.chunks;
    u32 channel = (block * g.chunks + in_list % g.chunks) * 8;
    bool live = tap < g.taps && filter < g.filters;
    const f32* from = live ? w + taps[2 * g.taps + tap] + filter * g.filter_step : w;
    T* to = packed + tile * g.block * g.chunks_a_tile * 8 + in_block * g.filter_pitch +
            chunk * g.chunk_pitch;
#pragma unroll
    for (u32 e = 0; e < 8; ++e) {
        bool there = live && channel + e < g.channels;
        f32 value = there ? from[(channel + e) * g.channel_step] : 0.0f;
        to[e * g.element_pitch] = from_f32<T>(value);
    }
}

#define CONV2D_PACK(T)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                        \
        conv2d_pack_##T(const f32* w, const u32* taps, T* packed, Packing g) {               \
        pack(w, taps, packed, g);                                                            \
    }
EACH_FLOAT(CONV2D_PACK)
