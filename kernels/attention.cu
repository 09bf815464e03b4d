// attention: additive scores of keys, weighted sums of values, and their gradients.
//
//   t[b, j, u] = tanh(keys[b, j, u] + query[b, u])
//   scores            s[b, j] = sum_u v[u] t[b, j, u]
//   scores_backward   e = ds[b, j] v[u] (1 - t^2): dkeys[b, j, u] += e, dquery[b, u] = sum_j e,
//                     dv[u] += sum_(b, j) ds[b, j] t
//   context           y[b, u] = sum_j w[b, j] values[b, j, u]
//   context_backward  dvalues[b, j, u] += w[b, j] dy[b, u]
//
// All is f32: keys, values and their gradients [batch, capacity, units], of which the first
// `sources` of each row are used; s, ds and w [batch, sources]; query, dquery, y and dy [batch,
// units]; v and dv [units]. Nothing overlaps. Sums over j are in its order; those of dv are made by
// row into partial [batch, units] and then added up in the order of rows, as common/columns.cuh
// does for slices.
// Grid, blocks of 256 threads: scores a warp a pair (b, j); scores_backward, context a thread a pair
// (b, u); dv a thread a u; context_backward a thread an element. No shared memory.
//
//   attention_scores, attention_scores_backward, attention_scores_backward_dv, attention_context,
//   attention_context_backward
#include "columns.cuh"
#include "reduce.cuh"

struct Attention {
    u64 batch;
    u64 sources;
    u64 capacity;
    u64 units;
};

DEV u64 thread() { return (u64)blockIdx.x * 256 + threadIdx.x; }

extern "C" __global__ void __launch_bounds__(256) attention_scores(
    const f32* keys, const f32* query, const f32* v, f32* scores, Attention g) {
    u64 pair = Warp::row();
    if (pair >= g.batch * g.sources) return;
    u64 row = pair / g.sources, source = pair - row * g.sources;
    const f32* key = keys + (row * g.capacity + source) * g.units;
    f32 sum = 0.0f;
    for (u64 u = Warp::lane(); u < g.units; u += Warp::lanes()) {
        sum += v[u] * tanhf(key[u] + query[row * g.units + u]);
    }
    sum = Warp::reduce(sum, Sum());
    if (Warp::lane() == 0) scores[pair] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
    attention_scores_backward(const f32* keys, const f32* query, const f32* v, const f32* dscores,
                              f32* dkeys, f32* dquery, f32* partial, Attention g) {
    u64 at = thread();
    if (at >= g.batch * g.units) return;
    u64 row = at / g.units, u = at - row * g.units;
    f32 of_query = query[at], weight = v[u], dquery_sum = 0.0f, dv_sum = 0.0f;
    for (u64 source = 0; source < g.sources; ++source) {
        u64 place = (row * g.capacity + source) * g.units + u;
        f32 t = tanhf(keys[place] + of_query), ds = dscores[row * g.sources + source];
        f32 e = ds * weight * (1.0f - t * t);
        dkeys[place] += e;
        dquery_sum += e;
        dv_sum += ds * t;
    }
    dquery[at] = dquery_sum;
    partial[at] = dv_sum;
}

extern "C" __global__ void __launch_bounds__(256)
    attention_scores_backward_dv(const f32* partial, f32* dv, Slices g) {
    sum_of_slices(partial, dv, g);
}

extern "C" __global__ void __launch_bounds__(256)
    attention_context(const f32* weights, const f32* values, f32* context, Attention g) {
    u64 at = thread();
    if (at >= g.batch * g.units) return;
    u64 row = at / g.units, u = at - row * g.units;
    f32 sum = 0.0f;
    for (u64 source = 0; source < g.sources; ++source) {
        u64 place = (row * g.capacity + source) * g.units + u;
        sum += weights[row * g.sources + source] * values[place];
    }
    context[at] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
    attention_context_backward(const f32* weights, const f32* dcontext, f32* dvalues, Attention g) {
    u64 at = thread();
    if (at >= g.batch * g.sources * g.units) return;
    u64 pair = at / g.units, u = at - pair * g.units;
    u64 row = pair / g.sources, source = pair - row * g.sources;
    dvalues[(row * g.capacity + source) * g.units + u] += weights[pair] * dcontext[row * g.units + u];
}
