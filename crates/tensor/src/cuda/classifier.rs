use bytemuck::NoUninit;

use super::activation::function;
use super::images::counted;
use super::launch::Grid;
use super::module::{Kernel, kernels};
use super::{Buffer, Cuda};
use crate::ops::{
    Activation, Classifier, ClassifierBackend, ClassifierGradients, ClassifierInputs, Pooled, Sum,
};
use crate::{DType, Result};

kernels! { nasrl_kernels::CLASSIFIER {
    LOSS_ONE: classifier_loss_one<f32, bf16, f16>(
        read T, read f32, read f32, read f32, read u32, read u32, write f32, write u32, write f32;
        Head);
    LOSS_EIGHT: classifier_loss_eight<f32, bf16, f16>(
        read T, read f32, read f32, read f32, read u32, read u32, write f32, write u32, write f32;
        Head);
    GRADIENTS_ONE: classifier_gradients_one<f32, bf16, f16>(
        read T, read f32, read f32, read u32, read u32, write f32, write u32, write f32,
        write T, write f32, write f32; Head);
    GRADIENTS_EIGHT: classifier_gradients_eight<f32, bf16, f16>(
        read T, read f32, read f32, read u32, read u32, write f32, write u32, write f32,
        write T, write f32, write f32; Head);
    NORMALIZED_ONE: classifier_normalized_gradients_one<f32, bf16, f16>(
        read T, read f32, read f32, read f32, read u32, read u32, write f32, write u32, write f32,
        write T, write f32, write f32, write f32; Head);
    NORMALIZED_EIGHT: classifier_normalized_gradients_eight<f32, bf16, f16>(
        read T, read f32, read f32, read f32, read u32, read u32, write f32, write u32, write f32,
        write T, write f32, write f32, write f32; Head);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Head {
    images: u64,
    pixels: u32,
    channels: u32,
    classes: u32,
    images_a_round: u32,
    teams: u32,
    function: u32,
    add: u32,
    divisor: f32,
    store_words: u32,
    reserved: u32,
}

/// Pieces that keep the GPU busy where there is work for them; the workspace has room for them.
const MOST_PIECES: usize = 64;

/// Pieces that there are at least, if there are as many images.
const LEAST_PIECES: usize = 16;

/// Elements of its images that a piece is worth; it is also worth eight times its own size.
const ELEMENTS_OF_A_PIECE: usize = 32 * 1024;

/// Words of a store that leave room for several blocks on a multiprocessor.
const WORDS_OF_A_ROUND: usize = 8 * 1024;

/// Words of a store that every GPU with tensor cores for bf16 has room for in shared memory.
const MOST_WORDS: usize = 20 * 1024;

/// What a launch leaves out, as the kernels have it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Loss,
    Gradients,
    NormalizedGradients,
}

/// How a geometry is launched.
struct Plan {
    head: Head,
    grid: Grid,
    /// The workspace's words.
    workspace: usize,
    /// Whether channels come in eights.
    eights: bool,
}

impl ClassifierBackend for Cuda {
    fn fuses_classifier(&self) -> bool {
        true
    }

    fn classifier_pieces(&self, geometry: &Classifier) -> usize {
        pieces(geometry)
    }

    fn classifier(
        &self,
        geometry: &Classifier,
        inputs: &ClassifierInputs<'_, Buffer>,
        clock: Option<&Buffer>,
        sums: &mut Buffer,
    ) -> Result<()> {
        let plan = Plan::of("classifier", geometry, &inputs.pooled, Form::Loss)?;
        let Classifier { images, channels, classes, .. } = *geometry;
        let normalizer = match inputs.pooled {
            Pooled::Normalized { normalizer, .. } => normalizer.read(4 * channels),
            Pooled::Plain | Pooled::Relu => self.absent(DType::F32),
        };
        let mut workspace = self.scratch(DType::F32, plan.workspace)?;
        let arguments = [
            inputs.x.read(geometry.elements()),
            normalizer,
            inputs.weight.read(channels * classes),
            inputs.bias.read(classes),
            inputs.labels.read(images),
            self.clock(clock),
            workspace.write(plan.workspace),
            self.ticket(),
            sums.write(2),
        ];
        let kernel = plan.choose(&LOSS_ONE, &LOSS_EIGHT);
        self.launch(kernel, plan.grid, arguments, plan.head)
    }

    fn classifier_with_gradients(
        &self,
        geometry: &Classifier,
        inputs: &ClassifierInputs<'_, Buffer>,
        clock: Option<&Buffer>,
        sums: &mut Buffer,
        gradients: ClassifierGradients<&mut Buffer>,
    ) -> Result<()> {
        const OP: &str = "classifier_with_gradients";
        let Classifier { images, channels, classes, .. } = *geometry;
        let (elements, pieces) = (geometry.elements(), pieces(geometry));
        let form = match inputs.pooled {
            Pooled::Plain | Pooled::Relu => Form::Gradients,
            Pooled::Normalized { .. } => Form::NormalizedGradients,
        };
        let plan = Plan::of(OP, geometry, &inputs.pooled, form)?;
        let mut workspace = self.scratch(DType::F32, plan.workspace)?;
        let x = inputs.x.read(elements);
        let weight = inputs.weight.read(channels * classes);
        let bias = inputs.bias.read(classes);
        let labels = inputs.labels.read(images);
        let clock = self.clock(clock);
        let (workspace, ticket) = (workspace.write(plan.workspace), self.ticket());
        let sums = sums.write(2);
        let dx = gradients.dx.write(elements);
        let dweight = gradients.dweight.write(pieces * channels * classes);
        let dbias = gradients.dbias.write(pieces * classes);
        match (&inputs.pooled, gradients.norm_sums) {
            (Pooled::Normalized { normalizer, .. }, Some(norm_sums)) => {
                let normalizer = normalizer.read(4 * channels);
                let norm_sums = norm_sums.write(pieces * 2 * channels);
                let arguments = [
                    x, normalizer, weight, bias, labels, clock, workspace, ticket, sums, dx,
                    dweight, dbias, norm_sums,
                ];
                let kernel = plan.choose(&NORMALIZED_ONE, &NORMALIZED_EIGHT);
                self.launch(kernel, plan.grid, arguments, plan.head)
            }
            (Pooled::Plain | Pooled::Relu, None) => {
                let arguments =
                    [x, weight, bias, labels, clock, workspace, ticket, sums, dx, dweight, dbias];
                let kernel = plan.choose(&GRADIENTS_ONE, &GRADIENTS_EIGHT);
                self.launch(kernel, plan.grid, arguments, plan.head)
            }
            _ => unreachable!("there are sums for a normalizer, and only then"),
        }
    }
}

impl Plan {
    fn of(
        op: &'static str,
        geometry: &Classifier,
        pooled: &Pooled<'_, Buffer>,
        form: Form,
    ) -> Result<Self> {
        let Classifier { images, pixels, channels, classes, .. } = *geometry;
        counted(op, "the number of elements of an image", pixels.saturating_mul(channels))?;
        counted(op, "the number of weights", channels.saturating_mul(classes))?;
        let eights = channels.is_multiple_of(8);
        let columns = if eights { channels / 8 } else { channels };
        let activation = match pooled {
            Pooled::Plain => None,
            Pooled::Relu => Some(Activation::Relu),
            Pooled::Normalized { activation, .. } => *activation,
        };
        let masked = form == Form::Gradients && activation == Some(Activation::Relu);
        let mask_bytes = if masked { pixels * columns } else { 0 };
        let slopes = if form == Form::NormalizedGradients { 2 * channels } else { 0 };
        let words = |images: usize| {
            images * (channels + 4 + slopes + classes + 2)
                + (images * mask_bytes).div_ceil(size_of::<f32>())
        };
        let pieces = pieces(geometry);
        let images_a_round = (WORDS_OF_A_ROUND / words(1)).clamp(1, images.div_ceil(pieces).max(1));
        let store = words(images_a_round).next_multiple_of(4);
        let on_chip = store <= MOST_WORDS;
        let store_words = if on_chip { 0 } else { counted(op, "the size of an image", store)? };
        Ok(Plan {
            head: Head {
                images: images as u64,
                pixels: counted(op, "pixels", pixels)?,
                channels: counted(op, "channels", channels)?,
                classes: counted(op, "classes", classes)?,
                images_a_round: counted(op, "images", images_a_round)?,
                // At most 8 and at most one for each image.
                teams: 1 << images_a_round.ilog2().min(3),
                function: function(activation),
                add: u32::from(geometry.sum == Sum::Add),
                divisor: geometry.divisor,
                store_words,
                reserved: 0,
            },
            grid: Grid {
                shared: if on_chip { (size_of::<f32>() * store) as u32 } else { 0 },
                ..Grid::blocks(pieces)
            },
            workspace: 2 * MOST_PIECES + pieces * store_words as usize,
            eights,
        })
    }

    fn choose<const N: usize>(
        &self,
        one: &'static Kernel<N, Head>,
        eight: &'static Kernel<N, Head>,
    ) -> &'static Kernel<N, Head> {
        if self.eights { eight } else { one }
    }
}

/// How many pieces the images are divided into, at least 1.
fn pieces(geometry: &Classifier) -> usize {
    let own = geometry.channels * geometry.classes;
    let wanted = geometry.elements() / ELEMENTS_OF_A_PIECE.max(8 * own);
    geometry.images.clamp(1, wanted.clamp(LEAST_PIECES, MOST_PIECES))
}
