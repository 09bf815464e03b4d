//! The counter by which the blocks of a launch find out which of them is the last.

use std::sync::Arc;

use cudarc::driver::result;

use super::buffer::Argument;
use super::device::Device;
use super::driver::During;
use super::module::Access;
use super::stream::Stream;
use super::{Buffer, Cuda};
use crate::{DType, Result};

/// The ticket of a stream: zero whenever no kernel that takes it is running, of which a stream runs
/// one at a time.
pub(super) struct Ticket(Buffer);

impl Ticket {
    pub(super) fn new(device: &Device, stream: &Arc<Stream>) -> Result<Self> {
        let bytes = DType::U32.size();
        let memory = stream.allocate(&device.pool, bytes)?;
        // SAFETY: the memory has that many bytes, on this stream, whose context is bound.
        unsafe { result::memset_d8_async(memory.pointer, 0, bytes, stream.handle()) }
            .during("cuMemsetD8Async")?;
        Ok(Ticket(Buffer::new(DType::U32, 1, memory)))
    }
}

impl Cuda {
    /// The ticket, for a kernel that leaves it zero.
    pub(super) fn ticket(&self) -> Argument<'_> {
        let mut argument = self.ticket.0.read(1);
        argument.access = Access::Write;
        argument
    }
}
