//! Weights as files.

use std::collections::HashMap;
use std::path::Path;

use nasrl_child::{Weights, WeightsError};
use nasrl_space::{Graph, Image, ParameterRole, Space};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Type, shape and bytes by name.
type Tensors = HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn graph() -> Graph {
    let space = Space::reference().with_batch_norm().unwrap();
    let image = Image { height: 8, width: 8, channels: 3 };
    space.build(&space.parse("3,16,1,32,3,16,1,16").unwrap(), image, 7).unwrap()
}

fn read(bytes: &[u8]) -> Result<Weights, WeightsError> {
    Weights::from_safetensors(bytes, Path::new("w.safetensors"), &graph())
}

/// A file like that of the graph but for what `change` does to its tensors.
fn changed(change: impl FnOnce(&mut Tensors)) -> Vec<u8> {
    let bytes = Weights::initial(&graph(), 1, 2).to_safetensors();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn bytes_give_the_weights_back() {
    let weights = Weights::initial(&graph(), 1, 2);
    assert_eq!(read(&weights.to_safetensors()).unwrap(), weights);
    assert_eq!(read(&changed(|_| {})).unwrap(), weights);
}

#[test]
fn a_file_holds_the_names_and_shapes_of_the_graph() {
    let bytes = Weights::initial(&graph(), 1, 2).to_safetensors();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let specs = graph().parameter_specs();
    assert_eq!(file.len(), specs.len());
    for spec in specs {
        let tensor = file.tensor(&spec.name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, &spec.shape[..]));
    }
}

#[test]
fn files_of_something_else_are_refused() {
    let name = "layer2.conv.weight";
    let error = read(&changed(|tensors| drop(tensors.remove(name)))).unwrap_err();
    assert!(matches!(&error, WeightsError::Missing { name: found, .. } if found == name));
    assert_eq!(
        error.to_string(),
        format!("w.safetensors: no tensor {name}; give weights of this network")
    );

    let extra = || (Dtype::F32, vec![1], vec![0; 4]);
    let error =
        read(&changed(|tensors| drop(tensors.insert("extra".to_string(), extra())))).unwrap_err();
    assert!(matches!(error, WeightsError::Unknown { name, .. } if name == "extra"));

    let error = read(&changed(|tensors| {
        let tensor = tensors.get_mut(name).unwrap();
        tensor.1 = vec![32, 16];
    }))
    .unwrap_err();
    assert!(
        matches!(&error, WeightsError::Tensor { expected, .. } if expected == "F32 [32, 1, 1, 16]")
    );

    let error = read(&changed(|tensors| {
        let tensor = tensors.get_mut(name).unwrap();
        tensor.0 = Dtype::BF16;
        tensor.2.truncate(2 * 32 * 16);
    }))
    .unwrap_err();
    assert!(matches!(&error, WeightsError::Tensor { found, .. } if found == "BF16 [32, 1, 1, 16]"));

    let whole = Weights::initial(&graph(), 1, 2).to_safetensors();
    for length in [0, 3, 8, 100, whole.len() - 1] {
        let error = read(&whole[..length]).unwrap_err();
        assert!(matches!(error, WeightsError::Format { .. }), "{length} bytes: {error}");
    }
    let absent = Path::new("there/is/none.safetensors");
    let error = Weights::load(absent, &graph()).unwrap_err();
    assert!(matches!(error, WeightsError::Io { path, .. } if path == absent));
}

#[test]
fn initial_weights_are_glorots() {
    let weights = Weights::initial(&graph(), 3, 4);
    assert_eq!(weights, Weights::initial(&graph(), 3, 4));
    assert_ne!(weights, Weights::initial(&graph(), 3, 5));
    let mut streams = Vec::new();
    for (spec, values) in weights.specs().iter().zip(weights.values()) {
        let limit = match (spec.role, &spec.shape[..]) {
            (ParameterRole::Filters, [k, r, s, c]) => (6.0 / (r * s * (k + c)) as f64).sqrt(),
            (ParameterRole::DenseWeight, [rows, columns]) => (6.0 / (rows + columns) as f64).sqrt(),
            (ParameterRole::Gamma | ParameterRole::RunningVariance, _) => {
                assert!(values.iter().all(|&value| value == 1.0));
                continue;
            }
            _ => {
                assert!(values.iter().all(|&value| value == 0.0));
                continue;
            }
        };
        let greatest = values.iter().fold(0.0, |most: f64, x| most.max(f64::from(x.abs())));
        assert!(greatest <= limit * 1.000_001 && greatest > 0.9 * limit, "{}", spec.name);
        let count = values.len() as f64;
        let mean: f64 = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        // Four standard deviations of the mean of so many.
        assert!(mean.abs() < 4.0 * limit / (3.0 * count).sqrt(), "{}: mean {mean}", spec.name);
        streams.push(values[0] / limit as f32);
    }
    streams.dedup();
    assert_eq!(streams.len(), 5, "each parameter has a stream of its own");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_weights(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let error = read(&content).unwrap_err();
        prop_assert!(matches!(error, WeightsError::Format { .. }), "{}", error);
    }

    /// The header says where everything is: one that is damaged, or claims what the file has not,
    /// is refused, or still describes these parameters.
    #[test]
    fn damaged_headers_never_give_other_shapes(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut content = Weights::initial(&graph(), 1, 2).to_safetensors();
        let header = 8 + u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
        for (at, byte) in damage {
            content[at.index(header)] = byte;
        }
        if let Ok(weights) = read(&content) {
            prop_assert_eq!(weights.specs(), graph().parameter_specs());
            for (spec, values) in weights.specs().iter().zip(weights.values()) {
                prop_assert_eq!(values.len(), spec.shape.iter().product::<usize>());
            }
        }
    }
}
