//! A recipe's input pipeline, in the tensor crate's terms.

use nasrl_tensor::ops::{self, Augment, MAX_IMAGE_CHANNELS};

use crate::data::Split;
use crate::recipe::{Crop, Flip, Normalisation, Recipe};

impl Recipe {
    /// What happens to images before the network sees them, without random numbers; `train` are
    /// the training images, of which normalisation may need the statistics.
    pub fn input(&self, train: &Split) -> Augment {
        Augment {
            normalisation: match self.normalisation {
                Normalisation::Scale => ops::Normalisation::Scale,
                Normalisation::PerChannel => per_channel(train),
                Normalisation::Whitening => ops::Normalisation::Whitening,
            },
            crop: match self.augmentation.crop {
                Crop::None {} => ops::Crop::None,
                Crop::Pad { by } => ops::Crop::Pad { by },
                Crop::Upsample { by } => ops::Crop::Upsample { by },
            },
            flip: match self.augmentation.flip {
                Flip::None => ops::Flip::None,
                Flip::Horizontal => ops::Flip::Horizontal,
            },
            cutout: self.augmentation.cutout,
            draw: None,
        }
    }
}

/// Mean and standard deviation of each channel, from exact sums; a channel that is the same
/// everywhere is divided by 1. Channels beyond the fourth are left to the check of the images.
fn per_channel(images: &Split) -> ops::Normalisation {
    let channels = images.shape().channels;
    let mut sums = [[0u64; 2]; MAX_IMAGE_CHANNELS];
    for pixel in images.images().chunks_exact(channels) {
        for (sums, &x) in sums.iter_mut().zip(pixel) {
            let x = u64::from(x);
            sums[0] += x;
            sums[1] += x * x;
        }
    }
    let pixels = (images.images().len() / channels).max(1) as f64;
    let mean = sums.map(|[sum, _]| sum as f64 / pixels);
    let mut deviation = [1.0; MAX_IMAGE_CHANNELS];
    for ((deviation, mean), [_, squares]) in deviation.iter_mut().zip(mean).zip(sums) {
        let variance = squares as f64 / pixels - mean * mean;
        if variance > 0.0 {
            *deviation = variance.sqrt() as f32;
        }
    }
    ops::Normalisation::PerChannel { mean: mean.map(|mean| mean as f32), deviation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn statistics_are_those_of_each_channel() {
        let shape = ImageShape { height: 1, width: 2, channels: 3 };
        let pixels = vec![0, 7, 10, 4, 7, 20, 8, 7, 30, 4, 7, 20];
        let split = Split::new(shape, pixels, vec![0, 1]).unwrap();
        let recipe = Recipe { normalisation: Normalisation::PerChannel, ..Recipe::reference() };
        let expected = ops::Normalisation::PerChannel {
            mean: [4.0, 7.0, 20.0, 0.0],
            deviation: [8f64.sqrt() as f32, 1.0, 50f64.sqrt() as f32, 1.0],
        };
        assert_eq!(recipe.input(&split).normalisation, expected);
    }
}
