//! Writes images of the segment into its memory file.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    io::pwrite,
};

use super::{
    Figures,
    image::{EPOCH, IN_PROGRESS, Image, file_size},
};

/// Words that are compared and written together: a page.
const CHUNK: usize = 512;

/// A memory file and its content.
#[derive(Debug)]
pub struct Publisher {
    file: OwnedFd,
    /// Size of the file in bytes.
    size: usize,
    figures: Figures,
    image: Image,
}

impl Publisher {
    /// A memory file with room for the counters of `routes` routes beside those of the plugin.
    pub fn new(routes: u32) -> io::Result<Self> {
        let file = memfd_create("stat segment", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let size = file_size(routes);
        ftruncate(&file, size as u64)?;
        // As in VPP: clients can rely on the size of their mappings.
        fcntl_add_seals(&file, SealFlags::SHRINK)?;
        Ok(Self { file, size, figures: Figures::default(), image: Image::default() })
    }

    pub fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Updates the segment.
    pub fn publish(&mut self, figures: Figures) -> io::Result<()> {
        if figures == self.figures {
            return Ok(());
        }
        let layout = self.image.layout.grown(&figures);
        if layout == self.image.layout {
            self.update(Image::new(layout, self.image.epoch(), &figures))?;
        } else {
            self.replace(Image::new(layout, self.image.epoch() + 1, &figures))?;
        }
        self.figures = figures;
        Ok(())
    }

    fn replace(&mut self, next: Image) -> io::Result<()> {
        if next.words.len() * 8 > self.size {
            return Err(io::Error::other("it has grown beyond its memory"));
        }
        self.put(IN_PROGRESS, 1)?;
        // All words except the first ones, which readers check first. Those are written last, the epoch before the end marker.
        let first = IN_PROGRESS + 1;
        let mut old = self.image.words.get(first..).unwrap_or_default().chunks(CHUNK);
        for (number, chunk) in next.words[first..].chunks(CHUNK).enumerate() {
            // VPP clears new vectors, which touches their pages.
            if old.next() != Some(chunk) {
                let bytes: Vec<u8> = chunk.iter().flat_map(|word| word.to_ne_bytes()).collect();
                self.write(&bytes, first + number * CHUNK)?;
            }
        }
        for index in 0..=EPOCH {
            self.put(index, next.words[index])?;
        }
        self.put(IN_PROGRESS, 0)?;
        self.image = next;
        Ok(())
    }

    /// Writes changed words one by one, like the threads of VPP.
    fn update(&mut self, next: Image) -> io::Result<()> {
        let chunks = self.image.words.chunks(CHUNK).zip(next.words.chunks(CHUNK)).enumerate();
        for (number, (old, new)) in chunks.filter(|(_, (old, new))| old != new) {
            for (index, (_, word)) in old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new) {
                self.put(number * CHUNK + index, *word)?;
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
