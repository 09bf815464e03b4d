use bytemuck::NoUninit;

use super::images::counted;
use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{
    self, AugmentBackend, AugmentInputs, Crop, Flip, ImageBatch, ImageSource, MAX_IMAGE_CHANNELS,
    Normalisation,
};
use crate::random::Key;

kernels! { nasrl_kernels::AUGMENT {
    AUGMENT: augment<f32, bf16, f16>(read u8, read u32, read u32, write T; Augment);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Augment {
    step: u64,
    key: [u32; 2],
    height: u32,
    width: u32,
    channels: u32,
    crop: u32,
    by: u32,
    cutout: u32,
    flip: u32,
    draw: u32,
    whitening: u32,
    batch: u32,
    mean: [f32; MAX_IMAGE_CHANNELS],
    scale: [f32; MAX_IMAGE_CHANNELS],
}

impl AugmentBackend for Cuda {
    fn augment(
        &self,
        batch: ImageBatch,
        augment: &ops::Augment,
        AugmentInputs { images, indices, clock }: AugmentInputs<'_, Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        let size = batch.height * batch.width * batch.channels;
        let dataset = match batch.source {
            ImageSource::Dataset => images.capacity(),
            ImageSource::Batch => batch.count * size,
        };
        let arguments = [
            images.read(dataset),
            indices.read(batch.count),
            self.clock(clock),
            y.write(batch.count * size),
        ];
        self.launch(&AUGMENT, Grid::blocks(batch.count), arguments, Augment::of(batch, augment)?)
    }
}

impl Augment {
    fn of(batch: ImageBatch, augment: &ops::Augment) -> Result<Self> {
        let count = |name, value| counted("augment", name, value);
        let (crop, by) = match augment.crop {
            Crop::None => (0, 0),
            Crop::Pad { by } => (1, by),
            Crop::Upsample { by } => (2, by),
        };
        let (mean, scale, whitening) = match augment.normalisation {
            Normalisation::Scale => ([0.0; 4], [1.0 / 255.0; 4], false),
            Normalisation::PerChannel { mean, deviation } => {
                (mean, deviation.map(|deviation| 1.0 / deviation), false)
            }
            Normalisation::Whitening => ([0.0; 4], [1.0; 4], true),
        };
        let (key, step) =
            augment.draw.map_or(([0; 2], 0), |ops::Draw { key: Key(key), step }| (key, step));
        // A larger square reaches as far, wherever its centre is.
        let cutout = augment.cutout.min(2 * batch.height.max(batch.width));
        Ok(Augment {
            step,
            key,
            height: count("height", batch.height)?,
            width: count("width", batch.width)?,
            channels: count("channels", batch.channels)?,
            crop,
            by: count("crop.by", by)?,
            cutout: count("cutout", cutout)?,
            flip: u32::from(augment.flip == Flip::Horizontal),
            draw: u32::from(augment.draw.is_some()),
            whitening: u32::from(whitening),
            batch: u32::from(batch.source == ImageSource::Batch),
            mean,
            scale,
        })
    }
}
