// The halo of a tile of positions in shared memory: for each of its pixels some chunks of 8
// channels in 16-bit elements, at a pitch of an odd number of chunks, so that the rows of eight
// consecutive pixels that ldmatrix reads lie in different banks.
#pragma once
#include "gather.cuh"

// The first position of a tile.
struct Corner {
    u32 image, row, column;

    DEV static Corner of(const Tiling& g, u32 tile) {
        u32 across = tile % g.across, rest = tile / g.across;
        return Corner{rest / g.down * g.images, rest % g.down * g.rows, across * g.columns};
    }
};

// A position of a tile; beyond the tile's last it is none, and stands for its first.
struct Position {
    u32 image, row, column;
    bool live;

    DEV static Position of(const Tiling& g, u32 index) {
        u32 column = index % g.columns, rest = index / g.columns;
        u32 row = rest % g.rows, image = rest / g.rows;
        if (image >= g.images) return Position{0, 0, 0, false};
        return Position{image, row, column, true};
    }
    // Where its window begins in the halo, in bytes; windows are `step` pixels apart down.
    DEV u32 in_halo(const Tiling& g, u32 step) const {
        return ((image * g.halo[0] + row * step) * g.halo[1] + column) * g.pitch;
    }
};

// Steps through the chunks of a halo, a block's threads side by side, without a division a step.
struct Walk {
    u32 chunk, lane, phase, row, image;
    u32 d_chunk, d_lane, d_phase, d_row, d_image;

    DEV Walk(const Tiling& g, u32 chunks, u32 threads) {
        split(g, chunks, threadIdx.x, chunk, lane, phase, row, image);
        split(g, chunks, threads, d_chunk, d_lane, d_phase, d_row, d_image);
    }
    DEV void step(const Tiling& g, u32 chunks) {
        u32 carry = add(chunk, d_chunk, chunks, 0);
        carry = add(lane, d_lane, g.lanes, carry);
        carry = add(phase, d_phase, g.step, carry);
        carry = add(row, d_row, g.halo[0], carry);
        image += d_image + carry;
    }
    // The chunk's column, among those that lie side by side in the input.
    DEV u32 column(const Tiling& g) const { return lane * g.step + phase; }
    // The chunk's place in the halo, in bytes.
    DEV u32 in_halo(const Tiling& g) const {
        u32 pixel = (image * g.halo[0] + row) * g.halo[1] + phase * g.lanes + lane;
        return pixel * g.pitch + chunk * 16;
    }

    DEV static void split(const Tiling& g, u32 chunks, u32 index, u32& chunk, u32& lane,
                          u32& phase, u32& row, u32& image) {
        chunk = index % chunks, index /= chunks;
        lane = index % g.lanes, index /= g.lanes;
        phase = index % g.step, index /= g.step;
        row = index % g.halo[0], image = index / g.halo[0];
    }
    DEV static u32 add(u32& digit, u32 by, u32 base, u32 carry) {
        digit += by + carry;
        if (digit < base) return 0;
        digit -= base;
        return 1;
    }
};

// Starts to bring 8 channels of a pixel to shared memory, zeros for what does not exist. Where
// vectors of eight are not aligned, halves of them may be; else elements come one by one.
template <class T>
DEV void load_chunk(void* to, const T* x, const Map& map, u64 pixel, bool inside, u32 channel) {
    x += inside ? pixel * map.channels + channel : 0;
    u32 count = inside && channel < map.channels ? map.channels - channel : 0;
    if (map.channels % 8 == 0) return cp_async16(to, x, count);
    uint4 chunk = make_uint4(0, 0, 0, 0);
    if (map.channels % 4 == 0) {
        const uint2* halves = reinterpret_cast<const uint2*>(x);
        uint2 first = count ? halves[0] : make_uint2(0, 0);
        uint2 second = count > 4 ? halves[1] : make_uint2(0, 0);
        chunk = make_uint4(first.x, first.y, second.x, second.y);
    } else {
        u32 bits[8];
#pragma unroll
        for (u32 i = 0; i < 8; ++i) bits[i] = i < count ? x[i].bits : 0;
        chunk = make_uint4(bits[0] | bits[1] << 16, bits[2] | bits[3] << 16,
                           bits[4] | bits[5] << 16, bits[6] | bits[7] << 16);
    }
    *reinterpret_cast<uint4*>(to) = chunk;
}

// Starts to load the halo of the tile whose first window begins at `first`, a place of the input or
// before it: `chunks` chunks of channels from one on.
template <u32 THREADS, class T>
DEV void load_halo(u8* halo, const T* x, const Map& map, const Tiling& g, const Corner& first,
                   u32 first_chunk, u32 chunks) {
    Walk walk(g, chunks, THREADS);
    while (walk.image < g.images) {
        u32 image = first.image + walk.image;
        // Places before the input wrap round to large numbers.
        u32 row = first.row + walk.row, column = first.column + walk.column(g);
        bool inside = image < map.images && row < map.extent[0] && column < map.extent[1];
        u64 pixel = ((u64)image * map.extent[0] + row) * map.extent[1] + column;
        load_chunk(halo + walk.in_halo(g), x, map, pixel, inside, (first_chunk + walk.chunk) * 8);
        walk.step(g, chunks);
    }
}
