// An array seen as rows of channels, its last dimension.
#pragma once
#include "prelude.cuh"

struct Rows {
    u64 count;
    u64 channels;
};
