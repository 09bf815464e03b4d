// The geometry of a matrix product c[m, n] = op(a)[m, k] op(b)[k, n].
#pragma once
#include "prelude.cuh"

struct Product {
    u64 m, n, k;
    // Element (i, p) of op(a) is a[i * a_row + p * a_column], element (p, j) of op(b) is
    // b[p * b_row + j * b_column]; one stride of each is 1.
    u64 a_row, a_column, b_row, b_column;
    // Whether the product is added to what is there.
    u32 add;
    // Whether c is f32 and not of the type of a and b; the entry points of matmul.cu know.
    u32 c_is_f32;
};
