//! NVRTC, the compiler of CUDA C++, loaded when the first kernel is needed.

use std::env;
use std::error::Error as _;
use std::ffi::{CString, c_char, c_int, c_void};
use std::fs;
use std::path::Path;
use std::ptr;

use libloading::Library;
use nasrl_kernels::Source;

use super::wheel;
use crate::error::CudaVersion;
use crate::{Error, Result};

/// The names that the dynamic linker is asked for.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"]
} else {
    &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]
};

/// The environment variable that names a library to use instead.
const VARIABLE: &str = "NASRL_NVRTC";

type Program = *mut c_void;
type Status = c_int;

/// A loaded library and the functions of it that are used.
pub(super) struct Nvrtc {
    pub(super) version: CudaVersion,
    /// What it was opened as.
    pub(super) name: String,
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Status,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    log: Text,
    cubin: Text,
    /// What the functions are part of, and the libraries that it opens by name.
    _libraries: Vec<Library>,
}

/// A pair of functions that tell the size of a text and write it.
struct Text {
    size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    get: unsafe extern "C" fn(Program, *mut c_char) -> Status,
}

impl Nvrtc {
    /// The library that `NASRL_NVRTC` names, or else the first that the dynamic linker finds, or
    /// else the first in the packages of a Python.
    ///
    /// # Errors
    /// [`Error::NoNvrtc`] with what was tried, in this order.
    pub(super) fn load() -> Result<Self> {
        let mut tried = Vec::new();
        let mut attempt = |name: &str, libraries: Vec<Library>| {
            let opened = Self::open(name, libraries);
            opened.map_err(|error| tried.push(reason(&error))).ok()
        };
        let found = match env::var(VARIABLE) {
            Ok(name) => attempt(&name, parts(Path::new(&name))),
            Err(_) => NAMES
                .iter()
                .find_map(|name| attempt(name, Vec::new()))
                .or_else(|| of_wheels(&mut attempt)),
        };
        found.ok_or_else(|| {
            if env::var_os(VARIABLE).is_none() {
                tried.extend(without_wheel());
            }
            Error::NoNvrtc { tried }
        })
    }

    fn open(name: &str, mut libraries: Vec<Library>) -> Result<Self, libloading::Error> {
        // SAFETY: NVRTC's initialisers may run in any program. The functions have the signatures
        // of nvrtc.h, which have not changed since CUDA 11, and the library is kept for as long as
        // they are.
        unsafe {
            let library = Library::new(name)?;
            let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status =
                *library.get("nvrtcVersion")?;
            let (mut major, mut minor) = (0, 0);
            version(&mut major, &mut minor);
            let nvrtc = Nvrtc {
                version: CudaVersion(1000 * major + 10 * minor),
                name: name.to_owned(),
                create: *library.get("nvrtcCreateProgram")?,
                compile: *library.get("nvrtcCompileProgram")?,
                destroy: *library.get("nvrtcDestroyProgram")?,
                log: Text {
                    size: *library.get("nvrtcGetProgramLogSize")?,
                    get: *library.get("nvrtcGetProgramLog")?,
                },
                cubin: Text {
                    size: *library.get("nvrtcGetCUBINSize")?,
                    get: *library.get("nvrtcGetCUBIN")?,
                },
                _libraries: Vec::new(),
            };
            libraries.push(library);
            Ok(Nvrtc { _libraries: libraries, ..nvrtc })
        }
    }

    /// Compiles a source that includes some of the headers: the machine code and what the compiler
    /// has to say, or what it has to say alone.
    pub(super) fn compile(
        &self,
        source: Source<'_>,
        headers: &[Source<'_>],
        options: &[String],
    ) -> Result<(Vec<u8>, String), String> {
        let main = Texts::new([source.text, source.name])?;
        let texts = Texts::new(headers.iter().map(|header| header.text))?;
        let names = Texts::new(headers.iter().map(|header| header.name))?;
        let options = Texts::new(options.iter().map(String::as_str))?;
        let mut program = ptr::null_mut();
        // SAFETY: the texts end with NUL and live to the end of this function; there are as many
        // names as texts.
        let status = unsafe {
            (self.create)(
                &mut program,
                main.pointers[0],
                main.pointers[1],
                texts.count(),
                texts.pointers.as_ptr(),
                names.pointers.as_ptr(),
            )
        };
        if status != 0 {
            return Err(format!("nvrtcCreateProgram: status {status}"));
        }
        // SAFETY: `program` was created above and is destroyed below, by nobody else.
        let result = unsafe {
            let status = (self.compile)(program, options.count(), options.pointers.as_ptr());
            let log = self.log.of(program).unwrap_or_else(String::into_bytes);
            let log = String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned();
            match status {
                0 => self.cubin.of(program).map(|cubin| (cubin, log)),
                _ => Err(log),
            }
        };
        // SAFETY: as above.
        unsafe { (self.destroy)(&mut program) };
        result
    }
}

/// Texts as C takes them.
struct Texts {
    pointers: Vec<*const c_char>,
    _owned: Vec<CString>,
}

impl Texts {
    fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let owned: Result<Vec<CString>, _> = texts.into_iter().map(CString::new).collect();
        let owned = owned.map_err(|_| "a NUL in a source".to_owned())?;
        Ok(Texts { pointers: owned.iter().map(|text| text.as_ptr()).collect(), _owned: owned })
    }

    fn count(&self) -> c_int {
        self.pointers.len() as c_int
    }
}

impl Text {
    /// # Safety
    /// `program` is a program of the library that the functions are of.
    unsafe fn of(&self, program: Program) -> Result<Vec<u8>, String> {
        let mut size = 0;
        // SAFETY: the caller vouches for the program; the buffer has the size asked for.
        unsafe {
            let measured = (self.size)(program, &mut size);
            let mut bytes = vec![0u8; size];
            match (measured, (self.get)(program, bytes.as_mut_ptr().cast())) {
                (0, 0) => Ok(bytes),
                statuses => Err(format!("NVRTC gave no result: statuses {statuses:?}")),
            }
        }
    }
}

/// The first of the libraries in the packages of a Python that can be opened.
fn of_wheels(attempt: &mut impl FnMut(&str, Vec<Library>) -> Option<Nvrtc>) -> Option<Nvrtc> {
    let folders = wheel::package_folders(|name| env::var_os(name));
    let libraries = folders.iter().flat_map(|folder| wheel::libraries(folder));
    libraries.into_iter().find_map(|path| attempt(&path.to_string_lossy(), parts(&path)))
}

/// Where a library would have been looked for had there been one, in words.
fn without_wheel() -> Vec<String> {
    let folders = wheel::package_folders(|name| env::var_os(name)).into_iter();
    let empty = folders.filter(|folder| wheel::libraries(folder).is_empty());
    empty.map(|folder| format!("{}: no nvidia/*/lib/libnvrtc.so", folder.display())).collect()
}

/// What the dynamic linker says, or failing that what it was asked.
fn reason(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The libraries beside `library` that it opens by name at its first use, and would not find unless
/// their folder were among the linker's: libnvrtc-builtins.
fn parts(library: &Path) -> Vec<Library> {
    let Some(Ok(entries)) = library.parent().map(fs::read_dir) else { return Vec::new() };
    let is_part = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libnvrtc-builtins") && !name.contains(".alt.")
    };
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| is_part(path));
    // SAFETY: the library is data that NVRTC would load itself.
    paths.filter_map(|path| unsafe { Library::new(path) }.ok()).collect()
}
