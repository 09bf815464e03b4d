use std::time::Duration;

use nasrl_child::recipe::Precision;
use nasrl_space::Image;
use nasrl_tensor::DType;
use nasrl_tensor::ops::{Connection, Conv2d};

use super::tile_words::{gathers, wgrads};
use super::{
    CHILDREN, CeilingSizes, ChildSizes, ConcurrencySizes, LaunchSizes, Loops, OperationSizes,
    ProfileSizes, Profiled, Sampling, SearchSizes, TileSizes,
};
use crate::case::Shapes;
use crate::operations::conv2d::layers;

/// What the blocks measure with.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// How often a thing is timed.
    pub sampling: Sampling,
    /// Of [`ceilings`](super::ceilings).
    pub ceilings: CeilingSizes,
    /// Of [`launches`](super::launches).
    pub launches: LaunchSizes,
    /// Of [`operations`](super::operations).
    pub operations: OperationSizes,
    /// Of [`tiles`](super::tiles).
    pub tiles: TileSizes,
    /// Of [`steps`](super::steps).
    pub steps: ChildSizes,
    /// Of [`concurrency`](super::concurrency).
    pub concurrency: ConcurrencySizes,
    /// Of [`profile`](super::profile).
    pub profile: ProfileSizes,
    /// Of [`search`](super::search).
    pub search: SearchSizes,
}

impl Sizes {
    /// For a GPU: the shapes of real children and controllers.
    pub fn real() -> Self {
        const MB: usize = 1_000_000;
        let image = Image { height: 32, width: 32, channels: 3 };
        Sizes {
            sampling: Sampling {
                samples: 21,
                sample: Duration::from_micros(500),
                warm_up: Duration::from_millis(5),
                recorded: 8,
            },
            ceilings: CeilingSizes {
                copies: [4, 16, 64, 256, 1000].map(|size| size * MB).to_vec(),
                cached: vec![16 << 20],
                loops: Loops { blocks: 2048, rounds: 256 },
                products: vec![1024, 4096, 8192],
            },
            // A step of a small child has about ten launches; sixteen are replayed at once.
            launches: LaunchSizes { chains: vec![10, 160], forks: vec![5, 80] },
            operations: OperationSizes {
                shapes: Shapes::Real { images: 128 },
                dtypes: vec![DType::F32, DType::BF16],
            },
            tiles: TileSizes {
                layers: tiled_layers(),
                images: 128,
                dtype: DType::BF16,
                gathers: gathers(),
                wgrads: wgrads(),
                // Two blocks side by side on an H100.
                shared: 113 << 10,
                sampling: Sampling {
                    samples: 9,
                    sample: Duration::from_micros(200),
                    warm_up: Duration::from_millis(1),
                    recorded: 8,
                },
            },
            steps: ChildSizes {
                children: CHILDREN.map(str::to_owned).to_vec(),
                image,
                batches: vec![128, 512],
                precisions: vec![Precision::F32, Precision::Bf16],
                // About an epoch of CIFAR-10 at the larger batch.
                pass: 96,
            },
            concurrency: ConcurrencySizes {
                // The largest of those that are best, and a small one that launches bind.
                children: [CHILDREN[0], CHILDREN[5]].map(str::to_owned).to_vec(),
                image,
                batch: 128,
                precision: Precision::Bf16,
                jobs: vec![1, 2, 4, 8, 16],
                steps: 10,
            },
            profile: ProfileSizes {
                profiler: "ncu".into(),
                kernels: ["fprop", "dgrad", "wgrad"]
                    .map(|pass| Profiled {
                        case: format!("conv2d {pass} 128 of 3x3 64-64 on 16x16 bf16"),
                        kernel: "regex:^conv2d_(gather|wgrad)_".to_owned(),
                    })
                    .to_vec(),
            },
            search: SearchSizes { data: "embedded".to_owned(), trials: 20, epochs: 3, jobs: 4 },
        }
    }
}

/// Full convolutions, those of the reference space first, and one of `nas-rl-cnn` whose input is put
/// together from four.
fn tiled_layers() -> Vec<Conv2d> {
    let all = layers().into_iter().filter(|layer| layer.connection == Connection::Full);
    all.chain([Conv2d::new([32, 32], 152, 36, [3, 5]).same()]).collect()
}
