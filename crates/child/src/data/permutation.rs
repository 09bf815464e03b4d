//! The fixed permutation that divides datasets.
//!
//! It is part of what a dataset *is*: results are comparable only while the same images are held
//! out. So it stands on its own, apart from the random numbers that training draws.

/// A permutation of `0..len` that depends on `len` and `key` alone: Fisher-Yates from the end,
/// where position `i` swaps with `floor(r * (i + 1) / 2^64)` for the next SplitMix64 output `r`.
pub(super) fn permutation(len: usize, key: u64) -> Vec<usize> {
    let mut random = SplitMix64 { state: key };
    let mut order: Vec<usize> = (0..len).collect();
    for i in (1..len).rev() {
        let j = (u128::from(random.next()) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
    order
}

/// The generator of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators"
/// (OOPSLA 2014), figure 17.
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outputs of Vigna's C version (prng.di.unimi.it/splitmix64.c) for this seed.
    #[test]
    fn generator_is_splitmix64() {
        let mut random = SplitMix64 { state: 1_234_567 };
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(expected.map(|_| random.next()), expected);
    }

    #[test]
    fn permutation_holds_every_index_once() {
        for len in [0, 1, 2, 7, 1000] {
            let mut order = permutation(len, 9);
            assert_eq!(order, permutation(len, 9));
            order.sort_unstable();
            assert!(order.into_iter().eq(0..len));
        }
    }

    /// Every position takes every value about equally often: 24 orders of 4, 24,000 keys, and
    /// a standard deviation of 31 around 1,000 each.
    #[test]
    fn orders_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        (0..24_000).for_each(|key| *counts.entry(permutation(4, key * 77)).or_insert(0) += 1);
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| (845..=1155).contains(count)), "{counts:?}");
    }
}
