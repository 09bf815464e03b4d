//! The functions of NVRTC.

use super::options;
use super::rewrite::rewrite;
use crate::cache;
use crate::driver::ffi::{In, Out, Text};
use crate::emulator::{Emulator, emulator};
use crate::module::Module;
use crate::module::image::{self, Image};
use crate::options::Options;
use crate::trampoline::Symbol;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// An `nvrtcResult` other than success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Refusal(c_int);

impl Refusal {
    const INVALID_INPUT: Self = Self(3);
    const INVALID_PROGRAM: Self = Self(4);
    const INVALID_OPTION: Self = Self(5);
    const COMPILATION: Self = Self(6);
    const NAME_EXPRESSION_NOT_VALID: Self = Self(10);
}

type Res<T = ()> = Result<T, Refusal>;

/// A program and what was made of it.
#[derive(Debug, Default)]
struct Program {
    source: String,
    name: String,
    /// Headers by the name in their `#include`.
    headers: Vec<(String, String)>,
    /// Name expressions and, once compiled, their symbols.
    names: Vec<(String, CString)>,
    log: Vec<u8>,
    image: Vec<u8>,
}

static PROGRAMS: LazyLock<Mutex<HashMap<usize, Program>>> = LazyLock::new(Mutex::default);

macro_rules! api {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            #[allow(non_snake_case)]
            extern "C" fn $name($($argument: $type),*) -> c_int {
                let body = move || -> Res { $body };
                body().err().map_or(0, |refusal| refusal.0)
            }
        )*
        const RESULTS: &[(&str, *const ())] = &[
            $((stringify!($name), $name as *const ())),*
        ];
    };
}

api! {
    fn nvrtcVersion(major: Out<c_int>, minor: Out<c_int>) {
        // No version of NVIDIA's, and one for each way to instrument kernels: a cache of compiled
        // kernels must not take the one for the other.
        let Options { checked, count, coverage, .. } = emulator().options;
        let instrumented = u8::from(checked || count) + 2 * u8::from(coverage);
        put(major, 0)?;
        put(minor, instrumented.into())
    }

    fn nvrtcGetNumSupportedArchs(count: Out<c_int>) {
        put(count, ARCHITECTURES.len() as c_int)
    }

    fn nvrtcGetSupportedArchs(list: Out<c_int>) {
        list.set_all(&ARCHITECTURES);
        Ok(())
    }

    fn nvrtcCreateProgram(
        program: Out<usize>, source: Text, name: Text, count: c_int, headers: In<Text>,
        include_names: In<Text>,
    ) {
        let count = usize::try_from(count).map_err(|_| Refusal::INVALID_INPUT)?;
        let read = |list: In<Text>| list.read(count).map_err(|_| Refusal::INVALID_INPUT);
        let headers = read(include_names)?.into_iter().zip(read(headers)?);
        let name = name.to_owned();
        let made = Program {
            source: source.to_owned(),
            // The name is a file's, for messages; a path in front of it is of no use.
            name: match Path::new(&name).file_name() {
                Some(file) => file.to_string_lossy().into_owned(),
                None => "default_program.cu".into(),
            },
            headers: headers.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
            ..Program::default()
        };
        let mut programs = programs();
        let handle = (1..).find(|handle| !programs.contains_key(handle)).unwrap_or_default();
        programs.insert(handle, made);
        put(program, handle)
    }

    fn nvrtcDestroyProgram(program: Out<usize>) {
        let handle = program.get().map_err(|_| Refusal::INVALID_PROGRAM)?;
        programs().remove(&handle).ok_or(Refusal::INVALID_PROGRAM)?;
        put(program, 0)
    }

    fn nvrtcAddNameExpression(program: usize, expression: Text) {
        with(program, |program| {
            program.names.push((expression.to_owned(), CString::default()));
            Ok(())
        })
    }

    fn nvrtcGetLoweredName(program: usize, expression: Text, lowered: Out<*const c_char>) {
        let expression = expression.to_owned();
        with(program, |program| {
            let found = program.names.iter().find(|(name, _)| *name == expression);
            let (_, symbol) = found.ok_or(Refusal::NAME_EXPRESSION_NOT_VALID)?;
            put(lowered, symbol.as_ptr())
        })
    }

    fn nvrtcCompileProgram(program: usize, count: c_int, options: In<Text>) {
        let count = usize::try_from(count).map_err(|_| Refusal::INVALID_INPUT)?;
        let options = options.read(count).map_err(|_| Refusal::INVALID_INPUT)?;
        let options: Vec<String> = options.into_iter().map(Text::to_owned).collect();
        // Taken out, so that other threads may compile other programs meanwhile.
        let mut taken = with(program, |program| Ok(std::mem::take(program)))?;
        let result = compile(emulator(), &mut taken, &options);
        with(program, |program| {
            *program = taken;
            Ok(())
        })?;
        result
    }

    fn nvrtcGetPTXSize(program: usize, size: Out<usize>) {
        with(program, |program| put(size, program.image.len()))
    }

    fn nvrtcGetPTX(program: usize, image: Out<u8>) {
        with(program, |program| all(image, &program.image))
    }

    fn nvrtcGetCUBINSize(program: usize, size: Out<usize>) {
        with(program, |program| put(size, program.image.len()))
    }

    fn nvrtcGetCUBIN(program: usize, image: Out<u8>) {
        with(program, |program| all(image, &program.image))
    }

    fn nvrtcGetProgramLogSize(program: usize, size: Out<usize>) {
        with(program, |program| put(size, program.log.len() + 1))
    }

    fn nvrtcGetProgramLog(program: usize, log: Out<u8>) {
        with(program, |program| all(log, &[&program.log[..], &[0]].concat()))
    }
}

const ARCHITECTURES: [c_int; 8] = [75, 80, 86, 87, 88, 89, 90, 100];

/// All functions.
pub(crate) fn symbols() -> Vec<Symbol> {
    let described = [("nvrtcGetErrorString", nvrtcGetErrorString as *const ())];
    let all = RESULTS.iter().copied().chain(described);
    all.map(|(name, address)| Symbol { name, address }).collect()
}

#[allow(non_snake_case)]
extern "C" fn nvrtcGetErrorString(result: c_int) -> *const c_char {
    let text = match Refusal(result) {
        Refusal(0) => c"NVRTC_SUCCESS",
        Refusal::INVALID_INPUT => c"NVRTC_ERROR_INVALID_INPUT",
        Refusal::INVALID_PROGRAM => c"NVRTC_ERROR_INVALID_PROGRAM",
        Refusal::INVALID_OPTION => c"NVRTC_ERROR_INVALID_OPTION",
        Refusal::COMPILATION => c"NVRTC_ERROR_COMPILATION",
        Refusal::NAME_EXPRESSION_NOT_VALID => c"NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID",
        _ => c"NVRTC_ERROR unknown",
    };
    text.as_ptr()
}

fn programs() -> MutexGuard<'static, HashMap<usize, Program>> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(program: usize, body: impl FnOnce(&mut Program) -> Res<T>) -> Res<T> {
    body(programs().get_mut(&program).ok_or(Refusal::INVALID_PROGRAM)?)
}

fn put<T>(out: Out<T>, value: T) -> Res {
    out.set(value).map_err(|_| Refusal::INVALID_INPUT)
}

fn all(out: Out<u8>, bytes: &[u8]) -> Res {
    out.set_all(bytes);
    Ok(())
}

fn compile(emulator: &Emulator, program: &mut Program, options: &[String]) -> Res {
    program.log.clear();
    let options = options::parse(options).map_err(|message| {
        program.log = message.into_bytes();
        Refusal::INVALID_OPTION
    })?;
    let result = make_image(emulator, program, &options)
        .and_then(|image| finish(emulator, program, &image).map(|()| image));
    match result {
        Ok(image) => {
            program.image = image.to_text().into_bytes();
            program.image.push(0);
            Ok(())
        }
        Err(log) => {
            program.log = log.into_bytes();
            Err(Refusal::COMPILATION)
        }
    }
}

/// Preprocesses and rewrites, or finds the result in the cache.
fn make_image(
    emulator: &Emulator,
    program: &Program,
    options: &options::Parsed,
) -> Result<Image, String> {
    let architecture = format!("-D__CUDA_ARCH__={}", options.architecture);
    let shim = emulator.shim.to_string_lossy();
    let names: Vec<String> = program.names.iter().map(|(name, _)| name.clone()).collect();
    let headers = program.headers.iter().flat_map(|(name, text)| [name.as_str(), text]);
    let parts = [emulator.compiler.as_str(), &shim, &program.source, &program.name, &architecture];
    let parts = parts.into_iter().chain(headers).chain(["names"]);
    let parts = parts.chain(names.iter().map(String::as_str)).chain(["options"]);
    let parts = parts.chain(options.preprocessor.iter().map(String::as_str));
    let key =
        format!("{}.image", cache::key(parts.chain(options.compiler.iter().map(String::as_str))));
    // Files that -I makes visible are not part of the key.
    let known = (!options.reads_files).then(|| std::fs::read_to_string(emulator.cache.path(&key)));
    if let Some(image) = known.and_then(Result::ok).and_then(|text| Image::parse(&text)) {
        return Ok(image);
    }
    let scratch = emulator.cache.scratch().map_err(|error| error.to_string())?;
    let directory = scratch.path();
    let files = program.headers.iter().map(|(name, text)| (name, text));
    for (name, text) in files.chain([(&program.name, &program.source)]) {
        let path = directory.join(name);
        let written = std::fs::create_dir_all(path.parent().unwrap_or(directory))
            .and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| format!("{name}: {error}\n"))?;
    }
    let fixed = ["-D__CUDACC__=1", "-D__CUDACC_RTC__=1", "-DCUDA_EMU=1", &architecture];
    let mut arguments = vec!["-E", "-x", "c++", "-nostdinc", "-I", &shim];
    arguments.extend(fixed);
    arguments.extend(options.preprocessor.iter().map(String::as_str));
    arguments.extend(["-include", "emu.h", "-I", ".", &program.name, "-o", "program.ii"]);
    image::compiler(directory, &arguments)?;
    let text = std::fs::read_to_string(directory.join("program.ii"));
    let source = rewrite(&text.map_err(|error| error.to_string())?, &names);
    let image = Image { name: program.name.clone(), flags: options.compiler.clone(), source };
    if !options.reads_files {
        let text = image.to_text();
        emulator.cache.write(&key, text.as_bytes()).map_err(|error| error.to_string())?;
    }
    Ok(image)
}

/// Compiles for the errors, and to learn the kernels and the symbols of name expressions.
fn finish(emulator: &Emulator, program: &mut Program, image: &Image) -> Result<(), String> {
    let object = image.compile(emulator)?;
    let module = Module::load(&image.name, &object)?;
    emulator.declare(&image.name, module.kernels());
    for (i, (_, symbol)) in program.names.iter_mut().enumerate() {
        let getter = CString::new(format!("__emu_name_{i}")).unwrap_or_default();
        *symbol = module.symbol_named_by(&getter).unwrap_or_default();
    }
    Ok(())
}
