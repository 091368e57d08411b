//! A private folder that goes away with its owner.

use std::io;
use std::path::{Path, PathBuf};

use crate::service::random_hex;

/// A new folder under the system's temporary one. Removed with all it holds when it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one. `name` is for people who look at the temporary folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(name: &str) -> io::Result<Self> {
        Self::below(&std::env::temp_dir(), name)
    }

    /// Makes one in memory where the system has such a place, as `/run` of a gateway is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn in_memory(name: &str) -> io::Result<Self> {
        Self::below(Path::new("/dev/shm"), name).or_else(|_| Self::new(name))
    }

    fn below(place: &Path, name: &str) -> io::Result<Self> {
        let hex = random_hex();
        let path = place.join(format!("{name}-{}-{}", std::process::id(), &hex[..12]));
        std::fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it and gives its path.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left to the system's own cleaning when it does not work.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
