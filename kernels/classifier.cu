// classifier: the head of a network in one launch: global average pooling, a dense layer, the loss
// and how many predictions are right, and the gradients of all three.
//
//   features[n, c] = sum_p a[n, p, c] / pixels, a = f(scale x + shift) with a normalizer, else x
//   logits[n, k]   = sum_c features[n, c] weight[c, k] + bias[k]
//   loss[n], right[n], dlogits[n, k]  as in cross_entropy.cu
//   sums[2 row ..] = [sum_n loss[n], sum_n right[n]], or added to; row = clock[1], or 0 without one
//   dweight[c, k]  = sum_n features[n, c] dlogits[n, k]
//   dbias[k]       = sum_n dlogits[n, k]
//   dx[n, p, c]    = sum_k dlogits[n, k] weight[c, k] / pixels, the gradient of a; without a
//                    normalizer and with f = relu, x is its output and dx is zero where x is not
//                    above zero
//   norm_sums[., c] = sum_n,p g and sum_n,p g (x - mean) with g = f'(scale x + shift) dx
//
// x and dx are [images, pixels, channels] of one float type, labels are u32 [images] and below
// classes, all others are f32; normalizer is that of batch_norm.cu. dx may be x.
// The images are divided evenly into pieces, and a block takes those of a piece, a round of them at
// a time: dweight is [pieces, channels, classes], dbias [pieces, classes], norm_sums [pieces, 2,
// channels], each summed in the order of its images. The last block to finish, which it learns from
// the ticket, adds up the sums that all left in `workspace`, [pieces, 2], at most 64; the ticket is
// zero before and after.
// Grid: a block a piece, of 256 threads in `teams`, a power of two up to 8, an image a team.
// Shared: N KiB static for N channels a thread, and dynamic the words of Store; or store_words is
// not zero, and each block has as many behind the first 128 of the workspace.
//
//   classifier_loss_{one,eight}_T                  sums; the normalizer may be null
//   classifier_gradients_{one,eight}_T             and gradients, without a normalizer
//   classifier_normalized_gradients_{one,eight}_T  with one, and norm_sums
//   one: any number of channels; eight: a multiple of eight.
#include "function.cuh"
#include "peak.cuh"
#include "vector.cuh"

struct Classifier {
    u64 images;
    u32 pixels;
    u32 channels;
    u32 classes;
    u32 images_a_round;
    u32 teams;
    u32 function;
    // Whether sums and gradients are added to what is there.
    u32 add;
    f32 divisor;
    // Words of a block's store in the workspace, a multiple of 4; zero if it is in shared memory.
    u32 store_words;
    u32 reserved;
};

// Null where there is none or it is not asked for.
template <class T> struct Operands {
    const T* x;
    const f32* normalizer;
    const f32* weight;
    const f32* bias;
    const u32* labels;
    const u32* clock;
    f32* workspace;
    u32* ticket;
    f32* sums;
    T* dx;
    f32* dweight;
    f32* dbias;
    f32* norm_sums;
};

// What a kernel leaves out.
enum Form { LOSS, GRADIENTS, NORMALIZED_GRADIENTS };

// What a block knows of the images of its round.
struct Store {
    f32* features;  // [round, pitch]; when they were used, dx of a pixel
    f32* logits;    // [round, classes], then their gradients
    f32* verdicts;  // [round, 2]: the loss, and 1 if the prediction is right
    f32* slopes;    // [2, round, channels], normalized: sum_p f' and sum_p f' (x - mean)
    u8* mask;       // [round, pixels, columns], not normalized: a bit for each x above zero
    f32* scratch;   // [256 N], for the sum that the block is at
    u32 pitch;      // by which 8 images' features are in different banks, and in pieces of 16 bytes

    DEV static Store of(f32* words, f32* scratch, const Classifier& g) {
        u32 round = g.images_a_round, pitch = g.channels + 4;
        f32* logits = words + round * pitch;
        f32* verdicts = logits + round * g.classes;
        f32* rest = verdicts + round * 2;
        u8* mask = reinterpret_cast<u8*>(rest);
        return Store{words, logits, verdicts, rest, mask, scratch, pitch};
    }
};

// A thread's part of an image: N channels of every `rows`th pixel from `row` on. The threads of a
// team have `width` columns of N channels, from column `base` on.
struct Part {
    u32 image, lanes, base, width, rows, column, row;
    // Whether there is such an image, and such a part of it.
    bool present, live;
};

// f(part) for each of this thread's parts of the round's images, in step with its block.
template <int N, class F> DEV void each_part(u32 round, const Classifier& g, F f) {
    u32 lanes = 256 / g.teams, lane = threadIdx.x % lanes, columns = g.channels / N;
    for (u32 image = threadIdx.x / lanes; image / g.teams * g.teams < round; image += g.teams) {
        for (u32 base = 0; base < columns; base += lanes) {
            u32 width = min(columns - base, lanes), rows = lanes / width, row = lane / width;
            bool present = image < round;
            f(Part{image, lanes, base, width, rows, base + lane % width, row, present,
                   present && row < rows});
        }
    }
}

// to[c] = sum of the values of all rows of a column, in their order, by `divisor`, for each of the
// channels that a team is at.
template <int N>
DEV void sum_rows(const Vector<N>& mine, const Part& part, const Store& s, f32 divisor, f32* to) {
    f32* values = s.scratch;
    u32 lanes = part.lanes;
    store<N>(values + threadIdx.x * N, mine);
    __syncthreads();
    const f32* of_team = values + threadIdx.x / lanes * lanes * N;
    for (u32 c = threadIdx.x % lanes; part.present && c < part.width * N; c += lanes) {
        f32 sum = of_team[c];
        for (u32 row = 1; row < part.rows; ++row) sum += of_team[row * part.width * N + c];
        to[part.base * N + c] = sum / divisor;
    }
    __syncthreads();  // the scratch was read
}

// Features, and slopes or the mask, of a round of images.
template <Form FORM, int N, class T>
DEV void pool(const T* x, const f32* normalizer, u32 round, const Store& s, const Classifier& g) {
    constexpr int AT_ONCE = 4;
    u32 channels = g.channels, columns = channels / N;
    each_part<N>(round, g, [&](const Part& part) {
        Vector<N> sum = splat<N>(0.0f), slopes = sum, products = sum;
        Vector<N> scale = splat<N>(1.0f), shift = sum, mean = sum;
        if (normalizer && part.live) {
            scale = load<N>(normalizer + part.column * N);
            shift = load<N>(normalizer + channels + part.column * N);
            mean = load<N>(normalizer + 2 * channels + part.column * N);
        }
        const T* from = x + (u64)part.image * g.pixels * channels + part.column * N;
        u8* mask = s.mask + part.image * g.pixels * columns + part.column;
        for (u32 first = part.row; part.live && first < g.pixels; first += AT_ONCE * part.rows) {
            Vector<N> values[AT_ONCE];
#pragma unroll
            for (u32 j = 0; j < AT_ONCE; ++j) {
                u32 pixel = first + j * part.rows;
                if (pixel < g.pixels) values[j] = load<N>(from + (u64)pixel * channels);
            }
#pragma unroll
            for (u32 j = 0; j < AT_ONCE; ++j) {
                u32 pixel = first + j * part.rows, bits = 0;
                if (pixel >= g.pixels) break;
#pragma unroll
                for (int i = 0; i < N; ++i) {
                    f32 value = values[j].at[i], y = value;
                    if (normalizer) y = apply(g.function, value * scale.at[i] + shift.at[i]);
                    sum.at[i] += y;
                    if (FORM == NORMALIZED_GRADIENTS) {
                        f32 slope = apply_backward(g.function, y, 1.0f);
                        slopes.at[i] += slope;
                        products.at[i] += slope * (value - mean.at[i]);
                    }
                    bits |= (value > 0.0f ? 1u : 0u) << i;
                }
                if (FORM == GRADIENTS && g.function == RELU) mask[pixel * columns] = (u8)bits;
            }
        }
        sum_rows<N>(sum, part, s, (f32)g.pixels, s.features + part.image * s.pitch);
        if (FORM == NORMALIZED_GRADIENTS) {
            sum_rows<N>(slopes, part, s, 1.0f, s.slopes + part.image * channels);
            f32* of_deviations = s.slopes + (g.images_a_round + part.image) * channels;
            sum_rows<N>(products, part, s, 1.0f, of_deviations);
        }
    });
}

// take(i, sum_j term(i, j)) for each i < count, by the whole block; up to 8 threads share a sum.
template <class Term, class Take>
DEV void each_sum(u32 count, u32 terms, const Store& s, Term term, Take take) {
    for (u32 first = 0; first < count; first += 256) {
        u32 width = min(count - first, 256u), sharers = min(256 / width, 8u);
        u32 i = first + threadIdx.x % width, share = threadIdx.x / width;
        f32 sum = 0.0f;
        if (share < sharers) {
            for (u32 j = share; j < terms; j += sharers) sum += term(i, j);
        }
        s.scratch[threadIdx.x] = sum;
        __syncthreads();
        if (share == 0) {
            for (u32 at = width; at < sharers * width; at += width) {
                sum += s.scratch[threadIdx.x + at];
            }
            take(i, sum);
        }
        __syncthreads();  // what was taken is there, and the scratch was read
    }
}

// dx of a round of images.
template <Form FORM, int N, class T>
DEV void spread(T* dx, u32 round, const Store& s, const Classifier& g) {
    u32 channels = g.channels, columns = channels / N;
    bool masked = FORM == GRADIENTS && g.function == RELU;
    each_part<N>(round, g, [&](const Part& part) {
        if (!part.live) return;
        Vector<N> share = load<N>(s.features + part.image * s.pitch + part.column * N);
        T* to = dx + (u64)part.image * g.pixels * channels + part.column * N;
        const u8* mask = s.mask + part.image * g.pixels * columns + part.column;
        for (u32 pixel = part.row; pixel < g.pixels; pixel += part.rows) {
            u32 bits = masked ? mask[pixel * columns] : ~0u;
            Vector<N> of_pixel;
#pragma unroll
            for (int i = 0; i < N; ++i) of_pixel.at[i] = bits >> i & 1 ? share.at[i] : 0.0f;
            store<N>(to + (u64)pixel * channels, of_pixel);
        }
    });
}

// Adds up the sums that the blocks left, if this one is the last; by the first warp.
DEV void finish(f32 loss, f32 right, f32* workspace, u32* ticket, f32* sums, bool add) {
    u32 last = 0;
    if (threadIdx.x == 0) {
        workspace[2 * blockIdx.x] = loss;
        workspace[2 * blockIdx.x + 1] = right;
        __threadfence();
        last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
        __threadfence();
    }
    if (!__shfl_sync(0xffffffffu, last, 0)) return;
    __syncwarp();  // what the first lane may read, all may
    loss = 0.0f, right = 0.0f;
    for (u32 piece = threadIdx.x; piece < gridDim.x; piece += 32) {
        loss += __ldcg(workspace + 2 * piece);
        right += __ldcg(workspace + 2 * piece + 1);
    }
    loss = Warp::reduce(loss, Sum());
    right = Warp::reduce(right, Sum());
    if (threadIdx.x != 0) return;
    sums[0] = add ? sums[0] + loss : loss;
    sums[1] = add ? sums[1] + right : right;
}

// Adds to the gradients of a piece what a round of its images has.
template <Form FORM, int N, class T>
DEV void gradients(const Operands<T>& o, T* dx, u32 round, bool add, const Store& s,
                   const Classifier& g) {
    u32 channels = g.channels, classes = g.classes;
    u64 piece = blockIdx.x;
    auto put = [&](f32* to, f32 sum) { *to = add ? *to + sum : sum; };
    each_sum(
        channels * classes, round, s,
        [&](u32 i, u32 n) {
            return s.features[n * s.pitch + i / classes] * s.logits[n * classes + i % classes];
        },
        [&](u32 i, f32 sum) { put(o.dweight + piece * channels * classes + i, sum); });
    each_sum(
        classes, round, s, [&](u32 k, u32 n) { return s.logits[n * classes + k]; },
        [&](u32 k, f32 sum) { put(o.dbias + piece * classes + k, sum); });
    each_sum(
        round * channels, classes, s,
        [&](u32 i, u32 k) {
            return s.logits[i / channels * classes + k] * o.weight[i % channels * (u64)classes + k];
        },
        [&](u32 i, f32 sum) {
            f32 share = to_f32(from_f32<T>(sum / (f32)g.pixels));
            s.features[i / channels * s.pitch + i % channels] = share;
        });
    spread<FORM, N>(dx, round, s, g);
    if (FORM == NORMALIZED_GRADIENTS) {
        each_sum(
            2 * channels, round, s,
            [&](u32 i, u32 n) {
                u32 row = i / channels, c = i % channels;
                f32 slope = s.slopes[(row * g.images_a_round + n) * channels + c];
                return s.features[n * s.pitch + c] * slope;
            },
            [&](u32 i, f32 sum) { put(o.norm_sums + piece * 2 * channels + i, sum); });
    }
    __syncthreads();  // before the next round's features
}

template <Form FORM, int N, class T>
DEV void classifier(const Operands<T>& o, const Classifier& g) {
    extern __shared__ __align__(16) f32 on_chip[];
    __shared__ __align__(16) f32 scratch[256 * N];
    f32* spilled = o.workspace + 128 + (u64)blockIdx.x * g.store_words;
    Store s = Store::of(g.store_words ? spilled : on_chip, scratch, g);
    u32 channels = g.channels, classes = g.classes;
    f32 loss = 0.0f, right = 0.0f;
    u64 piece = blockIdx.x, begin = piece * g.images / gridDim.x;
    u64 end = (piece + 1) * g.images / gridDim.x;
    for (u64 first = begin; first < end; first += g.images_a_round) {
        u32 round = (u32)min(end - first, (u64)g.images_a_round);
        u64 at = first * g.pixels * channels;
        pool<FORM, N>(o.x + at, o.normalizer, round, s, g);
        each_sum(
            round * classes, channels, s,
            [&](u32 i, u32 c) {
                f32 weight = o.weight[(u64)c * classes + i % classes];
                return s.features[i / classes * s.pitch + c] * weight;
            },
            [&](u32 i, f32 sum) { s.logits[i] = sum + o.bias[i % classes]; });
        for (u32 n = threadIdx.x / 32; n < round; n += 8) {
            f32 *logits = s.logits + n * classes, *verdict = s.verdicts + 2 * n;
            Streamed<Warp, f32, 1> row{{logits}, classes};
            f32* dlogits = FORM == LOSS ? nullptr : logits;
            judge<Warp>(row, logits, o.labels[first + n], g.divisor, verdict, verdict + 1, dlogits);
        }
        __syncthreads();
        for (u32 n = 0; threadIdx.x == 0 && n < round; ++n) {
            loss += s.verdicts[2 * n];
            right += s.verdicts[2 * n + 1];
        }
        if (FORM != LOSS) gradients<FORM, N>(o, o.dx + at, round, g.add || first > begin, s, g);
    }
    u64 row = o.clock ? o.clock[1] : 0;
    if (threadIdx.x < 32) finish(loss, right, o.workspace, o.ticket, o.sums + 2 * row, g.add);
}

#define CLASSIFIER(SUFFIX, N, T)                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 2) classifier_loss_##SUFFIX##_##T(          \
        const T* x, const f32* normalizer, const f32* weight, const f32* bias, const u32* labels, \
        const u32* clock, f32* workspace, u32* ticket, f32* sums, Classifier g) {                 \
        Operands<T> o = {x, normalizer, weight, bias, labels, clock, workspace, ticket, sums};    \
        classifier<LOSS, N>(o, g);                                                                \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(256, 2) classifier_gradients_##SUFFIX##_##T(     \
        const T* x, const f32* weight, const f32* bias, const u32* labels, const u32* clock,      \
        f32* workspace, u32* ticket, f32* sums, T* dx, f32* dweight, f32* dbias, Classifier g) {  \
        Operands<T> o = {x,         nullptr, weight, bias, labels,  clock,                        \
                         workspace, ticket,  sums,   dx,   dweight, dbias};                       \
        classifier<GRADIENTS, N>(o, g);                                                           \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(256, 2)                                          \
        classifier_normalized_gradients_##SUFFIX##_##T(                                           \
            const T* x, const f32* normalizer, const f32* weight, const f32* bias,                \
            const u32* labels, const u32* clock, f32* workspace, u32* ticket, f32* sums, T* dx,   \
            f32* dweight, f32* dbias, f32* norm_sums, Classifier g) {                             \
        Operands<T> o = {x,         normalizer, weight, bias, labels,  clock,                     \
                         workspace, ticket,     sums,   dx,   dweight, dbias, norm_sums};         \
        classifier<NORMALIZED_GRADIENTS, N>(o, g);                                                \
    }
#define CLASSIFIER_OF_ANY(T) CLASSIFIER(one, 1, T) CLASSIFIER(eight, 8, T)
EACH_FLOAT(CLASSIFIER_OF_ANY)
