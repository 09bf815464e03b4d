//! The buffers of a program: what it learns, what its threads keep, what a group of images adds up.

use std::mem;

use nasrl_space::{Graph, Node};
use nasrl_tensor::ops::{self, Augment, Draw};
use nasrl_tensor::random::Key;
use nasrl_tensor::{Backend, DType, Result};

use super::ir::{LeftBy, Mode, Reduction, Statistic};
use super::lists::{Operands, Statistics, emptied};
use super::parameters::{self, NormId, Parameter, ParameterId};
use super::plan::{Pool, Slots};
use crate::recipe;

/// Elements of a group's loss: the sum of the images' losses and the number of correct answers.
pub(super) const LOSS_SUMS: usize = 2;

/// Values for each channel of a normalisation: running statistics, normalizer, coefficients,
/// gradients.
pub(super) const NORM_ROWS: usize = 2 + 4 + 4 + 2;

/// Why a buffer is always in its place.
pub(super) const TAKEN: &str = "a buffer is out of its place while its own step runs only";

/// What all threads read during a stage, and what is written between stages.
pub(super) struct State<B: Backend> {
    pub(super) parameters: Vec<Trained<B>>,
    pub(super) norms: Vec<Norm<B>>,
    pub(super) streams: Streams,
    /// What becomes of images in inference.
    pub(super) input: Augment,
    /// How many steps were taken.
    pub(super) steps: u64,
    pub(super) statistics: Statistics<B>,
}

/// The keys of the random numbers that training draws.
pub(super) struct Streams {
    pub(super) augmentation: Key,
    /// For each node of the graph; those that drop elements use theirs.
    pub(super) dropout: Vec<Key>,
}

/// A buffer of parameters.
pub(super) struct Trained<B: Backend> {
    pub(super) len: usize,
    /// The batch normalisation that computes their gradient; the groups add up that of others.
    pub(super) norm: Option<NormId>,
    pub(super) values: B::Buffer,
    /// What the optimizer remembers.
    pub(super) moments: Vec<B::Buffer>,
    /// The convolution that they are the filters of.
    pub(super) plan: Option<B::Conv2dPlan>,
    /// In how many pieces the gradient over 1, 2 and more images is left; nothing for one piece.
    pub(super) pieces: Vec<usize>,
}

/// A batch normalisation.
pub(super) struct Norm<B: Backend> {
    pub(super) constants: ops::BatchNorm,
    pub(super) pixels: usize,
    pub(super) parameters: ParameterId,
    pub(super) running: B::Buffer,
    pub(super) normalizer: B::Buffer,
    pub(super) coefficients: B::Buffer,
    pub(super) gradients: B::Buffer,
}

/// What a thread keeps while it runs a stage.
pub(super) struct Worker<B: Backend> {
    pub(super) buffers: Vec<Option<B::Buffer>>,
    /// Images and labels on their way from the dataset.
    pub(super) bytes: Vec<u8>,
    pub(super) labels: Vec<u32>,
    pub(super) operands: Operands<B>,
}

/// A number of consecutive images of a batch, whose gradients are added up in order.
pub(super) struct Group<B: Backend> {
    /// For each buffer of parameters, in pieces; none where the gradient comes from a reduction.
    pub(super) gradients: Vec<Option<B::Buffer>>,
    pub(super) loss: Option<B::Buffer>,
    /// The buffers of each block.
    pub(super) blocks: Vec<Vec<Option<B::Buffer>>>,
}

impl<B: Backend> State<B> {
    /// Makes a statistic of a normalisation, out of the values of a batch's blocks, each with its
    /// number of images.
    pub(super) fn reduce<'a>(
        &mut self,
        on: &B,
        reduction: &Reduction,
        blocks: impl Iterator<Item = (&'a B::Buffer, usize)>,
    ) -> Result<()> {
        let norm = &mut self.norms[reduction.norm.0];
        let of_convolution = |filters: ParameterId, images| {
            let plan = self.parameters[filters.0].plan.as_ref();
            let parts = plan.map(|plan| on.conv2d_parts(plan, images));
            parts.map_or(1, |parts| match reduction.statistic {
                Statistic::Normalizer => parts.moments,
                Statistic::Coefficients => parts.sums,
            })
        };
        let mut images_of_batch = 0;
        let mut parts = emptied(mem::take(&mut self.statistics));
        parts.extend(blocks.map(|(buffer, images)| {
            images_of_batch += images;
            let count = match reduction.parts_of {
                Some(LeftBy::Convolution(filters)) => of_convolution(filters, images),
                Some(LeftBy::Head(head)) => on.classifier_pieces(&head.of(images)),
                None => 1,
            };
            ops::Parts { count, buffer }
        }));
        let parameters = &self.parameters[norm.parameters.0].values;
        norm.combine(on, reduction.statistic, (&parts, images_of_batch), parameters)?;
        self.statistics = emptied(parts);
        Ok(())
    }

    /// Normalises by the running statistics from now on.
    pub(super) fn use_running(&mut self, on: &B) -> Result<()> {
        for norm in &mut self.norms {
            let parameters = &self.parameters[norm.parameters.0].values;
            let Norm { constants, running, normalizer, .. } = norm;
            on.batch_norm_running_normalizer(constants, parameters, running, normalizer)?;
        }
        Ok(())
    }

    /// What becomes of images in a step, which evaluation has none of.
    pub(super) fn augment(&self, mode: Mode, step: u64) -> Augment {
        let draw = match mode {
            Mode::Training => Some(Draw { key: self.streams.augmentation, step }),
            Mode::Inference => None,
        };
        Augment { draw, ..self.input }
    }

    pub(super) fn bytes(&self) -> usize {
        let trained = |trained: &Trained<B>| {
            let all = trained.moments.iter().chain([&trained.values]);
            all.map(bytes::<B>).sum::<usize>()
        };
        let norm = |norm: &Norm<B>| {
            let Norm { running, normalizer, coefficients, gradients, .. } = norm;
            [running, normalizer, coefficients, gradients].map(bytes::<B>).iter().sum::<usize>()
        };
        self.parameters.iter().map(trained).chain(self.norms.iter().map(norm)).sum()
    }

    /// The convolution that parameters are the filters of.
    pub(super) fn plan(&self, filters: ParameterId) -> &B::Conv2dPlan {
        let plan = self.parameters[filters.0].plan.as_ref();
        plan.expect("steps of convolutions name the parameters that are filters")
    }
}

impl Streams {
    /// Those of a trial.
    pub(super) fn new(graph: &Graph, seed: u64, trial: u64) -> Self {
        let dropout = |node: &Node| Key::new(seed, trial, &format!("dropout {}", node.name));
        Streams {
            augmentation: Key::new(seed, trial, "augmentation"),
            dropout: graph.nodes().iter().map(dropout).collect(),
        }
    }
}

impl<B: Backend> Trained<B> {
    /// Zeros, with `moments` buffers for the optimizer; `dtype` is that of the images of the
    /// convolution, if they are the filters of one.
    pub(super) fn new(
        on: &B,
        parameter: &Parameter,
        dtype: Option<DType>,
        moments: usize,
    ) -> Result<Self> {
        let plan = parameter.convolution.as_ref().zip(dtype);
        let zeros = || on.zeros(DType::F32, parameter.len);
        Ok(Trained {
            len: parameter.len,
            norm: parameter.norm,
            values: zeros()?,
            moments: (0..moments).map(|_| zeros()).collect::<Result<_>>()?,
            plan: plan.map(|(geometry, dtype)| on.conv2d_plan(geometry, dtype)).transpose()?,
            pieces: Vec::new(),
        })
    }

    /// In how many pieces a convolution leaves the gradients of its filters, and of its bias, for
    /// each number of images up to `most`.
    pub(super) fn pieces(&self, on: &B, most: usize) -> Vec<usize> {
        let of = |plan| (1..=most).map(|images| on.conv2d_gradient_pieces(plan, images)).collect();
        self.plan.as_ref().map_or(Vec::new(), of)
    }

    /// How many numbers the groups have for the gradient: none if it comes from a reduction.
    pub(super) fn gradient_len(&self) -> Option<usize> {
        let pieces = self.pieces.iter().copied().max().unwrap_or(1);
        self.norm.is_none().then_some(self.len * pieces)
    }

    /// In how many pieces a group leaves the gradient over so many images.
    pub(super) fn pieces_of(&self, images: usize) -> usize {
        self.pieces.get(images - 1).copied().unwrap_or(1)
    }
}

impl<B: Backend> Norm<B> {
    /// Statistics and parameters that are zero.
    pub(super) fn new(
        on: &B,
        norm: &parameters::Norm,
        constants: &recipe::BatchNorm,
    ) -> Result<Self> {
        let parameters::Norm { channels, pixels, parameters } = *norm;
        let zeros = |rows: usize| on.zeros(DType::F32, rows * channels);
        let constants = ops::BatchNorm {
            channels,
            epsilon: constants.epsilon as f32,
            momentum: constants.momentum as f32,
            activation: None,
        };
        Ok(Norm {
            constants,
            pixels,
            parameters,
            running: zeros(2)?,
            normalizer: zeros(4)?,
            coefficients: zeros(4)?,
            gradients: zeros(2)?,
        })
    }

    fn combine(
        &mut self,
        on: &B,
        statistic: Statistic,
        (parts, images): (&[ops::Parts<'_, B>], usize),
        parameters: &B::Buffer,
    ) -> Result<()> {
        let Norm { constants, pixels, running, normalizer, coefficients, gradients, .. } = self;
        match statistic {
            Statistic::Normalizer => {
                on.batch_norm_normalizer(constants, parts, parameters, running, normalizer)
            }
            Statistic::Coefficients => {
                let rows = ops::Rows { count: images * *pixels, channels: constants.channels };
                on.batch_norm_coefficients(rows, parts, normalizer, gradients, coefficients)
            }
        }
    }
}

impl<B: Backend> Worker<B> {
    /// For blocks of so many images of so many bytes.
    pub(super) fn new(
        on: &B,
        slots: &Slots,
        (images, image): (usize, usize),
        operands: Operands<B>,
    ) -> Result<Self> {
        Ok(Worker {
            buffers: buffers(on, &slots.thread)?,
            bytes: Vec::with_capacity(images * image),
            labels: Vec::with_capacity(images),
            operands,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.buffers.iter().flatten().map(bytes::<B>).sum()
    }
}

impl<B: Backend> Group<B> {
    /// A group with gradients of these lengths and so many blocks.
    pub(super) fn new(
        on: &B,
        gradients: &[Option<usize>],
        (slots, blocks): (&Slots, usize),
    ) -> Result<Self> {
        let gradient = |len: &Option<usize>| len.map(|len| on.zeros(DType::F32, len)).transpose();
        Ok(Group {
            gradients: gradients.iter().map(gradient).collect::<Result<_>>()?,
            loss: Some(on.zeros(DType::F32, LOSS_SUMS)?),
            blocks: (0..blocks).map(|_| buffers(on, &slots.block)).collect::<Result<_>>()?,
        })
    }

    /// A buffer of a block.
    pub(super) fn block(&self, block: usize, slot: usize) -> &B::Buffer {
        self.blocks[block][slot].as_ref().expect(TAKEN)
    }

    pub(super) fn bytes(&self) -> usize {
        self.gradients.iter().chain(self.blocks.iter().flatten()).flatten().map(bytes::<B>).sum()
    }
}

fn buffers<B: Backend>(on: &B, pool: &Pool) -> Result<Vec<Option<B::Buffer>>> {
    pool.buffers.iter().map(|room| on.zeros(room.dtype, room.elements).map(Some)).collect()
}

pub(super) fn bytes<B: Backend>(buffer: &B::Buffer) -> usize {
    B::capacity(buffer) * B::dtype(buffer).size()
}
