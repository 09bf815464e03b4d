//! What the emulator's NVRTC hands out as PTX or CUBIN: the rewritten source, with the options that
//! it needs. As a real driver does with PTX, ours compiles it when it is loaded, for the machine at
//! hand: with or without instrumentation. The text may therefore be kept on disk like a CUBIN.

use crate::cache;
use crate::emulator::Emulator;
use std::path::{Path, PathBuf};

/// A program, ready to be compiled for the CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// The program's name, as given to `nvrtcCreateProgram`.
    pub(crate) name: String,
    /// Options of g++.
    pub(crate) flags: Vec<String>,
    /// Host C++.
    pub(crate) source: String,
}

const MAGIC: &str = "// nasrl emulated module 1";

impl Image {
    /// The image as a text without NUL.
    pub(crate) fn to_text(&self) -> String {
        format!("{MAGIC}\n// {}\n// {}\n{}", self.name, self.flags.join(" "), self.source)
    }

    /// Reads an image back; none if it is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(MAGIC)?.strip_prefix("\n// ")?;
        let (name, rest) = rest.split_once("\n// ")?;
        let (flags, source) = rest.split_once('\n')?;
        let flags = flags.split_whitespace().map(str::to_string).collect();
        Some(Self { name: name.into(), flags, source: source.into() })
    }

    /// Compiles to a shared object, or finds it in the cache; an error is the compiler's log.
    pub(crate) fn compile(&self, emulator: &Emulator) -> Result<PathBuf, String> {
        let options = &emulator.options;
        let instrumented = options.checked || options.count;
        let mut flags: Vec<&str> = FLAGS.to_vec();
        flags.extend(self.flags.iter().map(String::as_str));
        flags.extend(emulator.machine_flags.iter().copied());
        if instrumented {
            flags.extend(INSTRUMENTATION);
        }
        if options.coverage {
            flags.extend(COVERAGE);
        }
        let mut source =
            format!("enum {{ __emu_instrumented = {} }};\n{}", u8::from(instrumented), self.source);
        if options.coverage && !instrumented {
            // A line that only calls a function would have no code of its own. Accesses are known
            // only without calls: what one returns straight into memory, nothing reports.
            source = source.replace("__attribute__((always_inline))", "");
        }
        let all_flags = flags.join(" ");
        let key = cache::key([emulator.compiler.as_str(), &all_flags, &source]);
        let object = emulator.cache.path(&format!("{key}.so"));
        if object.exists() {
            return Ok(object);
        }
        let scratch = emulator.cache.scratch().map_err(|error| error.to_string())?;
        let directory = scratch.path();
        std::fs::write(directory.join("module.ii"), &source).map_err(|error| error.to_string())?;
        flags.extend(["-x", "c++-cpp-output", "-c", "module.ii", "-o", "module.o"]);
        compiler(directory, &flags)?;
        let link = ["-shared", "-Wl,-Bsymbolic", "-Wl,-z,now", "-nodefaultlibs", "module.o"];
        let gcov: &[&str] =
            if options.coverage { &["-Wl,-u,__gcov_info_to_gcda", "-lgcov"] } else { &[] };
        let libraries = ["-lm", "-lc", "-lgcc", "-o", "module.so"];
        compiler(directory, &[&link[..], gcov, &libraries].concat())?;
        if options.coverage {
            std::fs::rename(directory.join("module.gcno"), object.with_extension("gcno"))
                .map_err(|error| error.to_string())?;
        }
        std::fs::rename(directory.join("module.so"), &object).map_err(|error| error.to_string())?;
        Ok(object)
    }
}

/// `-fstack-clash-protection`: a large frame must touch the guard page below its stack.
/// `-fno-gnu-unique`: a module can be unloaded.
/// `-fno-optimize-sibling-calls`: the return address of a call is in the kernel, for reports.
const FLAGS: [&str; 12] = [
    "-g1",
    "-O2",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-gnu-unique",
    "-fno-optimize-sibling-calls",
    "-fno-strict-aliasing",
    "-fwrapv",
    "-w",
    "-fno-threadsafe-statics",
    "-fstack-clash-protection",
];

/// Only the calls that report accesses: the functions called are the shim's, not a sanitizer's.
/// `-fno-tree-sra`: a vector of four floats stays one access of 16 bytes.
const INSTRUMENTATION: [&str; 4] = [
    "-fno-tree-sra",
    "-fsanitize=thread",
    "--param=tsan-instrument-func-entry-exit=0",
    "--param=tsan-distinguish-volatile=1",
];

/// Counters of executed blocks, in a section of their own instead of registered with libgcov.
const COVERAGE: [&str; 5] = [
    "-O0",
    "-fprofile-arcs",
    "-ftest-coverage",
    "-fprofile-update=atomic",
    "-fprofile-info-section=emu_gcov",
];

/// Options for the processor at hand.
pub(crate) fn machine_flags() -> Vec<&'static str> {
    let v3 = std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("f16c");
    if v3 { vec!["-march=x86-64-v3"] } else { vec!["-ffp-contract=off"] }
}

/// Runs g++ and gives what it wrote; an error if it failed.
pub(crate) fn compiler(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = cache::gxx(directory, arguments)
        .map_err(|error| format!("g++ cannot be run: {error}\n"))?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(log) } else { Err(log) }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn images_survive_as_text() {
        let image = Image {
            name: "softmax.cu".into(),
            flags: vec!["-std=gnu++17".into(), "-ffp-contract=fast".into()],
            source: "# 1 \"softmax.cu\"\nint x;\n".into(),
        };
        assert_eq!(Image::parse(&image.to_text()), Some(image));
        assert_eq!(Image::parse(".version 9.0\n.target sm_90\n"), None);
    }
}
