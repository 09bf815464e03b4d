// A grid over the elements of images, all of which are alike.
//
// Grid: (ceil(elements / 256), min(images, 65535)) blocks of 256 threads, where the elements are
// those of one image, counted in vectors if a thread takes several at once. A thread takes the same
// place in one image after another.
#pragma once
#include "prelude.cuh"

// The place of this thread in each image; beyond the last there is nothing to do.
DEV u32 place_in_image() { return blockIdx.x * blockDim.x + threadIdx.x; }

// f(image) for each image of this thread.
template <class F> DEV void each_image(u64 images, F f) {
    for (u64 image = blockIdx.y; image < images; image += gridDim.y) f(image);
}
