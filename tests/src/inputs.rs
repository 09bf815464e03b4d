/// Repeatable test inputs; SplitMix64, so that no generator under test feeds its own test.
pub struct Inputs(u64);

impl Inputs {
    /// Inputs of a seed; print the seed when a test fails.
    pub fn new(seed: u64) -> Self {
        Inputs(seed)
    }

    /// Integers in `-magnitude..=magnitude` as floats: sums of their products are exact in f32, in
    /// any order, while they stay below 2^24.
    pub fn integers(&mut self, len: usize, magnitude: u32) -> Vec<f32> {
        let values = 2 * magnitude as usize + 1;
        (0..len).map(|_| self.below(values) as f32 - magnitude as f32).collect()
    }

    /// Values uniform in [-1, 1).
    pub fn uniform(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
    }

    /// Indices below `bound`.
    pub fn indices(&mut self, len: usize, bound: usize) -> Vec<u32> {
        (0..len).map(|_| self.below(bound) as u32).collect()
    }

    /// One index below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The gradient of `f` at `x` by central differences, in f64: for references whose derivative is
/// to be checked without deriving it.
pub fn finite_difference(x: &[f64], step: f64, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut point = x.to_vec();
    (0..x.len())
        .map(|i| {
            point[i] = x[i] + step;
            let above = f(&point);
            point[i] = x[i] - step;
            let below = f(&point);
            point[i] = x[i];
            (above - below) / (2.0 * step)
        })
        .collect()
}
