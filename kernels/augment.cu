// augment: images of a u8 dataset, normalised, cropped at a random place, mirrored, with a square
// set to zero.
//
// images is [n, height, width, channels], indices [count], y [count, height, width, channels] of a
// float type. Image i of y is made of image indices[i], or of image i if the images are the
// batch's own; the random numbers are those of indices[i] and of the step, to which clock[0] is
// added unless there is no clock. Places are drawn bit for bit
// as `nasrl_tensor::ops::Augment` says; values are rounded once from f32.
//   normalised     (x - mean[c]) scale[c]; whitening takes mean and scale from exact sums of the
//                  image's bytes
//   PAD            the image with `by` rows and columns of zeros on each side
//   UPSAMPLE       the image enlarged by `by` rows and columns, bilinearly between pixel centres
// Nothing overlaps. Grid: a block of 256 threads an image. Shared: 128 bytes static.
//
//   augment_{f32,bf16,f16}  the suffix is the type of y
#include "philox.cuh"
#include "types.cuh"

enum Crop : u32 { NONE = 0, PAD = 1, UPSAMPLE = 2 };

struct Augment {
    u64 step;
    Key key;
    u32 height;
    u32 width;
    u32 channels;
    u32 crop;
    u32 by;
    // At most twice the image's larger side.
    u32 cutout;
    // Whether images are mirrored at random.
    u32 flip;
    // Whether there are random numbers at all.
    u32 draw;
    u32 whitening;
    // Whether images are the batch's own.
    u32 batch;
    f32 mean[4];
    f32 scale[4];
};

struct Range {
    u32 begin, end;
    DEV bool contains(u32 i) const { return begin <= i && i < end; }
};

// What was drawn for an image.
struct Placement {
    u32 row, column;
    bool mirrored;
    Range hole_rows, hole_columns;
};

// A random word as a number uniform in 0 .. bound.
DEV u32 scaled(u32 word, u32 bound) { return (u32)((u64)word * bound >> 32); }

DEV Range hole(u32 word, u32 side, u32 cutout) {
    int first = (int)scaled(word, side) - (int)(cutout / 2), end = first + (int)cutout;
    return Range{(u32)max(first, 0), (u32)min(max(end, 0), (int)side)};
}

DEV Placement place(const Augment& g, u32 image, u64 step) {
    u32 shifts = g.crop == PAD ? 2 * g.by : g.crop == UPSAMPLE ? g.by : 0;
    Placement at = {shifts / 2, shifts / 2, false, {0, 0}, {0, 0}};
    if (!g.draw) return at;
    u32 low = (u32)step, high = (u32)(step >> 32);
    Words words = philox4x32(g.key, low, high, image, 0);
    at.row = scaled(words.at[0], shifts + 1);
    at.column = scaled(words.at[1], shifts + 1);
    at.mirrored = g.flip && words.at[2] >> 31;
    if (g.cutout) {
        Words centre = philox4x32(g.key, low, high, image, 1);
        at.hole_rows = hole(centre.at[0], g.height, g.cutout);
        at.hole_columns = hole(centre.at[1], g.width, g.cutout);
    }
    return at;
}

// (x - mean) scale
struct Affine {
    f32 mean, scale;
    DEV f32 operator()(f32 x) const { return (x - mean) * scale; }
};

// The affine map to mean 0 and deviation 1 of an image; the same in every thread of the block.
DEV Affine whitening(const u8* x, u64 size) {
    __shared__ u64 of_warp[2][8];
    u64 sums[2] = {0, 0};
    for (u64 i = threadIdx.x; i < size; i += 256) {
        sums[0] += x[i];
        sums[1] += (u32)x[i] * x[i];
    }
#pragma unroll
    for (int which = 0; which < 2; ++which) {
#pragma unroll
        for (int bit = 16; bit > 0; bit /= 2) {
            sums[which] += __shfl_xor_sync(0xffffffffu, sums[which], bit);
        }
        if (threadIdx.x % 32 == 0) of_warp[which][threadIdx.x / 32] = sums[which];
    }
    __syncthreads();
#pragma unroll
    for (int which = 0; which < 2; ++which) {
        sums[which] = 0;
#pragma unroll
        for (int warp = 0; warp < 8; ++warp) sums[which] += of_warp[which][warp];
    }
    f64 count = (f64)size, mean = (f64)sums[0] / count;
    f64 variance = fmax((f64)sums[1] / count - mean * mean, 0.0);
    f64 deviation = fmax(sqrt(variance), 1.0 / sqrt(count));
    return Affine{(f32)mean, (f32)(1.0 / deviation)};
}

// Place i of `enlarged` lies at (i + 1/2) side / enlarged - 1/2, a part of the way from `first` to
// `second`, in whole numbers of the 2 * enlarged th part.
struct Between {
    u32 first, second;
    f32 part;

    DEV static Between of(u32 i, u32 side, u32 enlarged) {
        u64 parts = (2 * (u64)i + 1) * side;
        parts = parts > enlarged ? parts - enlarged : 0;
        u32 first = (u32)(parts / (2 * enlarged));
        f32 part = (f32)(parts % (2 * enlarged)) / (f32)(2 * enlarged);
        return Between{first, min(first + 1, side - 1), part};
    }
    DEV f32 blend(f32 a, f32 b) const { return a + part * (b - a); }
};

// The value of an image's piece in a row, a column and a channel.
DEV f32 value_at(const u8* x, const Placement& at, u32 row, u32 column, u32 channel,
                 const Affine& affine, const Augment& g) {
    if (at.hole_rows.contains(row) && at.hole_columns.contains(column)) return 0.0f;
    u32 pitch = g.width * g.channels, seen = at.mirrored ? g.width - 1 - column : column;
    if (g.crop == UPSAMPLE) {
        Between down = Between::of(at.row + row, g.height, g.height + g.by);
        Between across = Between::of(at.column + seen, g.width, g.width + g.by);
        const u8* above = x + (u64)down.first * pitch + channel;
        const u8* below = x + (u64)down.second * pitch + channel;
        u32 left = across.first * g.channels, right = across.second * g.channels;
        return affine(across.blend(down.blend(above[left], below[left]),
                                   down.blend(above[right], below[right])));
    }
    // Places before the image wrap round to large numbers.
    u32 border = g.crop == PAD ? g.by : 0;
    u32 from_row = at.row + row - border, from_column = at.column + seen - border;
    if (from_row >= g.height || from_column >= g.width) return 0.0f;
    return affine(x[(u64)from_row * pitch + from_column * g.channels + channel]);
}

template <class T>
DEV void augment(const u8* images, const u32* indices, const u32* clock, T* y,
                 const Augment& g) {
    u32 index = indices[blockIdx.x], pitch = g.width * g.channels;
    u64 size = (u64)g.height * pitch;
    const u8* x = images + (g.batch ? blockIdx.x : index) * size;
    y += blockIdx.x * size;
    Placement at = place(g, index, g.step + (clock ? clock[0] : 0));
    Affine white = {0.0f, 1.0f};
    if (g.whitening) white = whitening(x, size);
    // A warp has a row at a time.
    for (u32 row = threadIdx.x / 32; row < g.height; row += 8) {
        for (u32 i = threadIdx.x % 32; i < pitch; i += 32) {
            u32 column = i / g.channels, channel = i % g.channels;
            Affine affine = g.whitening ? white : Affine{g.mean[channel], g.scale[channel]};
            y[(u64)row * pitch + i] = from_f32<T>(value_at(x, at, row, column, channel, affine, g));
        }
    }
}

#define AUGMENT(T)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                    \
        augment_##T(const u8* images, const u32* indices, const u32* clock, T* y,        \
                    const __grid_constant__ Augment g) {                                 \
        augment(images, indices, clock, y, g);                                                  \
    }
EACH_FLOAT(AUGMENT)
