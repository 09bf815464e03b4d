// What the kernels of convolutions share: the geometry, and the sums of partial filter gradients.
#pragma once
#include "images.cuh"
#include "vector.cuh"

// Extents along an axis: 0 is down, 1 across.
struct Conv2d {
    u64 images;
    u32 input[2];
    u32 output[2];
    u32 kernel[2];
    u32 stride[2];
    u32 dilation[2];
    // Zeros above and before the input.
    u32 before[2];
    u32 channels;
    u32 filters;
    u32 relu;
    u32 reserved;

    // The input's place under a tap of the window of an output; in the padding it is beyond the
    // input, since places before it wrap round to large numbers.
    DEV u32 place(int axis, u32 output, u32 tap) const {
        return output * stride[axis] + tap * dilation[axis] - before[axis];
    }
    // The output whose window has a place of the input under a tap, or a number beyond the outputs.
    DEV u32 window(int axis, u32 place, u32 tap) const {
        u32 padded = place + before[axis], offset = tap * dilation[axis];
        if (padded < offset || (padded - offset) % stride[axis]) return 0xffffffffu;
        return (padded - offset) / stride[axis];
    }
    DEV u32 input_pixels() const { return input[0] * input[1]; }
    DEV u32 output_pixels() const { return output[0] * output[1]; }
    DEV u32 taps() const { return kernel[0] * kernel[1]; }
};

// A convolution whose pixels, [images, output], are cut into slices of which each gives a part of
// the filters' gradient.
struct SlicedConv2d {
    Conv2d conv;
    u64 pixels_a_slice;
};

// f(image, row, column) for the outputs `begin`, `begin + step`, ... of a slice.
template <class F>
DEV void each_output(const SlicedConv2d& g, u64 slice, u32 begin, u32 step, F f) {
    u32 columns = g.conv.output[1], pixels = g.conv.output_pixels();
    u64 first = slice * g.pixels_a_slice;
    u64 end = min(first + g.pixels_a_slice, g.conv.images * pixels);
    for (u64 at = first + begin; at < end; at += step) {
        u32 pixel = (u32)(at % pixels);
        f(at / pixels, pixel / columns, pixel % columns);
    }
}

DEV f32 relu(f32 x) { return x < 0.0f ? 0.0f : x; }
