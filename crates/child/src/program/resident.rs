//! Passes over images that the device holds, for which the host does next to nothing.
//!
//! Everything that differs from one batch to the next is in the device's memory before the pass
//! begins: the order of the images and the sizes of the steps as tables, and a clock that says which
//! rows of them are meant. So a batch is the same work every time; it is recorded once, and as
//! sixteen batches in a row, and replayed.

use std::sync::Arc;

use nasrl_tensor::ops::{Selected, Selection, StepSizes};
use nasrl_tensor::{Backend, DType, Error, Result};

use super::ir::Mode;
use super::run::{Feed, Here};
use super::state::{LOSS_SUMS, TAKEN, bytes};
use super::{Program, Score};
use crate::TrainError;
use crate::data::Split;

/// What passes go by, in the device's memory.
pub(super) struct Tables<B: Backend> {
    /// u32 `[step, row]`: steps of the training, batches of the pass.
    clock: B::Buffer,
    /// The images of the present batch, and their labels.
    indices: B::Buffer,
    labels: B::Buffer,
    /// The images of the pass.
    order: B::Buffer,
    /// What [`StepSizes::Table`] is.
    sizes: B::Buffer,
}

/// A split that the device holds, and what was recorded of passes over it.
pub(super) struct Source<B: Backend> {
    /// Whose it is.
    split: u64,
    held: Arc<Held<B>>,
    training: Recorded<B>,
    inference: Recorded<B>,
}

/// The images of a split and their labels.
struct Held<B: Backend> {
    images: B::Buffer,
    labels: B::Buffer,
}

/// Batches that can be replayed.
struct Recorded<B: Backend> {
    /// Whether a batch was run, so that kernels and scratch are there.
    warm: bool,
    one: Option<B::Recording>,
    many: Option<B::Recording>,
}

/// A pass whose batches are asked for ahead of their scores.
pub(super) struct Ahead {
    mode: Mode,
    /// The place of its split among the program's sources.
    source: usize,
    images: usize,
    batches: usize,
    /// How many batches were asked for, and the sums of those whose loss was read.
    asked: usize,
    sums: Vec<[f32; LOSS_SUMS]>,
}

/// Batches of a long recording: enough to make what a launch costs the host and the device's pause
/// between launches small.
const MANY: usize = 16;

/// Batches that are asked for before their losses are read, at least.
const POLL: usize = 256;

impl<B: Backend> Program<B> {
    /// Brings everything to the device that a pass needs, if it can hold the split: `None` if
    /// batches come from the host, one after another.
    pub(super) fn begin(
        &mut self,
        split: &Split,
        order: &[u32],
        rates: Option<&[f64]>,
    ) -> Result<Option<Ahead>, TrainError> {
        let size = self.recipe.batch;
        let batches = rates.map_or(order.len().div_ceil(size), <[f64]>::len);
        let steps = self.state.steps;
        let counted = u32::try_from(steps + batches as u64).is_ok();
        // Blocks of a batch come from the host.
        if self.schedule.block < size || batches == 0 || !counted {
            return Ok(None);
        }
        let Some(source) = self.source(split)? else { return Ok(None) };
        self.make_room(order.len(), batches)?;
        let (tables, on) = (self.tables.as_mut().expect(TAKEN), &self.backend);
        on.write(order, &mut tables.order)?;
        if let Some(rates) = rates {
            let rule = self.recipe.optimizer.rule();
            let rates = (steps + 1..).zip(rates);
            let sizes: Vec<[f32; 2]> =
                rates.map(|(number, rate)| rule.sizes(*rate, number)).collect();
            on.write(sizes.as_flattened(), &mut tables.sizes)?;
        }
        // The first batch makes these the number of its step and 0.
        on.write(&[(steps as u32).wrapping_sub(1), u32::MAX], &mut tables.clock)?;
        let mode = if rates.is_some() { Mode::Training } else { Mode::Inference };
        let images = order.len().min(batches * size);
        Ok(Some(Ahead { mode, source, images, batches, asked: 0, sums: Vec::new() }))
    }

    /// The score of a batch, whose like are asked for if they were not yet.
    pub(super) fn score_of(
        &mut self,
        ahead: &mut Ahead,
        number: usize,
    ) -> Result<Score, TrainError> {
        if number >= ahead.sums.len() {
            let end = ahead.batches.min(ahead.asked + POLL);
            while ahead.asked < end {
                self.ask(ahead)?;
            }
            ahead.sums.resize(ahead.asked, [0.0; LOSS_SUMS]);
            let loss = self.groups[0].loss.as_ref().expect(TAKEN);
            self.backend.read(loss, ahead.sums.as_flattened_mut())?;
        }
        let [loss, correct] = ahead.sums[number];
        Ok(Score { loss, correct: correct as usize })
    }

    /// Asks for the next batch, or for many.
    fn ask(&mut self, ahead: &mut Ahead) -> Result<()> {
        let size = self.recipe.batch;
        let left = ahead.images - ahead.asked * size;
        let whole = left / size;
        let recorded = self.sources[ahead.source].recorded(ahead.mode);
        let batches = match whole {
            0 => {
                self.select_and_run(ahead, left)?;
                1
            }
            _ if !recorded.warm => {
                recorded.warm = true;
                self.select_and_run(ahead, size)?;
                1
            }
            MANY.. => {
                self.replay(ahead, MANY)?;
                MANY
            }
            _ => {
                self.replay(ahead, 1)?;
                1
            }
        };
        ahead.asked += batches;
        if ahead.mode == Mode::Training {
            self.state.steps += batches as u64;
        }
        Ok(())
    }

    /// Replays so many whole batches, which are recorded before the first time.
    fn replay(&mut self, ahead: &Ahead, batches: usize) -> Result<()> {
        let on = self.backend.clone();
        if self.sources[ahead.source].recorded(ahead.mode).of(batches).is_none() {
            let size = self.recipe.batch;
            let work = || (0..batches).try_for_each(|_| self.select_and_run(ahead, size));
            let recording = on.record(work)?;
            *self.sources[ahead.source].recorded(ahead.mode).of(batches) = recording;
        }
        match self.sources[ahead.source].recorded(ahead.mode).of(batches) {
            Some(recording) => on.replay(recording),
            // A device that has nothing to gain from a recording.
            None => (0..batches).try_for_each(|_| self.select_and_run(ahead, self.recipe.batch)),
        }
    }

    /// The next batch, of so many images, from the clock's advance to the step of the optimizer.
    fn select_and_run(&mut self, ahead: &Ahead, count: usize) -> Result<()> {
        let mut tables = self.tables.take().expect(TAKEN);
        let outcome = self.select_by(&mut tables, ahead, count);
        self.tables = Some(tables);
        outcome
    }

    fn select_by(&mut self, tables: &mut Tables<B>, ahead: &Ahead, count: usize) -> Result<()> {
        let Tables { clock, indices, labels, order, sizes } = tables;
        let held = Arc::clone(&self.sources[ahead.source].held);
        let (of_images, stride) = (&held.labels, self.recipe.batch);
        let selection = Selection { order, labels: of_images, stride, count };
        self.backend.select(&selection, Selected { clock, indices, labels })?;
        let here = Here { images: &held.images, indices, labels, clock, count };
        self.run(ahead.mode, &Feed::Device(here))?;
        match ahead.mode {
            Mode::Training => self.descend(StepSizes::Table { table: sizes, clock }),
            Mode::Inference => Ok(()),
        }
    }

    /// The place among the sources of a split; none if the device does not hold it.
    fn source(&mut self, split: &Split) -> Result<Option<usize>> {
        let on = &self.backend;
        let known = self.sources.iter().position(|source| source.split == split.id());
        if known.is_some() {
            return Ok(known);
        }
        let resident = match split.resident(on) {
            // Batches are smaller.
            Err(Error::OutOfMemory { .. }) => None,
            resident => resident?,
        };
        let Some([images, labels]) = resident else { return Ok(None) };
        self.sources.push(Source {
            split: split.id(),
            held: Arc::new(Held { images: on.attach(&images)?, labels: on.attach(&labels)? }),
            training: Recorded::default(),
            inference: Recorded::default(),
        });
        Ok(Some(self.sources.len() - 1))
    }

    /// Makes tables for a pass over so many images. What was recorded with smaller ones goes.
    fn make_room(&mut self, images: usize, rows: usize) -> Result<()> {
        let on = &self.backend;
        let has = |tables: &Tables<B>| {
            B::capacity(&tables.order) >= images && B::capacity(&tables.sizes) >= 2 * rows
        };
        if self.tables.as_ref().is_some_and(has) {
            return Ok(());
        }
        self.sources.iter_mut().for_each(Source::forget);
        self.tables = None;
        let batch = self.recipe.batch;
        let numbers = |count| on.zeros(DType::U32, count);
        self.groups[0].loss = Some(on.zeros(DType::F32, rows * LOSS_SUMS)?);
        self.tables = Some(Tables {
            clock: numbers(2)?,
            indices: numbers(batch)?,
            labels: numbers(batch)?,
            order: numbers(images)?,
            sizes: on.zeros(DType::F32, 2 * rows)?,
        });
        Ok(())
    }
}

impl<B: Backend> Tables<B> {
    pub(super) fn bytes(&self) -> usize {
        let Tables { clock, indices, labels, order, sizes } = self;
        [clock, indices, labels, order, sizes].map(bytes::<B>).iter().sum()
    }
}

impl<B: Backend> Source<B> {
    fn recorded(&mut self, mode: Mode) -> &mut Recorded<B> {
        match mode {
            Mode::Training => &mut self.training,
            Mode::Inference => &mut self.inference,
        }
    }

    fn forget(&mut self) {
        (self.training, self.inference) = (Recorded::default(), Recorded::default());
    }
}

impl<B: Backend> Recorded<B> {
    /// The recording of so many batches.
    fn of(&mut self, batches: usize) -> &mut Option<B::Recording> {
        if batches == MANY { &mut self.many } else { &mut self.one }
    }
}

impl<B: Backend> Default for Recorded<B> {
    fn default() -> Self {
        Recorded { warm: false, one: None, many: None }
    }
}
