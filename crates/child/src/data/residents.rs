//! Where a split's images are beside the host's memory.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nasrl_tensor::{Backend, Result};

/// Images and labels on devices, by the device's name.
pub(super) struct Residents {
    id: u64,
    on: Mutex<HashMap<String, Box<dyn Any + Send + Sync>>>,
}

impl Residents {
    /// A number that no others have.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Those on a device, which are brought there if they are not there yet: whoever asks meanwhile
    /// waits for that.
    pub(super) fn on<B: Backend>(
        &self,
        backend: &B,
        images: &[u8],
        labels: &[u32],
    ) -> Result<Option<[B::Resident; 2]>> {
        let mut on = self.on.lock().unwrap_or_else(PoisonError::into_inner);
        let name = backend.name();
        let known = on.get(&name).and_then(|known| known.downcast_ref::<[B::Resident; 2]>());
        if let Some(known) = known {
            return Ok(Some(known.clone()));
        }
        let brought = backend.reside(images)?.zip(backend.reside(labels)?);
        let brought = brought.map(|(images, labels)| [images, labels]);
        if let Some(brought) = &brought {
            on.insert(name, Box::new(brought.clone()));
        }
        Ok(brought)
    }
}

impl Default for Residents {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Residents { id: NEXT.fetch_add(1, Ordering::Relaxed), on: Mutex::default() }
    }
}

impl Clone for Residents {
    /// None yet: a clone may change.
    fn clone(&self) -> Self {
        Residents::default()
    }
}
