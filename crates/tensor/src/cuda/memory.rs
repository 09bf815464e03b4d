use bytemuck::NoUninit;
use cudarc::driver::result;

use super::buffer::Argument;
use super::driver::During;
use super::launch::Grid;
use super::module::kernels;
use super::stream::Scratch;
use super::{Buffer, Cuda};
use crate::{DType, Element, Error, Memory, Result};

kernels! { nasrl_kernels::CAST {
    TO_F32: cast_to_f32<f32, bf16, f16>(read T, write f32; Elements);
    TO_BF16: cast_to_bf16<f32, bf16, f16>(read T, write bf16; Elements);
    TO_F16: cast_to_f16<f32, bf16, f16>(read T, write f16; Elements);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Elements {
    len: u64,
}

impl Memory for Cuda {
    type Buffer = Buffer;

    fn name(&self) -> String {
        self.device.name.clone()
    }

    fn zeros(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let mut buffer = self.uninitialised(dtype, len)?;
        self.clear(len, &mut buffer)?;
        Ok(buffer)
    }

    fn write<T: Element>(&self, data: &[T], to: &mut Buffer) -> Result<()> {
        to.bytes_of::<T>(data.len());
        self.stream.unrecorded("a copy from the host")?;
        let to = self.own(to.write(data.len()))?;
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: the buffer holds at least as many elements of the type, on this stream; `data`
        // outlives the copy, which is waited for.
        unsafe { result::memcpy_htod_async(to, data, self.stream.handle()) }
            .during("cuMemcpyHtoDAsync")?;
        self.synchronize()
    }

    fn read<T: Element>(&self, from: &Buffer, data: &mut [T]) -> Result<()> {
        from.bytes_of::<T>(data.len());
        self.stream.unrecorded("a copy to the host")?;
        let from = self.own(from.read(data.len()))?;
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: the buffer holds at least as many elements of the type, on this stream, and any
        // bits are elements of it; `data` outlives the copy, which is waited for.
        unsafe { result::memcpy_dtoh_async(data, from, self.stream.handle()) }
            .during("cuMemcpyDtoHAsync")?;
        self.synchronize()
    }

    fn copy(&self, len: usize, from: &Buffer, to: &mut Buffer) -> Result<()> {
        assert_eq!(from.dtype(), to.dtype(), "a copy between dtypes");
        let bytes = from.bytes(len).min(to.bytes(len));
        let (from, to) = (self.own(from.read(len))?, self.own(to.write(len))?);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both buffers hold that many bytes, on this stream, and are not one.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.handle()) }
            .during("cuMemcpyDtoDAsync")
    }

    fn cast(&self, len: usize, from: &Buffer, to: &mut Buffer) -> Result<()> {
        let kernel = match to.dtype() {
            DType::F32 => &TO_F32,
            DType::BF16 => &TO_BF16,
            DType::F16 => &TO_F16,
            found => {
                return Err(Error::DType { op: "cast", found, expected: "f32, bf16 or f16" });
            }
        };
        let geometry = Elements { len: len as u64 };
        self.launch(kernel, Grid::elementwise(len), [from.read(len), to.write(len)], geometry)
    }

    fn clear(&self, len: usize, buffer: &mut Buffer) -> Result<()> {
        let bytes = buffer.bytes(len);
        let pointer = self.own(buffer.write(len))?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the buffer holds that many bytes, on this stream.
        unsafe { result::memset_d8_async(pointer, 0, bytes, self.stream.handle()) }
            .during("cuMemsetD8Async")
    }

    fn synchronize(&self) -> Result<()> {
        self.stream.synchronize()
    }

    fn dtype(buffer: &Buffer) -> DType {
        buffer.dtype()
    }

    fn capacity(buffer: &Buffer) -> usize {
        buffer.capacity()
    }
}

impl Cuda {
    /// A buffer with anything in it.
    fn uninitialised(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let bytes = len.saturating_mul(dtype.size());
        let memory = self.stream.allocate(&self.device.pool, bytes)?;
        Ok(Buffer::new(dtype, len, memory))
    }

    /// A buffer with anything in it, for what one kernel of an operation leaves to the next.
    pub(super) fn scratch(&self, dtype: DType, len: usize) -> Result<Scratch> {
        self.stream.scratch(&self.device.pool, (dtype, len))
    }

    /// What a kernel takes where its operand is optional and there is none: a null pointer.
    pub(super) fn absent(&self, dtype: DType) -> Argument<'static> {
        Argument::null(dtype, self.stream.handle())
    }

    /// The clock of an operation, if there is one.
    pub(super) fn clock<'a>(&self, clock: Option<&'a Buffer>) -> Argument<'a> {
        clock.map_or(self.absent(DType::U32), |clock| clock.read(2))
    }

    /// The address of an operand on this stream, whose context is bound to the thread then.
    fn own(&self, argument: Argument<'_>) -> Result<u64> {
        self.admit(&argument)?;
        self.device.context.bind_to_thread().during("cuCtxSetCurrent")?;
        Ok(argument.pointer)
    }
}
