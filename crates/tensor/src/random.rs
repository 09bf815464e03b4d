//! Counter-based random numbers: the Philox block function, and a generator of its words behind
//! the traits of `rand_core`.
//!
//! A random word is a function of a [`Key`], which names a stream, and of a counter, which is a
//! place in it. An operation that draws a number for each of many elements puts the element's
//! index in the counter, so that every device and any cut of the work draws the same numbers; code
//! that draws one number after another uses [`Philox`], whose whole state is key and position.

use std::convert::Infallible;

use rand_core::{Rng, SeedableRng, TryRng};

/// The name of a stream of random numbers: the two words of the block function's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub [u32; 2]);

impl Key {
    /// The key for a purpose, such as `"dropout"`, in a trial of the run that has a seed.
    ///
    /// It is the first two words of `philox4x32(seed, [trial, fnv1a(purpose)])`, where each 64-bit
    /// number fills two words, the lower half first, and `fnv1a` is the 64-bit FNV-1a hash of the
    /// UTF-8 bytes. The block function permutes the counters of a seed, so that two different
    /// streams share a key with a chance of 2^-64: one in 10^7 that any two of the two million
    /// streams of a run of 100,000 trials do.
    pub const fn new(seed: u64, trial: u64, purpose: &str) -> Self {
        let ([trial_low, trial_high], [low, high]) = (halves(trial), halves(fnv1a(purpose)));
        let words = philox4x32(Key(halves(seed)), [trial_low, trial_high, low, high]);
        Key([words[0], words[1]])
    }
}

/// The Philox-4x32-10 block function: four random words for a key and a counter. J. K. Salmon
/// et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
#[inline]
pub const fn philox4x32(key: Key, counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key.0;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let mut round = 0;
    while round < 10 {
        let [low0, high0] = halves(c0 as u64 * 0xd251_1f53);
        let [low2, high2] = halves(c2 as u64 * 0xcd9e_8d57);
        [c0, c1, c2, c3] = [high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0];
        // The golden ratio and the square root of 3 less 1, as fractions of 2^32.
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// A random word as a number uniform in [0, 1): its upper 24 bits over 2^24, which is exact.
#[inline]
pub const fn uniform(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// A random word as a number uniform in `0..bound`: `word * bound / 2^32`, rounded down. A
/// number's probability is off from `1 / bound` by less than 2^-32, which is what an operation
/// accepts that has a fixed word for each element; [`Philox::below`] is exact.
#[inline]
pub const fn scaled(word: u32, bound: u32) -> u32 {
    halves(word as u64 * bound as u64)[1]
}

/// The words of a stream, one after another: those of the counters `[0, 0, 0, 0]`, `[1, 0, 0, 0]`,
/// ..., which count through the first two words.
///
/// ```
/// use nasrl_tensor::random::{Key, Philox};
///
/// let mut stream = Philox::new(Key::new(7, 0, "shuffle"));
/// let mut order = [0, 1, 2, 3, 4];
/// stream.shuffle(&mut order);
///
/// let mut resumed = Philox::new(stream.key());
/// resumed.seek(stream.position());
/// assert_eq!(resumed.uniform(), stream.uniform());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Philox {
    key: Key,
    position: u64,
    /// The block of the word before `position`, unless that is the end of a block.
    block: [u32; 4],
}

impl Philox {
    /// A stream from its start.
    pub const fn new(key: Key) -> Self {
        Philox { key, position: 0, block: [0; 4] }
    }

    /// The stream's key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// How many words were drawn.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Makes the word after the first `position` ones the next.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
        self.fill();
    }

    /// A number uniform in [0, 1), a multiple of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        uniform(self.next_u32())
    }

    /// A number uniform in `0..bound`, without bias: draws again in the few cases that would
    /// favour some. D. Lemire, "Fast random integer generation in an interval", 2019, section 4.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let unfair = bound.wrapping_neg() % bound;
        loop {
            let [low, high] = halves(u64::from(self.next_u32()) * u64::from(bound));
            if low >= unfair {
                return high;
            }
        }
    }

    /// Puts the items in an order that is uniform among all orders (Fisher and Yates).
    ///
    /// # Panics
    /// If there are 2^32 items or more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        let count = u32::try_from(items.len()).expect("fewer than 2^32 items");
        for last in (1..count).rev() {
            items.swap(last as usize, self.below(last + 1) as usize);
        }
    }

    fn fill(&mut self) {
        let [low, high] = halves(self.position / 4);
        self.block = philox4x32(self.key, [low, high, 0, 0]);
    }
}

impl TryRng for Philox {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let word = (self.position % 4) as usize;
        if word == 0 {
            self.fill();
        }
        self.position += 1;
        Ok(self.block[word])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        rand_core::utils::next_u64_via_u32(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        rand_core::utils::fill_bytes_via_next_word(bytes, || self.try_next_u32())
    }
}

/// The seed is the key's two words, little-endian.
impl SeedableRng for Philox {
    type Seed = [u8; 8];

    fn from_seed(seed: [u8; 8]) -> Self {
        Philox::new(Key(halves(u64::from_le_bytes(seed))))
    }
}

/// The lower and the upper word.
const fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// The 64-bit FNV-1a hash (G. Fowler, L. C. Noll, K.-P. Vo).
const fn fnv1a(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of the Random123 distribution, `philox4x32 10`.
    #[test]
    fn known_answers() {
        let answers = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, words) in answers {
            assert_eq!(philox4x32(Key(key), counter), words);
        }
    }

    /// Published test values of the hash: the empty string, "a" and "foobar".
    #[test]
    fn known_hashes() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn keys_differ_in_each_part() {
        let high = 1 << 32;
        let mut keys: Vec<_> = [0, 1, high]
            .into_iter()
            .flat_map(|seed| [0, 1, high].map(|trial| (seed, trial)))
            .flat_map(|(seed, trial)| ["", "a", "b"].map(|what| Key::new(seed, trial, what).0))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 27);
    }

    #[test]
    fn a_stream_is_its_blocks_from_any_position() {
        let key = Key::new(1, 2, "test");
        let words: Vec<u32> = (0..5).flat_map(|i| philox4x32(key, [i, 0, 0, 0])).collect();
        for start in 0..words.len() {
            let mut stream = Philox::new(key);
            stream.seek(start as u64);
            for word in &words[start..] {
                assert_eq!(stream.next_u32(), *word);
            }
            assert_eq!(stream.position(), words.len() as u64);
        }
        let mut stream = Philox::new(key);
        stream.seek(4 << 32);
        assert_eq!(stream.next_u32(), philox4x32(key, [0, 1, 0, 0])[0]);
    }

    #[test]
    fn longer_draws_are_words_in_order() {
        let mut words = Philox::new(Key([3, 4]));
        let [a, b, c, d] = std::array::from_fn(|_| words.next_u32());
        let mut seeded = Philox::from_seed([3, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(seeded.next_u64(), u64::from(b) << 32 | u64::from(a));
        let mut bytes = [0; 7];
        seeded.fill_bytes(&mut bytes);
        assert_eq!(bytes[..4], c.to_le_bytes());
        assert_eq!(bytes[4..], d.to_le_bytes()[..3]);
    }

    #[test]
    fn uniform_numbers_are_below_one() {
        assert_eq!(uniform(0xff), 0.0);
        assert_eq!(uniform(0x100), f32::EPSILON / 2.0);
        assert_eq!(uniform(u32::MAX), 1.0 - f32::EPSILON / 2.0);
        assert_eq!([scaled(0, 7), scaled(u32::MAX, 7), scaled(1 << 31, 7)], [0, 6, 3]);
    }

    /// Of 60,000 numbers below 6, each is drawn 10,000 times within 5 standard deviations; a bound
    /// above 2^31, half of whose products are rejected, is kept to.
    #[test]
    fn numbers_below_a_bound_are_uniform() {
        let mut stream = Philox::new(Key([5, 6]));
        let mut counts = [0; 6];
        (0..60_000).for_each(|_| counts[stream.below(6) as usize] += 1);
        assert!(counts.iter().all(|count: &i32| (count - 10_000).abs() < 457), "{counts:?}");
        let bound = (1 << 31) + 1;
        let before = stream.position();
        assert!((0..1000).all(|_| stream.below(bound) < bound));
        assert!((1800..2200).contains(&(stream.position() - before)));
        assert_eq!(stream.below(1), 0);
    }

    /// The 24 orders of 4 items in 24,000 shuffles: each 1,000 times within 5 deviations.
    #[test]
    fn shuffles_are_uniform() {
        let mut stream = Philox::new(Key([7, 8]));
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            stream.shuffle(&mut items);
            *counts.entry(items).or_insert(0i32) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| (count - 1000).abs() < 155), "{counts:?}");
        stream.shuffle::<u8>(&mut []);
    }
}
