//! A network's parameters as numbers.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use nasrl_space::{Graph, ParameterRole, ParameterSpec};
use nasrl_tensor::random::{Key, Philox};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::WeightsError;

/// All parameters of a network, running statistics included, in f32.
///
/// As a file they are safetensors: one tensor for each of [`Graph::parameter_specs`], under its
/// name and in its shape, which [`ParameterRole`] explains.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    specs: Vec<ParameterSpec>,
    values: Vec<Vec<f32>>,
}

impl Weights {
    /// Weights to start from: filters and dense weights uniform in plus or minus
    /// `sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, section 4.2.1), gammas and running
    /// variances 1, everything else 0.
    ///
    /// A fan is the number of numbers that an output is summed from, or that an input goes into,
    /// counting the taps of a filter. Each parameter has a stream of its own, named after it.
    pub fn initial(graph: &Graph, seed: u64, trial: u64) -> Self {
        let specs = graph.parameter_specs();
        let values = specs
            .iter()
            .map(|spec| {
                let count = spec.shape.iter().product();
                let Some(limit) = glorot_limit(spec) else {
                    let ones =
                        matches!(spec.role, ParameterRole::Gamma | ParameterRole::RunningVariance);
                    return vec![if ones { 1.0 } else { 0.0 }; count];
                };
                let purpose = format!("initial {}", spec.name);
                let mut stream = Philox::new(Key::new(seed, trial, &purpose));
                (0..count).map(|_| limit * (2.0 * stream.uniform() - 1.0)).collect()
            })
            .collect();
        Weights { specs, values }
    }

    /// Weights of these values, one list for each of [`Graph::parameter_specs`], of its length.
    pub(crate) fn from_values(specs: Vec<ParameterSpec>, values: Vec<Vec<f32>>) -> Self {
        Weights { specs, values }
    }

    /// Names and shapes, in the order of [`Graph::parameter_specs`].
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// The values of each parameter, in the same order.
    pub fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// The values of each parameter, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = (&ParameterSpec, &mut [f32])> {
        self.specs.iter().zip(self.values.iter_mut().map(Vec::as_mut_slice))
    }

    /// Whether they are values for these parameters.
    ///
    /// # Errors
    /// [`WeightsError::OtherGraph`] naming the first parameter that differs.
    pub(crate) fn check(&self, specs: &[ParameterSpec]) -> Result<(), WeightsError> {
        let longer = specs.len().max(self.specs.len());
        let differs = |&index: &usize| specs.get(index) != self.specs.get(index);
        match (0..longer).find(differs) {
            None => Ok(()),
            Some(index) => {
                let words = |spec: Option<&ParameterSpec>| match spec {
                    Some(spec) => format!("{} of {:?}", spec.name, spec.shape),
                    None => "nothing".to_string(),
                };
                let (found, expected) = (words(self.specs.get(index)), words(specs.get(index)));
                Err(WeightsError::OtherGraph { found, expected })
            }
        }
    }

    /// Writes a safetensors file, in place of what is there.
    ///
    /// # Errors
    /// [`WeightsError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        fs::write(path, self.to_safetensors())
            .map_err(|source| WeightsError::Io { path: path.into(), source })
    }

    /// The bytes of a safetensors file.
    pub fn to_safetensors(&self) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = self
            .values
            .iter()
            .map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let tensors = self.specs.iter().zip(&bytes).map(|(spec, bytes)| {
            let view = TensorView::new(Dtype::F32, spec.shape.clone(), bytes);
            (spec.name.as_str(), view.expect("as many values as the shape says"))
        });
        safetensors::serialize(tensors, None).expect("names and sizes are plain")
    }

    /// Reads the weights of a graph from a safetensors file.
    ///
    /// # Errors
    /// [`WeightsError`], unless the file holds the parameters of the graph and nothing else.
    pub fn load(path: &Path, graph: &Graph) -> Result<Self, WeightsError> {
        let bytes =
            fs::read(path).map_err(|source| WeightsError::Io { path: path.into(), source })?;
        Self::from_safetensors(&bytes, path, graph)
    }

    /// Takes the weights of a graph out of the bytes of a safetensors file; `path` is for errors.
    ///
    /// # Errors
    /// As [`Weights::load`].
    pub fn from_safetensors(
        bytes: &[u8],
        path: &Path,
        graph: &Graph,
    ) -> Result<Self, WeightsError> {
        let file = SafeTensors::deserialize(bytes).map_err(|reason| WeightsError::Format {
            path: path.into(),
            reason: reason.to_string(),
        })?;
        let mut tensors: HashMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        let specs = graph.parameter_specs();
        let mut values = Vec::new();
        for spec in &specs {
            let (name, path) = (&spec.name, path.into());
            let Some(tensor) = tensors.remove(name) else {
                return Err(WeightsError::Missing { path, name: name.clone() });
            };
            if tensor.dtype() != Dtype::F32 || tensor.shape() != spec.shape {
                return Err(WeightsError::Tensor {
                    path,
                    name: name.clone(),
                    found: format!("{:?} {:?}", tensor.dtype(), tensor.shape()),
                    expected: format!("F32 {:?}", spec.shape),
                });
            }
            let words = tensor.data().chunks_exact(4);
            values.push(
                words
                    .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                    .collect(),
            );
        }
        if let Some(name) = tensors.into_keys().min() {
            return Err(WeightsError::Unknown { path: path.into(), name });
        }
        Ok(Weights { specs, values })
    }
}

/// The limit of Glorot's uniform distribution for weights; `None` for other parameters.
fn glorot_limit(spec: &ParameterSpec) -> Option<f32> {
    let [fan_in, fan_out] = match (spec.role, &spec.shape[..]) {
        (ParameterRole::Filters, &[k, r, s, c]) => [r * s * c, r * s * k],
        (ParameterRole::DepthwiseFilters, &[_, r, s]) => [r * s, r * s],
        (ParameterRole::DenseWeight, &[rows, columns]) => [rows, columns],
        _ => return None,
    };
    Some((6.0 / (fan_in + fan_out) as f32).sqrt())
}
