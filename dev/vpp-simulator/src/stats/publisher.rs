//! Writes images of the segment into its memory file.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    io::pwrite,
};

use super::{
    Figures,
    image::{EPOCH, IN_PROGRESS, Image, SIZE},
};

/// A memory file and its content.
#[derive(Debug)]
pub struct Publisher {
    file: OwnedFd,
    image: Image,
}

impl Publisher {
    pub fn new() -> io::Result<Self> {
        let file = memfd_create("stat segment", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, SIZE as u64)?;
        // As in VPP: clients can rely on the size of their mappings.
        fcntl_add_seals(&file, SealFlags::SHRINK)?;
        Ok(Self { file, image: Image::default() })
    }

    pub fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Updates the segment.
    pub fn publish(&mut self, figures: &Figures) -> io::Result<()> {
        let layout = self.image.layout.grown(figures);
        if layout == self.image.layout {
            return self.update(Image::new(layout, self.image.epoch(), figures));
        }
        let next = Image::new(layout, self.image.epoch() + 1, figures);
        if next.words.len() * 8 > SIZE {
            return Err(io::Error::other("it has grown beyond its memory"));
        }
        self.put(IN_PROGRESS, 1)?;
        // All words except the first ones, which readers check first. Those are written last, the epoch before the end marker.
        let bytes: Vec<u8> = next.words[IN_PROGRESS + 1..].iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.write(&bytes, IN_PROGRESS + 1)?;
        for index in 0..=EPOCH {
            self.put(index, next.words[index])?;
        }
        self.put(IN_PROGRESS, 0)?;
        self.image = next;
        Ok(())
    }

    /// Writes changed words one by one, like the threads of VPP.
    fn update(&mut self, next: Image) -> io::Result<()> {
        for (index, (old, new)) in self.image.words.iter().zip(&next.words).enumerate() {
            if old != new {
                self.put(index, *new)?;
            }
        }
        self.image = next;
        Ok(())
    }

    fn put(&self, index: usize, word: u64) -> io::Result<()> {
        self.write(&word.to_ne_bytes(), index)
    }

    fn write(&self, bytes: &[u8], word: usize) -> io::Result<()> {
        let written = pwrite(&self.file, bytes, word as u64 * 8)?;
        if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}
