//! A program before any of its memory is allocated.

use nasrl_space::Graph;
use nasrl_tensor::ops::{Conv2d, Conv2dMemory};
use nasrl_tensor::{Backend, DType};

use super::fold::Foldings;
use super::ir::{Folding, Mode};
use super::lower::{Lowerer, Lowering};
use super::parameters::{Parameter, ParameterId, Parameters};
use super::plan::{Plan, Pool, Slots};
use super::state::{LOSS_SUMS, NORM_ROWS};
use crate::TrainError;
use crate::recipe::{Precision, Recipe};
use crate::schedule::Schedule;

/// Everything about a program that follows from graph, recipe and schedule.
pub(super) struct Blueprint {
    pub(super) parameters: Parameters,
    /// The dtype of the images of the convolutions that the parameters are the filters of.
    pub(super) dtypes: Vec<Option<DType>>,
    /// The filters of the convolution that leaves their gradient in pieces.
    pub(super) left_in_pieces: Vec<Option<ParameterId>>,
    pub(super) schedule: Schedule,
    pub(super) training: Plan,
    pub(super) inference: Plan,
    /// The buffers that the plans share.
    pub(super) slots: Slots,
    /// Numbers of groups, and of blocks in a group.
    pub(super) groups: usize,
    pub(super) blocks: usize,
}

impl Blueprint {
    pub(super) fn new<B: Backend>(
        on: &B,
        graph: &Graph,
        recipe: &Recipe,
        lowering: Lowering,
        schedule: Schedule,
    ) -> Result<Self, TrainError> {
        recipe.validate()?;
        let schedule = schedule.for_batch(recipe.batch)?;
        let parameters = Parameters::of(graph);
        let dtype = match recipe.precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        let foldings = |parameter: &Parameter| {
            let geometry = parameter.convolution.as_ref()?;
            let device = on.conv2d_fusion(geometry, dtype)?;
            let parts = on.conv2d_memory(geometry, dtype, schedule.block).parts;
            let pixels = geometry.input.iter().product();
            let Conv2d { channels, filters, .. } = *geometry;
            Some(Folding { device, parts, pixels, channels, filters })
        };
        let foldings: Foldings = parameters.trained.iter().map(foldings).collect();
        let listing = |mode| Lowerer::new(graph, &parameters, lowering, mode, dtype).run(&foldings);
        let training = listing(Mode::Training);
        let ids = (0..parameters.trained.len()).map(ParameterId);
        let dtypes = ids.map(|id| training.convolution_dtype(id)).collect();
        let left_in_pieces = match schedule.has_single_blocks() {
            true => training.left_in_pieces(parameters.trained.len()),
            false => vec![None; parameters.trained.len()],
        };
        let mut slots = Slots::default();
        let training = Plan::new(training, schedule.block, &mut slots);
        let inference = Plan::new(listing(Mode::Inference), schedule.block, &mut slots);
        Ok(Blueprint {
            dtypes,
            left_in_pieces,
            training,
            inference,
            slots,
            groups: recipe.batch.div_ceil(schedule.group),
            blocks: schedule.group.div_ceil(schedule.block),
            parameters,
            schedule,
        })
    }

    /// The bytes that the program takes at its peak while a child is trained with it: its buffers,
    /// what the device keeps for convolutions, the images on their way from the dataset, and copies
    /// of the weights as they are read or written.
    pub(super) fn bytes<B: Backend>(&self, on: &B, graph: &Graph, recipe: &Recipe) -> usize {
        const F32: usize = size_of::<f32>();
        let Blueprint { parameters, slots, schedule, groups, blocks, .. } = self;
        let moments = recipe.optimizer.rule().state_buffers();
        let trained: usize = parameters.trained.iter().map(|parameter| parameter.len).sum();
        let channels: usize = parameters.norms.iter().map(|norm| norm.channels).sum();
        let state = F32 * ((1 + moments) * trained + NORM_ROWS * channels);
        let convolutions: Vec<Option<Conv2dMemory>> = self.convolutions(on).collect();
        let gradient = |(parameter, of): (&Parameter, &Option<ParameterId>)| {
            let memory = of.and_then(|filters| convolutions[filters.0]);
            let pieces = memory.map_or(1, |memory| memory.pieces);
            if parameter.norm.is_some() { 0 } else { pieces * parameter.len }
        };
        let gradients = parameters.trained.iter().zip(&self.left_in_pieces).map(gradient);
        let gradients = F32 * (gradients.sum::<usize>() + LOSS_SUMS);
        let convolutions = convolutions.iter().flatten();
        let plans: usize = convolutions.clone().map(|memory| memory.plan).sum();
        let scratch = convolutions.map(|memory| memory.scratch).max().unwrap_or(0);
        let images = schedule.block * graph.input_shape().elements();
        let thread = rooms(&slots.thread) + images;
        // Two copies while the first weights are loaded; one, of the trained weights, while the
        // threads have their scratch.
        let weights = F32 * (trained + 2 * channels);
        let beside = (2 * weights).max(weights + schedule.threads * scratch);
        state
            + plans
            + groups * (gradients + blocks * rooms(&slots.block))
            + schedule.threads * thread
            + beside
    }

    /// What each buffer of parameters that are filters takes.
    fn convolutions<B: Backend>(&self, on: &B) -> impl Iterator<Item = Option<Conv2dMemory>> {
        let memory = |(parameter, dtype): (&Parameter, &Option<DType>)| {
            let geometry = parameter.convolution.as_ref()?;
            Some(on.conv2d_memory(geometry, (*dtype)?, self.schedule.block))
        };
        self.parameters.trained.iter().zip(&self.dtypes).map(memory)
    }
}

fn rooms(pool: &Pool) -> usize {
    pool.buffers.iter().map(|room| room.elements * room.dtype.size()).sum()
}
