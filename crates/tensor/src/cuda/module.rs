//! The kernels of a source: declared in one table, loaded once a device, checked against what was
//! compiled.

use std::collections::HashMap;
use std::ffi::CString;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cudarc::driver::{CudaContext, DriverError, result, sys};
use nasrl_kernels::Source;

use super::compiler::Compiler;
use super::driver::During;
use crate::{DType, Error, Result};

/// Declares the kernels of a source as constants that [`Cuda::launch`](super::Cuda::launch) takes:
/// for each its entry point's name, the types it comes in, and its parameters, which are pointers
/// and then one `#[repr(C)]` geometry.
///
/// ```text
/// kernels! { nasrl_kernels::BIAS {
///     BIAS: bias<f32, bf16, f16>(read T, read f32, write T; Biased);
///     TOTAL: bias_backward_total(read f32, write f32; Slices);
/// } }
/// ```
///
/// The entry points of `bias` are `bias_f32`, `bias_bf16` and `bias_f16`; `T` is the type that one
/// is named after, and a parameter's type is that of its buffer. `any` leaves the type open.
macro_rules! kernels {
    ($source:path { $(
        $constant:ident: $name:ident $(<$($variant:ident),+>)?
            ($($access:ident $element:ident),+; $geometry:ty);
    )+ }) => {
        static TABLE: $crate::cuda::module::Table = $crate::cuda::module::Table {
            source: &$source,
            kernels: &[$(&$constant.declaration),+],
        };
        $(
            static $constant: $crate::cuda::module::Kernel<
                { [$(stringify!($element)),+].len() },
                $geometry,
            > = $crate::cuda::module::Kernel::new(
                &TABLE,
                $crate::cuda::module::Declaration {
                    name: stringify!($name),
                    variants: &[$($((
                        $crate::cuda::module::element!($variant),
                        concat!(stringify!($name), "_", stringify!($variant)),
                    )),+)?],
                    parameters: &[$($crate::cuda::module::Parameter {
                        access: $crate::cuda::module::access!($access),
                        elements: $crate::cuda::module::parameter!($element),
                    }),+],
                    geometry: size_of::<$geometry>(),
                },
            );
        )+
    };
}
pub(super) use kernels;

macro_rules! element {
    (f32) => {
        $crate::DType::F32
    };
    (bf16) => {
        $crate::DType::BF16
    };
    (f16) => {
        $crate::DType::F16
    };
    (u8) => {
        $crate::DType::U8
    };
    (u32) => {
        $crate::DType::U32
    };
}
pub(super) use element;

macro_rules! parameter {
    (T) => {
        $crate::cuda::module::Elements::OfVariant
    };
    (any) => {
        $crate::cuda::module::Elements::Any
    };
    ($element:ident) => {
        $crate::cuda::module::Elements::Of($crate::cuda::module::element!($element))
    };
}
pub(super) use parameter;

macro_rules! access {
    (read) => {
        $crate::cuda::module::Access::Read
    };
    (write) => {
        $crate::cuda::module::Access::Write
    };
}
pub(super) use access;

/// The kernels of one source.
pub(super) struct Table {
    pub(super) source: &'static Source,
    pub(super) kernels: &'static [&'static Declaration],
}

/// What the host takes a kernel for.
pub(super) struct Declaration {
    /// The entry point's name, less the variant.
    pub(super) name: &'static str,
    /// The types it comes in and the entry points' names; none if it comes in one form, whose entry
    /// point has the name.
    pub(super) variants: &'static [(DType, &'static str)],
    pub(super) parameters: &'static [Parameter],
    /// The size of the geometry, which is the last parameter.
    pub(super) geometry: usize,
}

/// A pointer that a kernel takes.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) access: Access,
    pub(super) elements: Elements,
}

/// What a pointer points at.
#[derive(Clone, Copy)]
pub(super) enum Elements {
    /// The type that the entry point is named after.
    OfVariant,
    /// This type.
    Of(DType),
    /// What the geometry says.
    Any,
}

/// What a kernel does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A declared kernel with `N` buffers and the geometry `G`.
pub(super) struct Kernel<const N: usize, G> {
    pub(super) table: &'static Table,
    pub(super) declaration: Declaration,
    geometry: PhantomData<fn(G)>,
}

impl<const N: usize, G> Kernel<N, G> {
    pub(super) const fn new(table: &'static Table, declaration: Declaration) -> Self {
        assert!(declaration.parameters.len() == N);
        Kernel { table, declaration, geometry: PhantomData }
    }
}

impl Declaration {
    /// The names of the entry points.
    fn entry_points(&self) -> impl Iterator<Item = &'static str> {
        let only = self.variants.is_empty().then_some(self.name);
        self.variants.iter().map(|(_, name)| *name).chain(only)
    }

    /// The entry point for a type of elements.
    pub(super) fn entry_point(&self, dtype: Option<DType>) -> Option<&'static str> {
        match self.variants {
            [] => Some(self.name),
            variants => variants.iter().find(|(of, _)| Some(*of) == dtype).map(|(_, name)| *name),
        }
    }
}

/// A source's machine code on a device.
pub(super) struct Module {
    context: Arc<CudaContext>,
    module: sys::CUmodule,
    functions: HashMap<&'static str, Function>,
}

/// An entry point on a device.
pub(super) struct Function {
    handle: sys::CUfunction,
    /// The dynamic shared memory that a block may have so far.
    shared: AtomicU32,
}

// SAFETY: the handles may be used from any thread to which the context is bound, which every call
// here sees to; nothing changes them but the drop.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// What a kernel may have without asking the driver.
const SHARED_BY_DEFAULT: u32 = 48 << 10;

impl Module {
    /// Compiles, loads and checks the kernels of a table.
    pub(super) fn load(
        context: &Arc<CudaContext>,
        compiler: &Compiler,
        table: &Table,
    ) -> Result<Self> {
        context.bind_to_thread().during("cuCtxSetCurrent")?;
        let source = *table.source;
        let cubin = compiler.cubin(source)?;
        let load = |bytes: &[u8]| {
            // SAFETY: the bytes are an image that NVRTC made, or a text that ends with NUL; the
            // driver copies them.
            unsafe { result::module::load_data(bytes.as_ptr().cast()) }
        };
        let module = match load(&cubin.bytes) {
            // The cache may hold what another kind of driver made, or what a full disk left.
            Err(_) if cubin.cached => load(&compiler.again(source, cubin)?.bytes),
            loaded => loaded,
        };
        let module = module.during(&format!("cuModuleLoadData of {}", source.name))?;
        let mut module = Module { context: Arc::clone(context), module, functions: HashMap::new() };
        for declaration in table.kernels {
            for name in declaration.entry_points() {
                let function = module.function(&source, name, declaration)?;
                module.functions.insert(name, function);
            }
        }
        Ok(module)
    }

    /// An entry point that the module's table declares.
    pub(super) fn get(&self, name: &str) -> &Function {
        &self.functions[name]
    }

    fn function(
        &self,
        source: &Source,
        name: &'static str,
        declaration: &Declaration,
    ) -> Result<Function> {
        let wrong = |problem: String| Error::Kernel {
            kernel: name.to_owned(),
            source_name: source.name.to_owned(),
            problem,
        };
        let c_name = CString::new(name).map_err(|_| wrong("a NUL in the name".to_owned()))?;
        // SAFETY: the module is loaded and its context is bound.
        let handle = unsafe { result::module::get_function(self.module, c_name) }
            .map_err(|_| wrong("the source has no such kernel".to_owned()))?;
        let pointers = declaration.parameters.iter().map(|_| size_of::<sys::CUdeviceptr>());
        let sizes: Vec<usize> = pointers.chain([declaration.geometry]).collect();
        for (index, &size) in sizes.iter().enumerate() {
            match parameter_size(handle, index) {
                Ok(found) if found == size => {}
                Ok(found) => {
                    let problem = format!("parameter {index} has {found} bytes, not {size}");
                    return Err(wrong(problem));
                }
                Err(_) => {
                    return Err(wrong(format!("it has {index} parameters, not {}", sizes.len())));
                }
            }
        }
        match parameter_size(handle, sizes.len()) {
            Ok(_) => Err(wrong(format!("it has more than {} parameters", sizes.len()))),
            Err(_) => Ok(Function { handle, shared: AtomicU32::new(SHARED_BY_DEFAULT) }),
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.context.record_err(self.context.synchronize());
        // SAFETY: nobody else unloads the module; its launches are over, and there will be no more,
        // since they borrow it.
        self.context.record_err(unsafe { result::module::unload(self.module) });
    }
}

impl Function {
    /// The handle, for a launch with this much dynamic shared memory.
    pub(super) fn with_shared(&self, bytes: u32) -> Result<sys::CUfunction, DriverError> {
        if bytes > self.shared.load(Ordering::Relaxed) {
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
            // SAFETY: the module of the function is loaded as long as `self` is.
            unsafe { result::function::set_function_attribute(self.handle, attribute, bytes) }?;
            self.shared.fetch_max(bytes as u32, Ordering::Relaxed);
        }
        Ok(self.handle)
    }
}

fn parameter_size(function: sys::CUfunction, index: usize) -> Result<usize, DriverError> {
    let (mut offset, mut size) = (0, 0);
    // SAFETY: the function is of a loaded module, the results outlive the call.
    unsafe { sys::cuFuncGetParamInfo(function, index, &mut offset, &mut size) }.result()?;
    Ok(size)
}
