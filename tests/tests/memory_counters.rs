//! What kernels that are bound by memory move, as the emulator counts it: hardly more than they
//! must, and in accesses of 16 bytes where rows begin at multiples of 16 bytes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nasrl_cuda_emulator::{Counters, Options, install};
use nasrl_tensor::ops::{
    Activation, BatchNorm, Dropout, LstmGradientInputs, LstmInputs, Optimizer, Padding, Pool2d,
    Pooling, UpdateRule, activation, activation_backward, add, add_assign, batch_norm,
    batch_norm_backward, bias, bias_backward, clip_global_norm, concat, concat_backward,
    cross_entropy, cross_entropy_with_gradient, dropout, embedding_backward, global_average_pool,
    log_softmax, log_softmax_backward, lstm_cell, lstm_cell_backward, pad2d, pad2d_backward,
    pool2d, pool2d_backward, softmax, softmax_backward,
};
use nasrl_tensor::random::Key;
use nasrl_tensor::{Cuda, DType, Memory, Shape, Tensor};
use nasrl_tests::{FLOATS, Inputs, emulated_as, tensor};

const OPTIONS: fn() -> Options = || Options { count: true, ..Options::default() };

/// A sector, the least that memory gives.
const SECTOR: u64 = 32;

/// The emulated GPU, whose launches are those of the test that holds it.
fn device() -> Option<(Cuda, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let on = emulated_as(&OPTIONS()).pop()?;
    Some((on, ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn random(on: &Cuda, dtype: DType, shape: impl Into<Shape>) -> Tensor<Cuda> {
    let shape = shape.into();
    tensor(on, dtype, shape, &Inputs::new(1).uniform(shape.count()))
}

/// The counters of the launches of an operation, by kernel.
fn counted<T>(on: &Cuda, operation: impl FnOnce() -> T) -> Vec<(String, Counters)> {
    let emulator = install(&OPTIONS()).unwrap();
    on.synchronize().unwrap();
    emulator.clear_launches();
    operation();
    on.synchronize().unwrap();
    let counters = emulator
        .launches()
        .into_iter()
        .map(|launch| (launch.kernel, launch.counters.expect("the emulator counts")));
    counters.collect()
}

/// Asserts that a launch moves at most 1.3 times `minimum` bytes, by its threads and from memory,
/// all but a twentieth of them 16 at a time, and that no bank is asked for two words at once.
fn assert_moves(what: &str, (kernel, counters): &(String, Counters), minimum: usize) {
    let what = format!("{what}, {kernel}: {counters:?} for {minimum} bytes");
    let moved = counters.global_bytes_read + counters.global_bytes_written;
    let most = minimum as u64 * 13 / 10;
    assert!(moved <= most, "{what}");
    assert!(from_memory(counters) <= most, "{what}");
    assert!(counters.global_widths[4] * 16 * 20 >= moved * 19, "{what}");
    assert_eq!(counters.shared_bank_conflicts, 0, "{what}");
}

/// Asserts that the launches of a kernel, of which there is at least one, touch at most 1.3 times
/// `minimum` bytes of memory each, and that neighbours read the sectors that they touch together.
fn assert_touches(launches: &[(String, Counters)], kernel: &str, minimum: usize) {
    let mut found = 0;
    for (_, counters) in launches.iter().filter(|(name, _)| name.starts_with(kernel)) {
        let what = format!("{kernel}: {counters:?} for {minimum} bytes");
        assert!(from_memory(counters) * 10 <= minimum as u64 * 13, "{what}");
        let read = counters.global_sectors_read * SECTOR;
        assert!(read * 10 <= counters.global_bytes_read * 13, "{what}");
        assert_eq!(counters.shared_bank_conflicts, 0, "{what}");
        found += 1;
    }
    assert!(found > 0, "no {kernel} in {launches:?}");
}

/// Bytes of the sectors that were touched.
fn from_memory(counters: &Counters) -> u64 {
    let sectors = counters.global_distinct_sectors_read + counters.global_distinct_sectors_written;
    SECTOR * sectors
}

/// The least bytes of operands: each once.
fn bytes(operands: &[&Tensor<Cuda>]) -> usize {
    operands.iter().map(|x| x.shape().count() * x.dtype().size()).sum()
}

/// Rows of a classifier's and a language model's logits, in whole eights.
const LOGITS: [[usize; 2]; 3] = [[128, 16], [20, 1000], [3, 10_000]];

#[test]
fn softmax_reads_and_writes_a_row_once() {
    let Some((on, _alone)) = device() else { return };
    for shape in LOGITS {
        for dtype in FLOATS {
            let what = format!("{shape:?} {dtype}");
            let (x, dy) = (random(&on, dtype, shape), random(&on, dtype, shape));
            let forward = [softmax, log_softmax];
            for operation in forward {
                let launches = counted(&on, || operation(&x).unwrap());
                assert_moves(&what, &launches[0], bytes(&[&x, &x]));
            }
            for operation in [softmax_backward, log_softmax_backward] {
                let launches = counted(&on, || operation(&x, &dy).unwrap());
                assert_moves(&what, &launches[0], bytes(&[&x, &dy, &x]));
            }
        }
    }
}

#[test]
fn cross_entropy_reads_logits_and_writes_their_gradient_once() {
    let Some((on, _alone)) = device() else { return };
    for [rows, classes] in LOGITS {
        let what = format!("[{rows}, {classes}]");
        let logits = random(&on, DType::F32, [rows, classes]);
        let labels = Inputs::new(1).indices(rows, classes);
        let labels = Tensor::from_slice(&on, [rows], &labels).unwrap();
        // A label, the logit of its class, a loss and a hit for each row.
        let small = 16 * rows;
        let launches = counted(&on, || cross_entropy(&logits, &labels, 1.0).unwrap());
        assert_moves_rows(&what, &launches[0], bytes(&[&logits]), small);
        let gradient = || cross_entropy_with_gradient(&logits, &labels, 1.0).unwrap();
        let launches = counted(&on, gradient);
        assert_moves_rows(&what, &launches[0], bytes(&[&logits, &logits]), small);
    }
}

/// [`assert_moves`] beside `small` bytes of scalars, which several threads may read.
fn assert_moves_rows(what: &str, launch: &(String, Counters), rows: usize, small: usize) {
    let (kernel, counters) = launch;
    let what = format!("{what}, {kernel}: {counters:?} for {rows} bytes");
    assert_eq!(counters.global_widths[4] * 16, rows as u64, "{what}");
    assert!(from_memory(counters) * 10 <= (rows + small) as u64 * 13, "{what}");
}

/// Maps of children: images, side, channels.
const MAPS: [[usize; 3]; 3] = [[4, 16, 64], [8, 8, 32], [1, 32, 48]];

#[test]
fn elementwise_kernels_move_each_operand_once() {
    let Some((on, _alone)) = device() else { return };
    for [images, side, channels] in MAPS {
        let shape = [images, side, side, channels];
        for dtype in FLOATS {
            let what = format!("{shape:?} {dtype}");
            let (x, mut y) = (random(&on, dtype, shape), random(&on, dtype, shape));
            let (two, three) = (bytes(&[&x, &x]), bytes(&[&x, &x, &x]));
            let all = |launches: Vec<(String, Counters)>, minimum| {
                let [launch] = &launches[..] else { panic!("{launches:?}") };
                assert_moves(&what, launch, minimum);
            };
            all(counted(&on, || activation(&x, Activation::Relu).unwrap()), two);
            let backward = || activation_backward(&y, &x, Activation::Tanh).unwrap();
            all(counted(&on, backward), three);
            all(counted(&on, || add(&x, &y).unwrap()), three);
            all(counted(&on, || add_assign(&mut y, &x).unwrap()), three);
            let mask = Dropout { rate: 0.5, key: Key::new(3, 4, "dropout"), step: 5, offset: 0 };
            all(counted(&on, || dropout(&x, &mask).unwrap()), two);
            for to in FLOATS {
                let narrow = bytes(&[&x]) + x.shape().count() * to.size();
                let launches = counted(&on, || x.cast(to).unwrap());
                launches.iter().for_each(|launch| assert_moves(&what, launch, narrow));
            }
            let padding = Padding { top: 1, bottom: 1, left: 1, right: 1 };
            let padded = pad2d(&x, padding).unwrap();
            let moved = bytes(&[&x, &padded]);
            all(counted(&on, || pad2d(&x, padding).unwrap()), moved);
            all(counted(&on, || pad2d_backward(&padded, padding).unwrap()), two);
            for launch in counted(&on, || concat(&[&x, &y]).unwrap()) {
                assert_moves(&what, &launch, two);
            }
            let joined = concat(&[&x, &y]).unwrap();
            for launch in counted(&on, || concat_backward(&joined, &[channels; 2]).unwrap()) {
                assert_moves(&what, &launch, two);
            }
        }
    }
}

#[test]
fn normalisations_and_pools_touch_each_operand_once() {
    let Some((on, _alone)) = device() else { return };
    for [images, side, channels] in MAPS {
        for dtype in FLOATS {
            let x = random(&on, dtype, [images, side, side, channels]);
            let map = bytes(&[&x]);
            let of_channels = 4 * 4 * channels;
            let norm = BatchNorm { activation: Some(Activation::Relu), ..BatchNorm::new(channels) };
            let parameters = random(&on, DType::F32, [2, channels]);
            let mut running = parameters.clone();
            let mut normalizer = None;
            let forward = counted(&on, || {
                normalizer = Some(batch_norm(&norm, &x, &parameters, &mut running).unwrap().1);
            });
            let normalizer = normalizer.expect("the operation ran");
            let backward =
                counted(&on, || batch_norm_backward(&norm, &x, &x, &normalizer).unwrap());
            assert_touches(&forward, "batch_norm_moments_slices", map);
            assert_touches(&forward, "batch_norm_apply", 2 * map + of_channels);
            assert_touches(&backward, "batch_norm_sums_slices", map + of_channels);
            assert_touches(&backward, "batch_norm_backward_apply", 2 * map + of_channels);

            let pool = Pool2d::new(Pooling::Max, [side; 2], channels, [2, 2]);
            let forward = counted(&on, || pool2d(&x, &pool).unwrap());
            let [launch] = &forward[..] else { panic!("{forward:?}") };
            assert_moves("pool", launch, map + map / 4);
            let dy = pool2d(&x, &pool).unwrap();
            let backward = counted(&on, || pool2d_backward(&x, &dy, &pool).unwrap());
            assert_touches(&backward, "pool_backward_eight", 2 * map + map / 4);
            let forward = counted(&on, || global_average_pool(&x).unwrap());
            assert_touches(&forward, "global_average_pool", map);
        }
    }
}

/// Parameters of the tensors of a small child.
const TENSORS: [usize; 3] = [9 * 64 * 64, 9 * 64 * 32, 640];

#[test]
fn an_optimizer_changes_all_tensors_in_one_launch_and_touches_each_operand_once() {
    let Some((on, _alone)) = device() else { return };
    let mut parameters = TENSORS.map(|len| random(&on, DType::F32, len));
    let mut gradients = TENSORS.map(|len| random(&on, DType::F32, len));
    let all = 4 * TENSORS.iter().sum::<usize>();
    // The gradient is read; the parameters and one or two arrays of state are read and written.
    for (rule, moved) in
        [(UpdateRule::Sgd { momentum: 0.9, nesterov: true }, 5), (UpdateRule::ADAM, 7)]
    {
        let mut optimizer = Optimizer::new(rule, 0.0).unwrap();
        let step = counted(&on, || optimizer.step(0.1, &mut parameters, &gradients).unwrap());
        let [launch] = &step[..] else { panic!("{step:?}") };
        assert_moves(&format!("{rule:?}"), launch, moved * all);
    }
    let clipped = counted(&on, || clip_global_norm(1e-3, &mut gradients).unwrap());
    for (kernel, passes) in [("clip_squares", 1), ("clip_scale", 2)] {
        let of_kernel: Vec<_> = clipped.iter().filter(|(name, _)| name == kernel).collect();
        assert_eq!(of_kernel.len(), TENSORS.len(), "{clipped:?}");
        for ((_, counters), len) in of_kernel.into_iter().zip(TENSORS) {
            let most = (4 * passes * len * 13 / 10) as u64;
            assert!(from_memory(counters) <= most, "{kernel}: {counters:?} for {len}");
        }
    }
}

#[test]
fn biases_are_read_in_whole_vectors() {
    let Some((on, _alone)) = device() else { return };
    for [images, side, channels] in MAPS {
        for dtype in FLOATS {
            let what = format!("{images}x{side}x{side}x{channels} {dtype}");
            let x = random(&on, dtype, [images * side * side, channels]);
            let b = random(&on, DType::F32, [channels]);
            let relu = Some(Activation::Relu);
            for (launches, minimum) in [
                (counted(&on, || bias(&x, &b, relu).unwrap()), bytes(&[&x, &x, &b])),
                (counted(&on, || bias_backward(&x).unwrap()), bytes(&[&x, &b])),
            ] {
                let (kernel, counters) = &launches[0];
                let what = format!("{what}, {kernel}: {counters:?} for {minimum} bytes");
                // Threads that share a channel read its bias from the cache.
                assert!(from_memory(counters) * 10 <= minimum as u64 * 13, "{what}");
                let moved = counters.global_bytes_read + counters.global_bytes_written;
                assert!(counters.global_widths[4] * 16 * 10 >= moved * 9, "{what}");
                assert_eq!(counters.shared_bank_conflicts, 0, "{what}");
            }
        }
    }
}

/// Once for each row of the table, not once for each index.
#[test]
fn embedding_backward_reads_each_index_once_a_row_and_each_gradient_once() {
    let Some((on, _alone)) = device() else { return };
    for [count, rows, width] in [[9, 18, 128], [2000, 4, 35], [300, 40, 200]] {
        let dy = random(&on, DType::F32, [count, width]);
        let indices = Inputs::new(1).indices(count, rows);
        let index = Tensor::from_slice(&on, [count], &indices).unwrap();
        let launches = counted(&on, || embedding_backward(&index, &dy, rows).unwrap());
        let (_, counters) =
            launches.iter().find(|(kernel, _)| kernel == "embedding_backward").expect("a launch");
        let found = BTreeSet::from_iter(indices).len();
        let scanned = rows * width.div_ceil(128) * count;
        let read = 4 * (scanned + count * width + found * width);
        assert_eq!(counters.global_bytes_read, read as u64, "{count} of {rows}x{width}");
        assert_eq!(counters.global_bytes_written, (4 * found * width) as u64);
    }
}

/// Batch and units of controllers and of a language model, in whole blocks.
const CELLS: [[usize; 2]; 3] = [[1, 32], [16, 64], [16, 200]];

#[test]
fn a_step_of_an_lstm_reads_its_weights_once() {
    let Some((on, _alone)) = device() else { return };
    for [batch, units] in CELLS {
        let random = |shape| random(&on, DType::F32, shape);
        let (projection, recurrent) = (random([batch, 4 * units]), random([units, 4 * units]));
        let (h, c) = (random([batch, units]), random([batch, units]));
        let inputs = LstmInputs { projection: &projection, h: &h, c: &c, recurrent: &recurrent };
        let forward = counted(&on, || lstm_cell(inputs).unwrap());
        let (gates, dc) = (&projection, random([batch, units]));
        let (dh, c_before) = (&h, &c);
        let inputs = LstmGradientInputs { dh, gates, c_before, c: &c, recurrent: &recurrent };
        let backward = counted(&on, || lstm_cell_backward(inputs, &dc).unwrap());
        let step = [&projection, gates, &h, &c, &h, &c];
        let kernels = [
            (&forward, "lstm_cell", bytes(&step) + bytes(&[&recurrent])),
            (&backward, "lstm_cell_backward", bytes(&step) + bytes(&[&dc])),
            (&backward, "lstm_cell_backward_h", bytes(&[gates, &recurrent, &h])),
        ];
        for (launches, kernel, minimum) in kernels {
            let launch = launches.iter().find(|(name, _)| name == kernel).expect("a launch");
            let counters = &launch.1;
            let what = format!("{kernel} of {batch}x{units}: {counters:?} for {minimum} bytes");
            assert!(from_memory(counters) * 10 <= minimum as u64 * 13, "{what}");
            // A lane has a column of W or a unit: neighbours fill the sectors that they touch.
            let read = counters.global_sectors_read * SECTOR;
            assert!(read * 10 <= counters.global_bytes_read * 13, "{what}");
            assert_eq!(counters.shared_bank_conflicts, 0, "{what}");
        }
    }
}
