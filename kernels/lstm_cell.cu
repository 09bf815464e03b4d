// lstm_cell: what follows the recurrent product of a step, and what precedes it in the gradient.
//
//   i | f | g | o = product + projection, then sigmoid, sigmoid, tanh, sigmoid
//   c' = f c + i g, h' = o tanh(c')
//   backward, with t = tanh(c'):
//   dc += dh o (1 - t^2)
//   di = dc g i (1 - i), df = dc c f (1 - f), dg = dc i (1 - g^2), do = dh t o (1 - o)
//   dc = dc f
//
// All is f32: gates, projection and dgates are [batch, 4 units], the others [batch, units]. The
// gates hold the product before and the activated gates after; c' may be c. The recurrent products,
// h W_hh before and dgates W_hh^T after, are those of matmul.cu.
// Grid: a thread a unit of a row, ceil(batch units / 256) blocks of 256 threads. No shared memory.
//
//   lstm_cell            gates, h' and c'
//   lstm_cell_backward   dgates and dc
#include "function.cuh"

struct Cell {
    u64 batch;
    u64 units;
};

extern "C" __global__ void __launch_bounds__(256) lstm_cell(
    const f32* projection, const f32* before, f32* gates, f32* h, f32* c, Cell g) {
    u64 at = (u64)blockIdx.x * 256 + threadIdx.x;
    if (at >= g.batch * g.units) return;
    u64 row = at / g.units, first = 4 * row * g.units + (at - row * g.units);
    f32 gate[4];
#pragma unroll
    for (u32 k = 0; k < 4; ++k) {
        u64 place = first + k * g.units;
        f32 x = gates[place] + projection[place];
        gate[k] = k == 2 ? tanhf(x) : sigmoid(x);
        gates[place] = gate[k];
    }
    f32 after = gate[1] * before[at] + gate[0] * gate[2];
    c[at] = after;
    h[at] = gate[3] * tanhf(after);
}

extern "C" __global__ void __launch_bounds__(256)
    lstm_cell_backward(const f32* dh, const f32* gates, const f32* before, const f32* after,
                       f32* dc, f32* dgates, Cell g) {
    u64 at = (u64)blockIdx.x * 256 + threadIdx.x;
    if (at >= g.batch * g.units) return;
    u64 row = at / g.units, first = 4 * row * g.units + (at - row * g.units);
    f32 input = gates[first], forget = gates[first + g.units];
    f32 candidate = gates[first + 2 * g.units], output = gates[first + 3 * g.units];
    f32 t = tanhf(after[at]), from_h = dh[at] * output;
    f32 d = dc[at] + from_h * (1.0f - t * t);
    dgates[first] = d * candidate * input * (1.0f - input);
    dgates[first + g.units] = d * before[at] * forget * (1.0f - forget);
    dgates[first + 2 * g.units] = d * input * (1.0f - candidate * candidate);
    dgates[first + 3 * g.units] = t * from_h * (1.0f - output);
    dc[at] = d * forget;
}
