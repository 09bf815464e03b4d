//! A batch on its way through a program: its stages, its gradients, and the step of the optimizer.

use nasrl_tensor::ops::{GradientPieces, StepSizes};
use nasrl_tensor::{Backend, Result};

use super::ir::Mode;
use super::run::{Feed, Run};
use super::state::{Group, LOSS_SUMS, Norm, State, Trained};
use super::{Program, Score};
use crate::schedule::{Block, Schedule};

impl<B: Backend> Program<B> {
    /// Runs all stages for a batch.
    pub(super) fn run(&mut self, mode: Mode, feed: &Feed<'_, B>) -> Result<()> {
        if mode == Mode::Training && !self.rehearsed {
            self.rehearse(feed)?;
        }
        let plan = match mode {
            Mode::Training => &self.training,
            Mode::Inference => &self.inference,
        };
        let (on, schedule, images) = (&self.backend, self.schedule, feed.images());
        assert!((1..=self.recipe.batch).contains(&images), "a batch of {images} images");
        let used = images.div_ceil(schedule.group);
        for stage in &plan.stages {
            let state = &self.state;
            let groups = &mut self.groups[..used];
            self.team.for_each(&mut self.workers, groups, |worker, number, group| {
                schedule.blocks(images, number).try_for_each(|block| {
                    let single = schedule.has_single_blocks();
                    let mut run =
                        Run { backend: on, plan, state, feed, worker, group, block, single };
                    run.steps(stage.steps.clone())
                })
            })?;
            for reduction in &stage.reductions {
                let slot = plan.block_slot(reduction.value);
                let blocks = self.groups[..used].iter().enumerate().flat_map(|(number, group)| {
                    let sized = move |block: Block| (group.block(block.index, slot), block.len());
                    schedule.blocks(images, number).map(sized)
                });
                self.state.reduce(on, reduction, blocks)?;
            }
        }
        if mode == Mode::Training {
            self.images = images;
        }
        Ok(())
    }

    /// Has every thread take a block through all stages, so that it keeps what its part of a step
    /// takes: one that comes late would otherwise ask for it much later. What that computes, the
    /// step computes anew.
    fn rehearse(&mut self, feed: &Feed<'_, B>) -> Result<()> {
        let (on, plan, state, schedule) =
            (&self.backend, &self.training, &self.state, self.schedule);
        let (group, single) = (&mut self.groups[0], schedule.has_single_blocks());
        // A thread that is alone does so in its first step.
        if schedule.threads > 1 {
            self.team.in_turn(&mut self.workers, |worker| {
                schedule.blocks(feed.images(), 0).take(1).try_for_each(|block| {
                    let group = &mut *group;
                    let mut run =
                        Run { backend: on, plan, state, feed, worker, group, block, single };
                    plan.stages.iter().try_for_each(|stage| run.steps(stage.steps.clone()))
                })
            })?;
        }
        self.rehearsed = true;
        Ok(())
    }

    /// Takes a step of the optimizer against the gradients.
    pub(super) fn descend(&mut self, sizes: StepSizes<'_, B>) -> Result<()> {
        let State { parameters, norms, .. } = &mut self.state;
        let (step, schedule, images) = (self.recipe.step(sizes), self.schedule, self.images);
        let (on, groups) = (&self.backend, &self.groups);
        let gradients = Gradients { groups, norms, schedule, images };
        match &mut self.workers[..] {
            // A thread that is alone has all parameters, so that a device can change them at once.
            [worker] => worker.operands.descend(on, &step, &gradients, (0, parameters)),
            workers => self.team.for_each(workers, parameters, |worker, index, parameter| {
                let parameters = (index, std::slice::from_mut(parameter));
                worker.operands.descend(on, &step, &gradients, parameters)
            }),
        }
    }

    /// The loss and the correct answers of a batch of so many images.
    pub(super) fn score(&self, images: usize) -> Result<Score> {
        let used = images.div_ceil(self.schedule.group);
        let mut score = Score { loss: 0.0, correct: 0 };
        for loss in self.groups[..used].iter().filter_map(|group| group.loss.as_ref()) {
            let mut sums = [0.0f32; LOSS_SUMS];
            self.backend.read(loss, &mut sums)?;
            score.loss += sums[0];
            score.correct += sums[1] as usize;
        }
        Ok(score)
    }

    /// The gradients of the last batch that had any.
    pub(super) fn gradients_of_batch(&self) -> Gradients<'_, B> {
        let Program { groups, state, schedule, images, .. } = self;
        let (norms, schedule, images) = (&state.norms, *schedule, *images);
        Gradients { groups, norms, schedule, images }
    }
}

/// Where the gradients of a batch are.
pub(super) struct Gradients<'a, B: Backend> {
    groups: &'a [Group<B>],
    norms: &'a [Norm<B>],
    schedule: Schedule,
    /// How many images the batch had.
    images: usize,
}

impl<'a, B: Backend> Gradients<'a, B> {
    /// The parts of the gradient of the parameters of a buffer, in order.
    pub(super) fn of(
        &self,
        buffer: usize,
        parameter: &Trained<B>,
    ) -> impl Iterator<Item = GradientPieces<'a, B::Buffer>> {
        let used = self.images.div_ceil(self.schedule.group);
        let groups = self.groups[..used].iter().enumerate().filter_map(move |(number, group)| {
            let images = self.schedule.blocks(self.images, number).next()?.len();
            let count = parameter.pieces_of(images);
            Some(GradientPieces { buffer: group.gradients[buffer].as_ref()?, count })
        });
        let norm = parameter.norm.map(|norm| &self.norms[norm.0].gradients);
        groups.chain(norm.map(|buffer| GradientPieces { buffer, count: 1 }))
    }
}
