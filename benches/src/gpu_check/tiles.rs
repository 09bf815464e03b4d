use std::collections::HashSet;

use cudarc::driver::CudaContext;
use cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN as MOST_SHARED;
use nasrl_tensor::cuda::{Conv2dPlan, Conv2dTiles, GatherTiles, WgradTiles};
use nasrl_tensor::ops::Conv2d;
use nasrl_tensor::{DType, Error};
use serde::Serialize;

use super::layer::{Layer, Pass};
use super::parity::apart;
use super::tile_words::TileWords;
use super::{Block, Check, CheckError, Sampling, Timing};
use crate::operations::conv2d::words;

/// What [`tiles`] measures.
#[derive(Clone, Debug)]
pub struct TileSizes {
    /// Full convolutions.
    pub layers: Vec<Conv2d>,
    /// Images of a batch.
    pub images: usize,
    /// The type of activations, of 16 bits.
    pub dtype: DType,
    /// What forward passes and gradients of the input are tried with.
    pub gathers: Vec<GatherTiles>,
    /// What gradients of the filters are tried with.
    pub wgrads: Vec<WgradTiles>,
    /// Bytes of shared memory of a block at most.
    pub shared: usize,
    /// How often each is timed.
    pub sampling: Sampling,
}

#[derive(Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Line<'a> {
    /// Tiles of a pass and its time.
    Tried {
        #[serde(flatten)]
        of: Of<'a>,
        tiles: TileWords,
        /// Whether they are what is used where none are chosen.
        default: bool,
        timing: Timing,
        gflop_per_s: f64,
        /// Whether the results are those of the default, within the tolerance of their sums.
        agree: bool,
    },
    /// The fastest tiles of a pass.
    Best {
        #[serde(flatten)]
        of: Of<'a>,
        tiles: TileWords,
        best_us: f64,
        default_us: f64,
        /// How many times faster the best ones are.
        gain: f64,
        tried: usize,
    },
    /// A pass, or tiles of it, that could not be run.
    Failed {
        #[serde(flatten)]
        of: Of<'a>,
        problem: String,
    },
}

/// What a line is of.
#[derive(Clone, Copy, Serialize)]
struct Of<'a> {
    pass: &'static str,
    shape: &'a str,
    dtype: &'a str,
}

/// A layer as it is timed, and one of few images whose results are compared.
struct Layers {
    timed: Layer,
    compared: Layer,
}

/// Images of a batch whose results are compared.
const FEW: usize = 2;

/// Times, in a graph, the passes of convolutions on tensor cores in every choice of tiles that fits, beside what
/// is used by default, whose results all others have to give.
///
/// Returns how many differ or failed.
///
/// # Errors
/// [`CheckError::Report`], and [`CheckError::Driver`]; what else fails is a line.
pub fn tiles(check: &mut Check<'_>) -> Result<usize, CheckError> {
    let mut sizes = check.sizes.tiles.clone();
    let most = CudaContext::new(check.ordinal)?.attribute(MOST_SHARED)?;
    let shared = Some(sizes.shared.min(usize::try_from(most).unwrap_or(0)));
    sizes.gathers.iter_mut().for_each(|tiles| tiles.shared = shared);
    sizes.wgrads.iter_mut().for_each(|tiles| tiles.shared = shared);
    let mut failures = 0;
    for geometry in &sizes.layers {
        if check.budget.is_over() {
            return Ok(failures);
        }
        let (shape, dtype) = (words(geometry, sizes.images), sizes.dtype.to_string());
        let of = |pass| Of { pass, shape: &shape, dtype: &dtype };
        let of_layer = |images| Layer::new(check.cuda, (geometry, sizes.dtype), images);
        let layers =
            of_layer(sizes.images).and_then(|timed| Ok(Layers { timed, compared: of_layer(FEW)? }));
        match layers {
            Ok(mut layers) => {
                for pass in Pass::ALL {
                    failures += sweep(check, &sizes, (pass, of(pass.name())), &mut layers)?;
                }
            }
            Err(error) => failures += failed(check, of("all"), &error)?,
        }
    }
    Ok(failures)
}

/// Tries the tiles of a pass and returns how many differ or failed.
fn sweep(
    check: &mut Check<'_>,
    sizes: &TileSizes,
    (pass, of): (Pass, Of<'_>),
    layers: &mut Layers,
) -> Result<usize, CheckError> {
    let mut seen = HashSet::new();
    let mut default: Option<(Timing, Vec<f64>)> = None;
    let mut best: Option<(Timing, TileWords)> = None;
    let mut failures = 0;
    for chosen in choices(sizes, pass) {
        if check.budget.is_over() {
            break;
        }
        let plan = match layers.timed.plan(check.cuda, &chosen) {
            Ok(plan) => plan,
            // They do not fit.
            Err(Error::Parameter { .. }) if default.is_some() => continue,
            Err(error) => return Ok(failures + failed(check, of, &error)?),
        };
        let Some(found) = plan.tiles().filter(|&tiles| seen.insert(tiles)) else { continue };
        let (timing, results) = match layers.measure(check, sizes.sampling, &plan, pass) {
            Ok(measured) => measured,
            Err(error) => {
                failures += failed(check, of, &error)?;
                continue;
            }
        };
        let is_default = default.is_none();
        let (_, expected) = default.get_or_insert_with(|| (timing, results.clone()));
        let agree = layers.agree(pass, &results, expected);
        failures += usize::from(!agree);
        let tiles = TileWords::of(found, pass);
        let is_faster = |(best, _): &(Timing, _)| timing.median_us < best.median_us;
        if agree && best.as_ref().is_none_or(is_faster) {
            best = Some((timing, tiles));
        }
        let gflop_per_s = timing.giga_per_second(layers.timed.flops());
        let line = Line::Tried { of, tiles, default: is_default, timing, gflop_per_s, agree };
        check.report.line(Block::Tiles, &line)?;
    }
    if let (Some((best, tiles)), Some((default, _))) = (best, default) {
        let (best_us, default_us) = (best.median_us, default.median_us);
        let (gain, tried) = (default_us / best_us, seen.len());
        let line = Line::Best { of, tiles, best_us, default_us, gain, tried };
        check.report.line(Block::Tiles, &line)?;
    }
    Ok(failures)
}

/// What is tried for a pass; first of all what is used by default.
fn choices(sizes: &TileSizes, pass: Pass) -> impl Iterator<Item = Conv2dTiles> {
    let open = Conv2dTiles::default();
    let gather = move |&tiles: &GatherTiles| match pass {
        Pass::Dgrad => Conv2dTiles { dgrad: tiles, ..open },
        Pass::Fprop | Pass::Wgrad => Conv2dTiles { fprop: tiles, ..open },
    };
    let wgrad = move |&tiles: &WgradTiles| Conv2dTiles { wgrad: tiles, ..open };
    let (gathers, wgrads) = match pass {
        Pass::Fprop | Pass::Dgrad => (&sizes.gathers[..], &[][..]),
        Pass::Wgrad => (&[][..], &sizes.wgrads[..]),
    };
    [open].into_iter().chain(gathers.iter().map(gather)).chain(wgrads.iter().map(wgrad))
}

impl Layers {
    /// The time of a pass in a graph, and its results for few images.
    fn measure(
        &mut self,
        check: &Check<'_>,
        sampling: Sampling,
        plan: &Conv2dPlan,
        pass: Pass,
    ) -> nasrl_tensor::Result<(Timing, Vec<f64>)> {
        let on = check.cuda;
        self.compared.run(on, plan, pass)?;
        let results = self.compared.results(on, pass)?;
        // Makes what is recorded ready.
        self.timed.run(on, plan, pass)?;
        let timed = check.time_recorded(sampling, || self.timed.run(on, plan, pass))?;
        let none = Error::NotRecordable { what: "a convolution" };
        Ok((timed.ok_or(none)?, results))
    }

    fn agree(&self, pass: Pass, results: &[f64], expected: &[f64]) -> bool {
        let tolerance = Some(self.compared.tolerance(pass));
        let mut pairs = results.iter().zip(expected);
        pairs.all(|(&result, &expected)| apart(result, expected, tolerance) <= 1.0)
    }
}

fn failed(check: &mut Check<'_>, of: Of<'_>, error: &Error) -> Result<usize, CheckError> {
    check.report.line(Block::Tiles, &Line::Failed { of, problem: error.to_string() })?;
    Ok(1)
}
