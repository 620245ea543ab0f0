//! A record that ends with the process: for tests, and for `--registry=in_memory`.

use crate::{Contents, Operation, Registry, RegistryError};

/// Keeps the record in memory.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    contents: Contents,
}

impl MemoryRegistry {
    /// A record that holds `contents`.
    #[must_use]
    pub fn new(contents: Contents) -> Self {
        Self { contents }
    }
}

impl Registry for MemoryRegistry {
    fn recover(&mut self) -> Result<Contents, RegistryError> {
        Ok(self.contents.clone())
    }

    fn commit(&mut self, operations: &[Operation]) -> Result<(), RegistryError> {
        for operation in operations {
            self.contents.apply(operation.clone());
        }
        Ok(())
    }
}
