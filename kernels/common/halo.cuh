// The halo of a tile of positions in shared memory: for each of its pixels some chunks of 8
// channels in 16-bit elements, at a pitch of an odd number of chunks, so that the rows of eight
// consecutive pixels that ldmatrix reads lie in different banks.
#pragma once
#include "gather.cuh"
#include "source.cuh"

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

// The chunks of the halo of a tile whose first window begins at `first`, a place of the input or
// before it.
template <u32 THREADS> struct Halo {
    u8* at;
    const Source& source;
    const Map& map;
    const Tiling& tiling;
    // Those of a pixel, and how many.
    const Chunk* chunks;
    u32 count;

    // Starts to load them.
    template <class T> DEV void load(const Corner& first) const {
        each<T>(first, [&](T* to, const Chunk& chunk, u64 pixel, bool inside) {
            load_chunk(to, source, chunk, pixel, inside);
        });
    }
    // Completes those that this thread has loaded; zeros around the input stay zeros.
    template <class T> DEV void normalise(const Corner& first) const {
        each<T>(first, [&](T* landed, const Chunk& chunk, u64 pixel, bool inside) {
            if (inside) normalise_chunk(landed, source, chunk, pixel);
        });
    }

  private:
    template <class T, class F> DEV void each(const Corner& first, F f) const {
        Walk walk(tiling, count, THREADS);
        while (walk.image < tiling.images) {
            u32 image = first.image + walk.image;
            // Places before the input wrap round to large numbers.
            u32 row = first.row + walk.row, column = first.column + walk.column(tiling);
            bool inside = image < map.images && row < map.extent[0] && column < map.extent[1];
            u64 pixel = ((u64)image * map.extent[0] + row) * map.extent[1] + column;
            T* chunk = reinterpret_cast<T*>(at + walk.in_halo(tiling));
            f(chunk, chunks[walk.chunk], pixel, inside);
            walk.step(tiling, count);
        }
    }
};
