//! From a source to the machine code of one architecture.

use std::sync::OnceLock;

use nasrl_kernels::{HEADERS, Source};

use super::cache::KernelCache;
use super::nvrtc::Nvrtc;
use crate::{Error, Result};

/// Compiles for the architecture of one device. NVRTC is loaded when it is first needed.
pub(super) struct Compiler {
    architecture: String,
    cache: KernelCache,
    nvrtc: OnceLock<Nvrtc>,
}

/// A compiled source.
pub(super) struct Cubin {
    pub(super) bytes: Vec<u8>,
    /// Whether it was compiled in another process.
    pub(super) cached: bool,
    name: String,
}

impl Compiler {
    /// A compiler for devices of this compute capability. Those from 9.0 on are told apart by the
    /// instructions that only they have, such as `sm_90a`.
    pub(super) fn new((major, minor): (i32, i32), cache: KernelCache) -> Self {
        let specific = if major >= 9 { "a" } else { "" };
        let architecture = format!("sm_{major}{minor}{specific}");
        Compiler { architecture, cache, nvrtc: OnceLock::new() }
    }

    /// The machine code of a source, from the cache if it is there.
    ///
    /// # Errors
    /// [`Error::NoNvrtc`] or [`Error::Compile`].
    pub(super) fn cubin(&self, source: Source<'_>) -> Result<Cubin> {
        let nvrtc = self.nvrtc()?;
        let name = self.name(source, nvrtc);
        match self.cache.load(&name) {
            Some(bytes) => Ok(Cubin { bytes, cached: true, name }),
            None => self.compile(source, name, nvrtc),
        }
    }

    /// Compiles what `cubin` was compiled from again, and replaces it in the cache: the device has
    /// refused it.
    pub(super) fn again(&self, source: Source<'_>, cubin: Cubin) -> Result<Cubin> {
        self.compile(source, cubin.name, self.nvrtc()?)
    }

    fn compile(&self, source: Source<'_>, name: String, nvrtc: &Nvrtc) -> Result<Cubin> {
        let compiled = nvrtc.compile(source, HEADERS, &self.options());
        let (bytes, _) = compiled.map_err(|log| refusal(source, &self.architecture, log))?;
        self.cache.store(&name, &bytes);
        Ok(Cubin { bytes, cached: false, name })
    }

    fn options(&self) -> Vec<String> {
        options(&self.architecture)
    }

    /// The name in the cache: a hash of all that the machine code depends on.
    fn name(&self, source: Source<'_>, nvrtc: &Nvrtc) -> String {
        let version = nvrtc.version.to_string();
        let options = self.options();
        let mut hash = blake3::Hasher::new();
        let mut add = |text: &str| {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        [env!("CARGO_PKG_VERSION"), &version].into_iter().for_each(&mut add);
        options.iter().map(String::as_str).for_each(&mut add);
        for Source { name, text } in [&source].into_iter().chain(HEADERS) {
            [*name, *text].into_iter().for_each(&mut add);
        }
        let stem = source.name.trim_end_matches(".cu");
        format!("{stem}-{}-{}.cubin", self.architecture, &hash.finalize().to_hex()[..32])
    }

    fn nvrtc(&self) -> Result<&Nvrtc> {
        match self.nvrtc.get() {
            Some(nvrtc) => Ok(nvrtc),
            None => {
                let nvrtc = Nvrtc::load()?;
                Ok(self.nvrtc.get_or_init(|| nvrtc))
            }
        }
    }
}

/// A source compiled for an architecture that need not be there.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The machine code.
    pub cubin: Vec<u8>,
    /// What the assembler says of each kernel: registers, shared memory, spills.
    pub log: String,
}

/// Compiles a source, which may include the headers of this crate's kernels, for an architecture
/// such as `sm_80` or `sm_90a`. It needs NVRTC and no GPU.
///
/// # Errors
/// [`Error::NoNvrtc`], or [`Error::Compile`] with the compiler's messages.
pub fn compile(name: &str, text: &str, architecture: &str) -> Result<Compiled> {
    let source = Source { name, text };
    let mut options = options(architecture);
    options.push("--ptxas-options=-v".to_owned());
    let compiled = Nvrtc::load()?.compile(source, HEADERS, &options);
    let (cubin, log) = compiled.map_err(|log| refusal(source, architecture, log))?;
    Ok(Compiled { cubin, log })
}

fn options(architecture: &str) -> Vec<String> {
    let architecture = format!("--gpu-architecture={architecture}");
    vec![architecture, "--std=c++17".to_owned(), "--generate-line-info".to_owned()]
}

fn refusal(source: Source<'_>, architecture: &str, log: String) -> Error {
    let (source_name, architecture) = (source.name.to_owned(), architecture.to_owned());
    Error::Compile { source_name, architecture, log }
}
