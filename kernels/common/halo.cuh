// A tile of a convolution's positions and the part of its input that they see, the halo, in shared
// memory: for each of its pixels `chunks` chunks of 8 channels in 16-bit elements, at an odd pitch,
// so that the rows of eight consecutive pixels that ldmatrix reads lie in different banks.
#pragma once
#include "types.cuh"

// A tile has `images` x `rows` x `columns` positions; tiles cover the positions of all images.
struct Tiling {
    u32 images;
    u32 rows;
    u32 columns;
    // How many tiles there are down and across.
    u32 down;
    u32 across;
    // Pixels of the halo, down and across.
    u32 halo[2];
    // Bytes of a pixel of the halo: an odd number of chunks.
    u32 pitch;
};

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
    // Where its window begins in the halo, in bytes; windows are `step` pixels apart.
    DEV u32 in_halo(const Tiling& g, const u32 (&step)[2]) const {
        u32 row_in_halo = image * g.halo[0] + row * step[0];
        return (row_in_halo * g.halo[1] + column * step[1]) * g.pitch;
    }
};

// Steps through the chunks of a halo, a block's threads side by side, without a division a step.
struct Walk {
    u32 chunk, column, row, image;
    u32 d_chunk, d_column, d_row, d_image;

    DEV Walk(const Tiling& g, u32 chunks, u32 threads) {
        split(g, chunks, threadIdx.x, chunk, column, row, image);
        split(g, chunks, threads, d_chunk, d_column, d_row, d_image);
    }
    DEV void step(const Tiling& g, u32 chunks) {
        u32 carry = add(chunk, d_chunk, chunks, 0);
        carry = add(column, d_column, g.halo[1], carry);
        carry = add(row, d_row, g.halo[0], carry);
        image += d_image + carry;
    }
    // The chunk's place in the halo, in bytes.
    DEV u32 in_halo(const Tiling& g) const {
        return ((image * g.halo[0] + row) * g.halo[1] + column) * g.pitch + chunk * 16;
    }

    DEV static void split(const Tiling& g, u32 chunks, u32 index, u32& chunk, u32& column,
                          u32& row, u32& image) {
        chunk = index % chunks, index /= chunks;
        column = index % g.halo[1], index /= g.halo[1];
        row = index % g.halo[0], image = index / g.halo[0];
    }
    DEV static u32 add(u32& digit, u32 by, u32 base, u32 carry) {
        digit += by + carry;
        if (digit < base) return 0;
        digit -= base;
        return 1;
    }
};

// Activations, [images, extent, channels].
struct Map {
    u32 images;
    u32 extent[2];
    u32 channels;
};

// Starts to bring 8 channels of a pixel to shared memory, zeros for what does not exist. A number
// of channels that is no multiple of 8 leaves vectors unaligned, and they are brought one by one.
template <class T>
DEV void load_chunk(void* to, const T* x, const Map& map, u64 pixel, bool inside, u32 channel) {
    u64 from = pixel * map.channels + channel;
    if (map.channels % 8 == 0) {
        bool valid = inside && channel < map.channels;
        cp_async16(to, x + (valid ? from : 0), valid);
        return;
    }
    u32 pairs[4];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        u32 bits = inside && channel + i < map.channels ? x[from + i].bits : 0;
        pairs[i / 2] = i % 2 ? pairs[i / 2] | bits << 16 : bits;
    }
    *reinterpret_cast<uint4*>(to) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
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
        u32 row = first.row + walk.row, column = first.column + walk.column;
        bool inside = image < map.images && row < map.extent[0] && column < map.extent[1];
        u64 pixel = ((u64)image * map.extent[0] + row) * map.extent[1] + column;
        load_chunk(halo + walk.in_halo(g), x, map, pixel, inside, (first_chunk + walk.chunk) * 8);
        walk.step(g, chunks);
    }
}
