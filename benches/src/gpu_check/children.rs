//! Children of the reference space, compiled for a GPU, and batches of random images.

use nasrl_child::data::{ImageShape, Split};
use nasrl_child::recipe::Precision;
use nasrl_child::{Lowering, Program, ProgramOptions, Recipe, Schedule, TrainError, Weights};
use nasrl_space::{Image, Space};
use nasrl_tensor::Cuda;
use nasrl_tensor::random::{Key, Philox};

use super::CheckError;

/// The children that the peer measures by default.
pub const CHILDREN: [&str; 6] = [
    "3,64,3,64,3,32,3,64",
    "3,64,3,64,3,64,3,64",
    "3,16,3,16,3,16,3,16",
    "1,16,3,32,1,16,3,16",
    "1,64,1,64,1,64,1,64",
    "3,32,1,64,3,16,1,32",
];

/// Which children are trained, and on what.
#[derive(Clone, Debug)]
pub struct ChildSizes {
    /// Tokens of the reference space.
    pub children: Vec<String>,
    /// Their images, which are random.
    pub image: Image,
    /// Images of a step.
    pub batches: Vec<usize>,
    /// Types of activations.
    pub precisions: Vec<Precision>,
    /// Steps of a pass, after which its losses are read.
    pub pass: usize,
}

/// A child that is trained on one batch again and again.
pub(super) struct Training {
    program: Program<Cuda>,
    split: Split,
    indices: Vec<u32>,
}

const CLASSES: usize = 10;
const RATE: f64 = 0.001;

impl Training {
    /// A child with the weights of a seed.
    pub(super) fn new(
        cuda: &Cuda,
        child: &str,
        (image, batch): (Image, usize),
        precision: Precision,
    ) -> Result<Self, CheckError> {
        let space = Space::reference();
        let built = space.parse(child).and_then(|tokens| space.build(&tokens, image, CLASSES));
        let graph =
            built.map_err(|source| CheckError::Child { child: child.to_owned(), source })?;
        let recipe = Recipe { batch, precision, ..Recipe::reference() };
        let split = random_images(image, batch)?;
        let options = ProgramOptions {
            lowering: Lowering::Fused,
            schedule: Schedule::gpu(batch),
            input: recipe.input(&split),
            seed: 0,
            trial: 0,
        };
        let mut program = Program::new(cuda, &graph, &recipe, &options)?;
        program.load(&Weights::initial(&graph, 0, 0))?;
        Ok(Training { program, split, indices: (0..batch as u32).collect() })
    }

    /// So many steps of a pass, each from the images' bytes to the optimizer.
    pub(super) fn steps(&mut self, steps: usize) -> Result<(), TrainError> {
        let (split, order) = (&self.split, self.indices.repeat(steps));
        let rates = vec![RATE; steps];
        self.program.train(split, &order, &rates)?.try_for_each(|score| score.map(drop))
    }

    /// The bits of all weights.
    pub(super) fn bits(&self) -> Result<Vec<u32>, TrainError> {
        let weights = self.program.weights()?;
        Ok(weights.values().iter().flatten().map(|value| value.to_bits()).collect())
    }

    /// Bytes of the GPU that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.program.bytes()
    }
}

/// The name of a type of activations.
pub(super) fn word(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    }
}

fn random_images(image: Image, count: usize) -> Result<Split, CheckError> {
    let shape = ImageShape { height: image.height, width: image.width, channels: image.channels };
    let mut stream = Philox::new(Key::new(0, 0, "random images"));
    let images = (0..count * shape.bytes()).map(|_| stream.below(256) as u8).collect();
    let labels = (0..count).map(|_| stream.below(CLASSES as u32)).collect();
    Ok(Split::new(shape, images, labels)?)
}
