use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::ClipBackend;

/// Squares that are added up in f32 before they join the sum in f64.
const CHUNK: usize = 16;

impl ClipBackend for Cpu {
    fn clip(&self, most: f32, gradients: &mut [Buffer]) -> Result<()> {
        let mut squares = 0.0f64;
        for gradient in gradients.iter() {
            for chunk in gradient.slice::<f32>().chunks(CHUNK) {
                squares += f64::from(chunk.iter().map(|g| g * g).sum::<f32>());
            }
        }
        let norm = squares.sqrt() as f32;
        if norm > most {
            for gradient in gradients {
                gradient.slice_mut::<f32>().iter_mut().for_each(|g| *g *= most / norm);
            }
        }
        Ok(())
    }
}
