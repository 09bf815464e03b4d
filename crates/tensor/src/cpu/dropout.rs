use super::{Buffer, Cpu, with_float};
use crate::ops::{Dropout, DropoutBackend};
use crate::random::philox4x32;
use crate::{Float, Result};

/// Random words that are made at a time: a kilobyte.
const WORDS: usize = 256;

impl DropoutBackend for Cpu {
    fn dropout(
        &self,
        dropout: &Dropout,
        clock: Option<&Buffer>,
        len: usize,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let later = u64::from(clock.map_or(0, |clock| clock.slice::<u32>()[0]));
        let dropout = &Dropout { step: dropout.step.wrapping_add(later), ..*dropout };
        let (threshold, scale) = (dropout.threshold(), dropout.scale());
        with_float!("dropout", x, T => {
            let x = &x.slice::<T>()[..len];
            self.chunks(&mut y.slice_mut::<T>()[..len], 1, |first, y| {
                let mut x = &x[first..][..y.len()];
                let mut y = y;
                let mut place = dropout.offset.wrapping_add(first as u64);
                let mut words = [0; WORDS];
                while !y.is_empty() {
                    let skipped = (place % 4) as usize;
                    fill(dropout, place / 4, &mut words);
                    let count = (WORDS - skipped).min(y.len());
                    let (these, rest) = y.split_at_mut(count);
                    keep(&words[skipped..], threshold, scale, &x[..count], these);
                    (x, y) = (&x[count..], rest);
                    place = place.wrapping_add(count as u64);
                }
            });
        });
        Ok(())
    }
}

/// The words of the counters from `first` on.
fn fill(dropout: &Dropout, first: u64, words: &mut [u32; WORDS]) {
    let step = [dropout.step as u32, (dropout.step >> 32) as u32];
    for (index, words) in (first..).zip(words.chunks_exact_mut(4)) {
        let counter = [index as u32, (index >> 32) as u32, step[0], step[1]];
        words.copy_from_slice(&philox4x32(dropout.key, counter));
    }
}

fn keep<T: Float>(words: &[u32], threshold: u32, scale: f32, x: &[T], y: &mut [T]) {
    for ((y, x), word) in y.iter_mut().zip(x).zip(words) {
        let scaled = x.to_f32() * scale;
        *y = T::from_f32(if *word < threshold { 0.0 } else { scaled });
    }
}
