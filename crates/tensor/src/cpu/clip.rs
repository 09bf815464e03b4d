use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::ClipBackend;

/// Elements whose squares are summed in one go.
const BLOCK: usize = 32 * 1024;

impl ClipBackend for Cpu {
    fn clip_global_norm(&self, most: f32, gradients: &mut [(usize, &mut Buffer)]) -> Result<()> {
        let mut squares = 0.0;
        for (len, gradient) in &*gradients {
            let gradient = &gradient.slice::<f32>()[..*len];
            let mut sum = 0.0;
            self.map_blocks(*len, BLOCK, |block| sum_of_squares(&gradient[block]), |s| sum += s);
            squares += sum;
        }
        let norm = squares.sqrt();
        if norm <= f64::from(most) || !norm.is_finite() {
            return Ok(());
        }
        let scale = (f64::from(most) / norm) as f32;
        for (len, gradient) in gradients {
            self.chunks(&mut gradient.slice_mut::<f32>()[..*len], 1, |_, gradient| {
                gradient.iter_mut().for_each(|g| *g *= scale);
            });
        }
        Ok(())
    }
}

/// `sum g^2` in f64, where no square of an f32 overflows or is lost.
fn sum_of_squares(gradient: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (whole, rest) = gradient.as_chunks::<LANES>();
    for gradient in whole {
        for (sum, g) in sums.iter_mut().zip(gradient) {
            *sum += f64::from(*g) * f64::from(*g);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>()
}
