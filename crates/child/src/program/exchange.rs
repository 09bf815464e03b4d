//! Weights, gradients and what the optimizer remembers, on their way to a program and from it.

use nasrl_tensor::{Backend, Result};

use super::Program;
use super::parameters::Place;
use super::state::State;
use crate::TrainError;
use crate::weights::Weights;

impl<B: Backend> Program<B> {
    /// Takes new weights. What the optimizer remembers stays.
    ///
    /// # Errors
    /// [`TrainError::Weights`] if they are those of another network.
    pub fn load(&mut self, weights: &Weights) -> Result<(), TrainError> {
        let [trained, running] = self.buffers(weights)?;
        let State { parameters, norms, .. } = &mut self.state;
        for (parameter, values) in parameters.iter_mut().zip(&trained) {
            self.backend.write(values, &mut parameter.values)?;
            if let Some(plan) = &mut parameter.plan {
                self.backend.conv2d_load(plan, &parameter.values)?;
            }
        }
        for (norm, values) in norms.iter_mut().zip(&running) {
            self.backend.write(values, &mut norm.running)?;
        }
        Ok(())
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// Those of the device.
    pub fn weights(&self) -> Result<Weights, TrainError> {
        self.named(|place, values| match place {
            Place::Trained(id, _) => self.backend.read(&self.state.parameters[id.0].values, values),
            Place::Running(id, _) => self.backend.read(&self.state.norms[id.0].running, values),
        })
    }

    /// Takes what the optimizer is to remember, and after how many steps.
    pub(crate) fn load_memory(&mut self, steps: u64, memory: &[Weights]) -> Result<(), TrainError> {
        for (index, moments) in memory.iter().enumerate() {
            let [trained, _] = self.buffers(moments)?;
            for (parameter, values) in self.state.parameters.iter_mut().zip(&trained) {
                self.backend.write(values, &mut parameter.moments[index])?;
            }
        }
        self.state.steps = steps;
        Ok(())
    }

    /// What the optimizer remembers of each parameter; running statistics have zeros.
    pub(crate) fn memory(&self) -> Result<Vec<Weights>, TrainError> {
        let moments = self.recipe.optimizer.rule().state_buffers();
        let of = |index: usize| {
            self.named(|place, values| match place {
                Place::Trained(id, _) => {
                    self.backend.read(&self.state.parameters[id.0].moments[index], values)
                }
                Place::Running(..) => Ok(()),
            })
        };
        (0..moments).map(of).collect()
    }

    /// The gradients of the last [`Program::backpropagate`] under the names of the parameters;
    /// running statistics have zeros.
    ///
    /// # Errors
    /// Those of the device.
    pub fn gradients(&self) -> Result<Weights, TrainError> {
        self.named(|place, values| {
            let Place::Trained(id, _) = place else { return Ok(()) };
            let parameter = &self.state.parameters[id.0];
            for part in self.gradients_of_batch().of(id.0, parameter) {
                let mut pieces = vec![0.0; part.count * parameter.len];
                self.backend.read(part.buffer, &mut pieces)?;
                for piece in pieces.chunks(parameter.len) {
                    values.iter_mut().zip(piece).for_each(|(sum, part)| *sum += part);
                }
            }
            Ok(())
        })
    }

    /// The values of every buffer of parameters and of every buffer of running statistics.
    fn buffers(&self, weights: &Weights) -> Result<[Vec<Vec<f32>>; 2], TrainError> {
        weights.check(&self.specs)?;
        let mut trained = vec![Vec::new(); self.state.parameters.len()];
        let mut running = vec![Vec::new(); self.state.norms.len()];
        for (place, values) in self.places.iter().zip(weights.values()) {
            match *place {
                Place::Trained(id, _) => trained[id.0].extend(values),
                Place::Running(id, _) => running[id.0].extend(values),
            }
        }
        Ok([trained, running])
    }

    /// Values for every parameter of the graph, out of the buffers that hold them: `read` fills
    /// the beginning of a buffer up to the end of the parameter.
    fn named(&self, read: impl Fn(Place, &mut [f32]) -> Result<()>) -> Result<Weights, TrainError> {
        let mut values = Vec::new();
        for (spec, place) in self.specs.iter().zip(&self.places) {
            let (Place::Trained(_, first) | Place::Running(_, first)) = *place;
            let len: usize = spec.shape.iter().product();
            let mut buffer = vec![0.0; first + len];
            read(*place, &mut buffer)?;
            values.push(buffer.split_off(first));
        }
        Ok(Weights::from_values(self.specs.clone(), values))
    }
}
