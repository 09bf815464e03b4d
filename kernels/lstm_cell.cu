// lstm_cell: one step of an LSTM and its gradients.
//
//   i | f | g | o = projection + h W, through sigmoid, sigmoid, tanh, sigmoid
//   c' = f c + i g, h' = o tanh(c')
// and from dh', dc' to the gradient of the gates before their activation, of c and of h:
//   dc' += dh' o (1 - tanh(c')^2)
//   di = dc' g i (1 - i), df = dc' c f (1 - f), dg = dc' i (1 - g^2), do = dh' tanh(c') o (1 - o)
//   dc = dc' f, dh = dgates W^T
//
// All is f32. Projection, gates and dgates are [batch, 4 units], a gate's units side by side; W is
// [units, 4 units], the rest [batch, units]. dc' becomes dc in place, nothing else overlaps.
//
// Both products are for few rows and much W: the warps of a block share neither rows nor columns
// but the terms of each sum, so that many loads of W are under way, and W is read once for all rows
// of the block. Each thread adds its terms up in their order; the sums of a block's warps are added
// in the order of the warps.
// Grid, blocks of 256 threads: lstm_cell has ceil(units / 8) blocks in x and ceil(batch / 16) in y,
// lstm_cell_backward_h ceil(units / 8) and ceil(batch / 8); lstm_cell_backward a thread a unit of a
// row, ceil(batch units / 256) blocks. Shared: lstm_cell 20 KiB, lstm_cell_backward_h 2 KiB, static.
//
//   lstm_cell             gates, h' and c'
//   lstm_cell_backward    dgates and dc
//   lstm_cell_backward_h  dh
#include "function.cuh"
#include "vector.cuh"

struct Cell {
    u64 batch;
    u64 units;
};

constexpr u32 WARPS = 8;

// A block of lstm_cell has this many units, whose four gates make 32 columns of W, one a lane.
constexpr u32 UNITS = 8;
// Rows of a block of lstm_cell.
constexpr u32 ROWS = 16;
// Units of h in shared memory at a time.
constexpr u32 CHUNK = 256;
// Rows side by side and four more, so that neighbouring units begin in different banks.
constexpr u32 PITCH = ROWS + 4;

// tile[k][row] = h[first_row + row, first + k], or anything where there is no such element: such
// rows are not stored, such units not multiplied. A warp copies 4 rows of 8 units at a time.
DEV void fill(f32 (&tile)[CHUNK][PITCH], const f32* h, u64 first_row, u64 first, const Cell& g) {
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll 4
    for (u32 patch = warp; patch < CHUNK / 8 * (ROWS / 4); patch += WARPS) {
        u32 k = patch / (ROWS / 4) * 8 + lane % 8, row = patch % (ROWS / 4) * 4 + lane / 8;
        bool inside = first_row + row < g.batch && first + k < g.units;
        tile[k][row] = inside ? h[(first_row + row) * g.units + first + k] : 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(256)
    lstm_cell(const f32* __restrict__ projection, const f32* __restrict__ h,
              const f32* __restrict__ before, const f32* __restrict__ recurrent,
              f32* __restrict__ gates, f32* __restrict__ new_h, f32* __restrict__ after, Cell g) {
    union Shared {
        f32 tile[CHUNK][PITCH];
        // A row has eight more, so that those of four rows lie in different banks.
        f32 sums[WARPS][ROWS][32 + 8];
    };
    __shared__ __align__(16) Shared shared;
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u64 first_row = (u64)blockIdx.y * ROWS, first_unit = (u64)blockIdx.x * UNITS;
    // The column of this lane; one past the units computes what the last does and is not stored.
    u64 unit = min(first_unit + lane % UNITS, g.units - 1);
    const f32* column = recurrent + lane / UNITS * g.units + unit;
    f32 sums[ROWS] = {};
    for (u64 first = 0; first < g.units; first += CHUNK) {
        fill(shared.tile, h, first_row, first, g);
        __syncthreads();
        u32 terms = (u32)min((u64)CHUNK, g.units - first);
#pragma unroll 4
        for (u32 k = warp; k < terms; k += WARPS) {
            f32 weight = column[(first + k) * 4 * g.units];
#pragma unroll
            for (u32 row = 0; row < ROWS; ++row) sums[row] += shared.tile[k][row] * weight;
        }
        __syncthreads();
    }
#pragma unroll
    for (u32 row = 0; row < ROWS; ++row) shared.sums[warp][row][lane] = sums[row];
    __syncthreads();
    u64 row = first_row + threadIdx.x / UNITS;
    unit = first_unit + threadIdx.x % UNITS;
    if (threadIdx.x >= ROWS * UNITS || row >= g.batch || unit >= g.units) return;
    f32 gate[4];
#pragma unroll
    for (u32 of = 0; of < 4; ++of) {
        u64 place = (row * 4 + of) * g.units + unit;
        f32 sum = 0.0f;
#pragma unroll
        for (u32 part = 0; part < WARPS; ++part) {
            sum += shared.sums[part][threadIdx.x / UNITS][of * UNITS + threadIdx.x % UNITS];
        }
        gate[of] = apply(of == 2 ? TANH : SIGMOID, sum + projection[place]);
        gates[place] = gate[of];
    }
    u64 place = row * g.units + unit;
    f32 c = gate[1] * before[place] + gate[0] * gate[2];
    after[place] = c;
    new_h[place] = gate[3] * tanhf(c);
}

extern "C" __global__ void __launch_bounds__(256)
    lstm_cell_backward(const f32* dh, const f32* gates, const f32* before, const f32* after,
                       f32* dc, f32* dgates, Cell g) {
    u64 place = (u64)blockIdx.x * 256 + threadIdx.x;
    if (place >= g.batch * g.units) return;
    u64 first = place / g.units * 4 * g.units + place % g.units;
    gates += first, dgates += first;
    f32 input = gates[0], forget = gates[g.units];
    f32 candidate = gates[2 * g.units], output = gates[3 * g.units];
    f32 t = tanhf(after[place]);
    f32 d = dc[place] + apply_backward(TANH, t, dh[place] * output);
    dgates[0] = apply_backward(SIGMOID, input, d * candidate);
    dgates[g.units] = apply_backward(SIGMOID, forget, d * before[place]);
    dgates[2 * g.units] = apply_backward(TANH, candidate, d * input);
    dgates[3 * g.units] = apply_backward(SIGMOID, output, dh[place] * t);
    dc[place] = d * forget;
}

// Rows and units of a block of lstm_cell_backward_h, whose 64 sums each lane has a part of.
constexpr u32 SIDE = 8;

// Adds up the 64 values of the lanes of a warp, the upper half of which goes to the upper half of
// the lanes, and so on: lane l has the totals 2 l and 2 l + 1 in values[0] and values[1].
template <u32 COUNT> DEV void add_up(f32 (&values)[SIDE * SIDE]) {
    bool upper = threadIdx.x % 32 & COUNT / 4;
#pragma unroll
    for (u32 i = 0; i < COUNT / 2; ++i) {
        f32 kept = upper ? values[i + COUNT / 2] : values[i];
        f32 given = upper ? values[i] : values[i + COUNT / 2];
        values[i] = kept + __shfl_xor_sync(0xffffffffu, given, COUNT / 4);
    }
    if constexpr (COUNT > 4) add_up<COUNT / 2>(values);
}

extern "C" __global__ void __launch_bounds__(256, 2) lstm_cell_backward_h(
    const f32* __restrict__ dgates, const f32* __restrict__ recurrent, f32* __restrict__ dh,
    Cell g) {
    __shared__ __align__(8) f32 shared[WARPS][SIDE * SIDE];
    u64 first_row = (u64)blockIdx.y * SIDE, first_unit = (u64)blockIdx.x * SIDE;
    u64 columns = 4 * g.units;
    u32 rows = (u32)min(g.batch - first_row, (u64)SIDE);
    u32 units = (u32)min(g.units - first_unit, (u64)SIDE);
    dgates += first_row * columns, recurrent += first_unit * columns;
    f32 sums[SIDE * SIDE] = {};
    for (u64 column = threadIdx.x; column < columns; column += 256) {
        f32 d[SIDE], weight[SIDE];
#pragma unroll
        for (u32 i = 0; i < SIDE; ++i) {
            d[i] = i < rows ? dgates[i * columns + column] : 0.0f;
            weight[i] = i < units ? recurrent[i * columns + column] : 0.0f;
        }
#pragma unroll
        for (u32 i = 0; i < SIDE * SIDE; ++i) sums[i] += d[i / SIDE] * weight[i % SIDE];
    }
    add_up<SIDE * SIDE>(sums);
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    store(&shared[warp][2 * lane], Vector<2>{{sums[0], sums[1]}});
    __syncthreads();
    u64 row = first_row + threadIdx.x / SIDE, unit = first_unit + threadIdx.x % SIDE;
    if (threadIdx.x >= SIDE * SIDE || row >= g.batch || unit >= g.units) return;
    f32 sum = 0.0f;
#pragma unroll
    for (u32 part = 0; part < WARPS; ++part) sum += shared[part][threadIdx.x];
    dh[row * g.units + unit] = sum;
}
