use super::check;
use crate::random::{Key, philox4x32, scaled};
use crate::{DType, Error, Memory, Result, Tensor};

/// The most channels that an image has: colours and opacity.
pub const MAX_IMAGE_CHANNELS: usize = 4;

/// What happens to images between a dataset and a network, in this order: normalisation, crop,
/// flip, cutout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// How bytes become numbers.
    pub normalisation: Normalisation,
    /// What a piece of the image's own size is cut out of.
    pub crop: Crop,
    /// Mirroring.
    pub flip: Flip,
    /// The side of a square that is set to zero, around a pixel that is uniform over the image, as
    /// far as it lies inside (DeVries and Taylor 2017, arXiv 1708.04552); 0 for none.
    pub cutout: usize,
    /// Where the random numbers come from; `None` is evaluation: the middle piece, no flip, no
    /// cutout.
    pub draw: Option<Draw>,
}

/// How bytes become numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalisation {
    /// `x / 255`.
    Scale,
    /// `(x - mean[c]) / deviation[c]` for channel `c`, both in units of bytes; entries beyond an
    /// image's channels are not used.
    PerChannel {
        /// The dataset's mean of each channel.
        mean: [f32; MAX_IMAGE_CHANNELS],
        /// The dataset's standard deviation of each channel, above 0.
        deviation: [f32; MAX_IMAGE_CHANNELS],
    },
    /// `(x - mean) / max(deviation, 1 / sqrt(n))` with mean and standard deviation of all `n`
    /// bytes of the image, as TensorFlow's `per_image_standardization` has it.
    Whitening,
}

/// What a piece of the image's own size is cut out of, at a random place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// The image itself.
    None,
    /// The normalised image with `by` rows or columns of zeros on each side.
    Pad {
        /// Rows and columns of zeros.
        by: usize,
    },
    /// The image enlarged by `by` rows and columns by bilinear interpolation between the centres
    /// of pixels: row `i` of `h + by` lies at `(i + 1/2) h / (h + by) - 1/2` of the image's rows,
    /// which are continued by the outermost ones.
    Upsample {
        /// Rows and columns by which it is larger.
        by: usize,
    },
}

/// Mirroring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// Never.
    None,
    /// Left and right, with probability 1/2.
    Horizontal,
}

/// The random numbers of a step.
///
/// Those of an image are [`philox4x32`] words of the counter `[step, step >> 32, image, block]`
/// with the image's index in the dataset, so that they depend neither on the image's place in the
/// batch nor on how the batch is cut. Block 0: the piece's first row and column, each
/// [`scaled`] to the number of places, and the flip by the highest bit of the third word. Block 1:
/// row and column of the cutout's centre, scaled to the image's height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The stream.
    pub key: Key,
    /// Counts the steps, or the epochs.
    pub step: u64,
}

/// The geometry of a batch of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageBatch {
    /// How many images.
    pub count: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of a pixel, at most [`MAX_IMAGE_CHANNELS`].
    pub channels: usize,
    /// Where the images are.
    pub source: ImageSource,
}

/// Where the images of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageSource {
    /// In a dataset, at their indices.
    Dataset,
    /// By themselves in the order of the batch, for a dataset that the device does not hold: their
    /// indices only name them to the random numbers.
    Batch,
}

/// Images on a device.
#[derive(Debug)]
pub struct AugmentInputs<'a, T> {
    /// u8 NHWC, any number of images.
    pub images: &'a T,
    /// u32, below the number of images.
    pub indices: &'a T,
    /// u32 `[step, row]`, whose step is added to that of the draw.
    pub clock: Option<&'a T>,
}

/// The input pipeline on a device.
pub trait AugmentBackend: Memory {
    /// `y[i] = augment(images[indices[i]])` for `i < batch.count`, `y` of any float dtype, NHWC.
    /// With [`ImageSource::Batch`] it is `images[i]`.
    fn augment(
        &self,
        batch: ImageBatch,
        augment: &Augment,
        inputs: AugmentInputs<'_, Self::Buffer>,
        y: &mut Self::Buffer,
    ) -> Result<()>;
}

/// The images of a u8 dataset `[n, h, w, c]` that the u32 `indices` `[m]` name, normalised and
/// augmented: `[m, h, w, c]` in a float dtype.
///
/// # Errors
/// [`Error::DType`], [`Error::Shape`] or [`Error::Index`] for operands of other types or shapes or
/// an index that is no image; [`Error::Parameter`] for what [`Augment::check`] refuses.
pub fn augment<B: AugmentBackend>(
    images: &Tensor<B>,
    indices: &Tensor<B>,
    augment: &Augment,
    dtype: DType,
) -> Result<Tensor<B>> {
    check::dtype(OP, images, DType::U8, "u8 images")?;
    let &[dataset, height, width, channels] = images.shape().dims() else {
        return Err(Error::Shape { op: OP, shape: images.shape(), rule: "images are NHWC" });
    };
    check::rank(OP, indices, 1, "indices are a list")?;
    check::indices(OP, "index", indices, dataset)?;
    let (count, source) = (indices.shape().count(), ImageSource::Dataset);
    let batch = ImageBatch { count, height, width, channels, source };
    augment.check(batch)?;
    let shape = [batch.count, height, width, channels];
    let mut y = Tensor::zeros(images.backend(), dtype, shape)?;
    check::float(OP, &y)?;
    let (on, images, indices) = (images.backend(), images.buffer(), indices.buffer());
    let inputs = AugmentInputs { images, indices, clock: None };
    on.augment(batch, augment, inputs, y.buffer_mut()?)?;
    Ok(y)
}

const OP: &str = "augment";

impl Augment {
    /// Normalisation alone.
    pub fn normalise(normalisation: Normalisation) -> Self {
        Augment { normalisation, crop: Crop::None, flip: Flip::None, cutout: 0, draw: None }
    }

    /// Checks the parameters for images of this geometry.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is nothing in an image, it has more than
    /// [`MAX_IMAGE_CHANNELS`], a mean is not finite, a deviation not above 0, or an image would
    /// grow beyond 65,535 rows or columns.
    pub fn check(&self, batch: ImageBatch) -> Result<()> {
        const LARGEST: usize = u16::MAX as usize;
        let ImageBatch { height, width, channels, .. } = batch;
        let refuse =
            |name, value: String, rule| Err(Error::Parameter { op: OP, name, value, rule });
        if !(1..=MAX_IMAGE_CHANNELS).contains(&channels) {
            return refuse("the number of channels", channels.to_string(), "1 to 4");
        }
        let by = match self.crop {
            Crop::None => 0,
            Crop::Pad { by } | Crop::Upsample { by } => by,
        };
        for side in [height, width] {
            if !(1..=LARGEST).contains(&side) {
                return refuse("a side of the images", side.to_string(), "1 to 65535");
            }
            if by > (LARGEST - side) / 2 {
                let rule = "so small that twice it and a side of the image are at most 65535";
                return refuse("crop.by", by.to_string(), rule);
            }
        }
        if let Normalisation::PerChannel { mean, deviation } = self.normalisation {
            if let Some(mean) = mean[..channels].iter().find(|mean| !mean.is_finite()) {
                return refuse("mean", mean.to_string(), "finite");
            }
            let good = |deviation: &f32| *deviation > 0.0 && deviation.is_finite();
            if let Some(deviation) = deviation[..channels].iter().find(|value| !good(value)) {
                return refuse("deviation", deviation.to_string(), "above 0 and finite");
            }
        }
        Ok(())
    }

    /// Where things are in an image of the dataset.
    pub(crate) fn place(&self, batch: ImageBatch, image: u32) -> Placement {
        let ImageBatch { height, width, .. } = batch;
        let shifts = match self.crop {
            Crop::None => 0,
            Crop::Pad { by } => 2 * by,
            Crop::Upsample { by } => by,
        };
        let Some(Draw { key, step }) = self.draw else {
            let middle = shifts / 2;
            return Placement { row: middle, column: middle, mirrored: false, hole: [0..0, 0..0] };
        };
        let words = |block| philox4x32(key, [step as u32, (step >> 32) as u32, image, block]);
        let below = |word, bound: usize| scaled(word, bound as u32) as usize;
        let [row, column, flip, _] = words(0);
        let hole = if self.cutout > 0 {
            let [row, column, ..] = words(1);
            [(row, height), (column, width)].map(|(word, side)| {
                let first = below(word, side) as isize - (self.cutout / 2) as isize;
                let end = first.saturating_add_unsigned(self.cutout).clamp(0, side as isize);
                first.max(0) as usize..end as usize
            })
        } else {
            [0..0, 0..0]
        };
        Placement {
            row: below(row, shifts + 1),
            column: below(column, shifts + 1),
            mirrored: self.flip == Flip::Horizontal && flip >> 31 == 1,
            hole,
        }
    }
}

/// What was drawn for an image.
pub(crate) struct Placement {
    /// The first row of the piece in the padded or enlarged image.
    pub(crate) row: usize,
    /// Its first column.
    pub(crate) column: usize,
    /// Whether the piece is mirrored.
    pub(crate) mirrored: bool,
    /// Rows and columns of the piece that are set to zero.
    pub(crate) hole: [std::ops::Range<usize>; 2],
}
