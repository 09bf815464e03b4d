//! The kernels of a source: declared in one table, loaded once a device, checked against what was
//! compiled.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaContext, sys};
use nasrl_kernels::Source;

use super::compiler::Compiler;
use super::image::{Function, Image};
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
            ($($access:ident $element:ident),*; $geometry:ty);
    )+ }) => {
        static TABLE: $crate::cuda::module::Table = $crate::cuda::module::Table {
            source: &$source,
            kernels: &[$(&$constant.declaration),+],
        };
        $(
            static $constant: $crate::cuda::module::Kernel<
                { <[&str]>::len(&[$(stringify!($element)),*]) },
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
                    }),*],
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
    pub(super) source: &'static Source<'static>,
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

    /// A kernel takes as many parameters as its launcher gives, of the same sizes.
    fn check(&self, name: &str, source: Source<'_>, found: &[usize]) -> Result<()> {
        let pointers = self.parameters.iter().map(|_| size_of::<sys::CUdeviceptr>());
        let expected: Vec<usize> = pointers.chain([self.geometry]).collect();
        if found == expected {
            return Ok(());
        }
        Err(Error::Kernel {
            kernel: name.to_owned(),
            source_name: source.name.to_owned(),
            problem: format!("its parameters have {found:?} bytes, those given {expected:?}"),
        })
    }

    /// The entry point for a type of elements.
    pub(super) fn entry_point(&self, dtype: Option<DType>) -> Option<&'static str> {
        match self.variants {
            [] => Some(self.name),
            variants => variants.iter().find(|(of, _)| Some(*of) == dtype).map(|(_, name)| *name),
        }
    }
}

/// The kernels of a table on a device.
pub(super) struct Module {
    functions: HashMap<&'static str, Function>,
    /// What the functions are of.
    _image: Image,
}

impl Module {
    /// Compiles, loads and checks the kernels of a table.
    pub(super) fn load(
        context: &Arc<CudaContext>,
        compiler: &Compiler,
        table: &Table,
    ) -> Result<Self> {
        let source = *table.source;
        let image = Image::load(context, compiler, source)?;
        let mut functions = HashMap::new();
        for declaration in table.kernels {
            for name in declaration.entry_points() {
                let function = image.function(source.name, name)?;
                declaration.check(name, source, &function.parameters)?;
                functions.insert(name, function);
            }
        }
        Ok(Module { functions, _image: image })
    }

    /// An entry point that the module's table declares.
    pub(super) fn get(&self, name: &str) -> &Function {
        &self.functions[name]
    }
}
