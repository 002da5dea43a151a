//! A stats segment of a VPP with many routes, in a memory file behind a stats socket.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    thread,
};

use anyhow::ensure;
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    io::pwrite,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType, accept, bind,
        listen, sendmsg, socket,
    },
};

/// Base address in VPP's memory.
const BASE: u64 = 0x7fe1_0900_1000;
/// Size of a directory entry, and of the header of the segment, in bytes.
const ENTRY: u64 = 144;
const HEADER: u64 = 64;
/// Entries beside those that the agent reads; the recording of a real VPP has more than 3,000.
const OTHER_ENTRIES: usize = 3_000;

pub const TO: &str = "/net/route/to";
pub const VIA: &str = "/net/route/via";
pub const VIPS: [&str; 4] =
    ["packet from existing sessions", "first session packet", "untracked packet", "no server configured"];

/// Sizes of the simulated VPP.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub routes: u64,
    pub vips: u64,
    pub threads: u64,
}

/// Writes a memory file from the front to the back.
struct Writer {
    file: OwnedFd,
    end: u64,
}

/// The counter of a route: `index` + `thread` packets of 100 bytes.
pub fn packets(index: u64, thread: u64) -> u64 {
    index + thread
}

/// Creates the segment.
pub fn create(sizes: Sizes) -> anyhow::Result<OwnedFd> {
    let file = memfd_create("stats", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let vectors = sizes.threads * (2 * sizes.routes * 16 + VIPS.len() as u64 * sizes.vips * 8 + 1024);
    ftruncate(&file, HEADER + vectors + ENTRY * (OTHER_ENTRIES as u64 + 16) + (1 << 20))?;
    fcntl_add_seals(&file, SealFlags::SHRINK)?;
    let mut writer = Writer { file, end: HEADER };
    let mut entries: Vec<(u32, u64, String)> =
        (0..OTHER_ENTRIES).map(|number| (1, number as u64, format!("/err/node-{number}/counter"))).collect();
    entries.push((1, 1_700_000_000, "/sys/boottime".to_owned()));
    entries.push((1, 7, "/sys/heartbeat".to_owned()));
    for name in [TO, VIA] {
        entries.push((3, writer.counters(sizes.threads, sizes.routes, 2)?, name.to_owned()));
    }
    for name in VIPS {
        entries.push((2, writer.counters(sizes.threads, sizes.vips, 1)?, name.to_owned()));
    }
    writer.finish(&entries)
}

impl Writer {
    /// Appends a vector of vectors of counters with `size` words each. Returns its address.
    fn counters(&mut self, threads: u64, length: u64, size: usize) -> anyhow::Result<u64> {
        let mut addresses = Vec::new();
        for thread in 0..threads {
            let counter = |index: u64| [packets(index, thread), packets(index, thread) * 100];
            let words: Vec<u64> = (0..length).flat_map(|index| counter(index).into_iter().take(size)).collect();
            addresses.push(self.vector(length, &words)?);
        }
        self.vector(threads, &addresses)
    }

    /// Appends a vector. Returns its address.
    fn vector(&mut self, length: u64, words: &[u64]) -> anyhow::Result<u64> {
        self.write(&[0, length])?;
        let address = BASE + self.end;
        self.write(words)?;
        Ok(address)
    }

    fn write(&mut self, words: &[u64]) -> anyhow::Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for chunk in bytes.chunks(1 << 20) {
            ensure!(pwrite(&self.file, chunk, self.end)? == chunk.len(), "the segment was written partially");
            self.end += chunk.len() as u64;
        }
        Ok(())
    }

    /// Appends the directory and writes the header.
    fn finish(mut self, entries: &[(u32, u64, String)]) -> anyhow::Result<OwnedFd> {
        let mut words = Vec::new();
        for (kind, value, name) in entries {
            let mut entry = [0; ENTRY as usize];
            entry[..4].copy_from_slice(&kind.to_ne_bytes());
            entry[8..16].copy_from_slice(&value.to_ne_bytes());
            entry[16..16 + name.len()].copy_from_slice(name.as_bytes());
            words.extend(entry.as_chunks().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)));
        }
        let directory = self.vector(entries.len() as u64, &words)?;
        let header: Vec<u8> = [2, BASE, 1, 0, directory].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
        ensure!(pwrite(&self.file, &header, 0)? == header.len(), "the header was written partially");
        Ok(self.file)
    }
}

/// Sends the segment to the next client of a stats socket at `path`.
pub fn serve(path: &Path, segment: OwnedFd) -> anyhow::Result<()> {
    let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    listen(&listener, 1)?;
    thread::spawn(move || {
        let client = accept(&listener)?;
        let descriptors = [segment.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&client, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)
    });
    Ok(())
}
