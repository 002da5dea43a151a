//! The segment's memory, mapped read-only: the only unsafe code of the client.
//!
//! Access to a mapping beyond the end of a truncated file faults (SIGBUS). VPP seals the file against truncation
//! (`F_SEAL_SHRINK`, always except with huge pages) and never truncates it. Only the file's size is mapped, and without
//! the seal, the size is checked before each read. The remaining risk: another process truncates an unsealed file
//! during the microseconds of a read.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    ptr::{NonNull, null_mut},
    slice,
    sync::atomic::AtomicU64,
};

use rustix::{
    fs::{SealFlags, fcntl_get_seals, fstat},
    io::Errno,
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

use super::error::StatsError;

/// Limit of the file's size; far more than any VPP uses (the default is 32 MiB). A larger file is no stats segment.
const MAX_SIZE: usize = 1 << 36;

/// A mapped segment.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<AtomicU64>,
    length: usize,
    /// The file, if it is not sealed against truncation: its size is checked before each read.
    unsealed: Option<OwnedFd>,
}

// SAFETY: the memory belongs to the value alone, is never written through it, and is read by atomic loads only.
#[expect(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: as above; shared references allow nothing but atomic loads.
#[expect(unsafe_code)]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the whole file.
    pub fn new(file: &OwnedFd) -> Result<Self, StatsError> {
        let failed = |error: Errno| StatsError::Map(error.into());
        let length = size(file).map_err(StatsError::Map)?;
        let sealed = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        let unsealed = if sealed { None } else { Some(file.try_clone().map_err(StatsError::Map)?) };
        // SAFETY: a new mapping at an address of the kernel's choice, so it overlaps no other memory; length > 0.
        #[expect(unsafe_code)]
        let start = unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file.as_fd(), 0) };
        let start = NonNull::new(start.map_err(failed)?.cast()).ok_or_else(|| failed(Errno::NOMEM))?;
        Ok(Self { start, length, unsealed })
    }

    /// The memory. VPP may write to it at any time, hence the atomics. Only relaxed loads are allowed, which Rust
    /// permits on read-only memory.
    pub fn words(&self) -> Result<&[AtomicU64], StatsError> {
        if let Some(file) = &self.unsealed
            && size(file).map_err(StatsError::Map)? < self.length
        {
            return Err(StatsError::Map(io::Error::other("the file was truncated")));
        }
        // SAFETY: `start` is page-aligned and maps `length` readable bytes until `drop`; the file holds
        // that much (sealed, or checked above); any bits are a valid AtomicU64, and all writers are in another process.
        #[expect(unsafe_code)]
        Ok(unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length / size_of::<AtomicU64>()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and no reference outlives `self`. It cannot fail then.
        #[expect(unsafe_code)]
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

fn size(file: &OwnedFd) -> io::Result<usize> {
    let size = fstat(file)?.st_size;
    let fits = usize::try_from(size).ok().filter(|size| (1..=MAX_SIZE).contains(size));
    fits.ok_or_else(|| io::Error::other(format!("a file of {size} bytes is no stats segment")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    fn file(length: u64) -> OwnedFd {
        let file = memfd_create("mapping", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, length).unwrap();
        file
    }

    #[test]
    fn writes_to_the_file_are_visible() {
        let file = file(8192 + 5);
        fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        let mapping = Mapping::new(&file).unwrap();
        assert!(mapping.unsealed.is_none());
        rustix::io::pwrite(&file, &7u64.to_ne_bytes(), 8184).unwrap();
        let words = mapping.words().unwrap();
        assert_eq!((words.len(), words[1023].load(Ordering::Relaxed)), (1024, 7));
    }

    #[test]
    fn truncated_file_is_an_error_and_no_fault() {
        let file = file(8192);
        let mapping = Mapping::new(&file).unwrap();
        assert!(mapping.words().is_ok());
        ftruncate(&file, 4096).unwrap();
        assert_eq!(mapping.words().unwrap_err().reason(), "MapFailed");
    }

    #[test]
    fn empty_file_is_refused() {
        assert_eq!(Mapping::new(&file(0)).unwrap_err().reason(), "MapFailed");
    }
}
