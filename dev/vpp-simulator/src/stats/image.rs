//! The words of the segment for given values: header, vectors, directory. Pure.

use super::{Figures, RouteFigures};
use crate::THREADS;

/// Size of the memory file in bytes: VPP's default.
const DEFAULT_SIZE: usize = 32 << 20;
/// Size of the header in words.
pub const EPOCH: usize = 2;
pub const IN_PROGRESS: usize = 3;
const DIRECTORY: usize = 4;
const HEADER: usize = 8;
/// Base address in VPP's memory.
const BASE: u64 = 0x7fe1_0900_1000;
/// Upper half of the word before the elements of VPP's vectors.
const VECTOR: u64 = 0x8608 << 32;
/// Size of a directory entry in words.
const ENTRY: usize = 18;
const LB_COUNTERS: [&str; 4] =
    ["packet from existing sessions", "first session packet", "untracked packet", "no server configured"];

/// The lengths of the vectors, which never shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Length of VIP counters; 0 before the first VIP, when there are no such counters.
    vips: usize,
    /// Length of route counters; 0 before the first layout.
    routes: usize,
}

/// Size in bytes of a memory file for `routes` routes beside those of the plugin. A vector grows to a power of two.
pub fn file_size(routes: u32) -> usize {
    let (counters, words) = (2, 2);
    DEFAULT_SIZE + (routes as usize * 2).next_power_of_two() * counters * words * THREADS * size_of::<u64>()
}

impl Layout {
    /// The layout with room for all of `figures`.
    pub fn grown(self, figures: &Figures) -> Self {
        let room =
            |last: Option<&u32>, least: usize| last.map_or(least, |last| (*last as usize + 2).next_power_of_two());
        Self {
            vips: self.vips.max(room(figures.vips.keys().last(), 0)),
            routes: self.routes.max(room(figures.routes.checked_sub(1).as_ref(), 16)),
        }
    }
}

/// The words of a segment up to the last used one.
#[derive(Debug, Default)]
pub struct Image {
    pub layout: Layout,
    pub words: Vec<u64>,
}

/// An entry of the directory: type, value, name.
type Entry = (u32, u64, &'static str);

impl Image {
    pub fn new(layout: Layout, epoch: u64, figures: &Figures) -> Self {
        let mut image = Self { layout, words: vec![0; HEADER] };
        let directory = image.entries(figures);
        let at = image.vector(directory.len(), directory.len() * ENTRY);
        for (index, (kind, value, name)) in directory.into_iter().enumerate() {
            let entry = &mut image.words[at + index * ENTRY..][..ENTRY];
            entry[0] = kind.into();
            entry[1] = value;
            put_text(&mut entry[2..], name);
        }
        let header = [2, BASE, epoch, 0];
        image.words[..=IN_PROGRESS].copy_from_slice(&header);
        image.words[DIRECTORY] = address(at);
        image
    }

    pub fn epoch(&self) -> u64 {
        self.words.get(EPOCH).copied().unwrap_or(0)
    }

    /// Some of the entries of a real VPP, then those of the plugin.
    fn entries(&mut self, figures: &Figures) -> Vec<Entry> {
        let memory =
            self.simple(&[vec![DEFAULT_SIZE as u64, DEFAULT_SIZE as u64 / 8, DEFAULT_SIZE as u64 / 8 * 7, 0, 0, 0, 0]]);
        let rates = self.simple(&[vec![0, 0], vec![0, 0]]);
        let names = self.names(&["local0", "tap0"]);
        let drops = self.simple(&[vec![0, 7], vec![0, 35]]);
        let (to, via) = (self.routes(figures, &figures.to), self.routes(figures, &figures.via));
        let link = |target: u64, column: u64| target | column << 32;
        let mut entries = vec![
            (1, figures.heartbeat, "/sys/heartbeat"),
            (1, 0, "/sys/last_stats_clear"),
            (1, figures.boot_time, "/sys/boottime"),
            (2, memory, "/mem/stat segment"),
            (6, link(3, 1), "/mem/stat segment/used"),
            (6, link(3, 0), "/mem/stat segment/total"),
            (6, link(3, 2), "/mem/stat segment/free"),
            (9, 0, "/sys/vector_rate"),
            (2, rates, "/sys/vector_rate_per_worker"),
            (9, THREADS as u64 - 1, "/sys/num_worker_threads"),
            (4, names, "/if/names"),
            (2, drops, "/if/drops"),
            (6, link(11, 1), "/interfaces/tap0/drops"),
            (5, 0, "/interfaces/deleted"),
            (3, to, "/net/route/to"),
            (3, via, "/net/route/via"),
        ];
        if self.layout.vips > 0 {
            let counters = LB_COUNTERS.iter().enumerate();
            entries.extend(counters.map(|(kind, name)| (2, self.vips(figures, kind), *name)));
        }
        entries
    }

    fn vips(&mut self, figures: &Figures, kind: usize) -> u64 {
        let mut threads = [vec![0; self.layout.vips], vec![0; self.layout.vips]];
        for (index, counters) in &figures.vips {
            for (thread, share) in threads.iter_mut().zip(figures.shares(counters[kind])) {
                thread[*index as usize] = share;
            }
        }
        self.simple(&threads)
    }

    fn routes(&mut self, figures: &Figures, routes: &RouteFigures) -> u64 {
        let mut threads = [vec![0; 2 * self.layout.routes], vec![0; 2 * self.layout.routes]];
        for (index, (packets, bytes)) in routes {
            let at = 2 * *index as usize;
            let shares = figures.shares(*packets).into_iter().zip(figures.shares(*bytes));
            for (thread, share) in threads.iter_mut().zip(shares) {
                (thread[at], thread[at + 1]) = share;
            }
        }
        self.threads(&threads, 2)
    }

    fn simple(&mut self, threads: &[Vec<u64>]) -> u64 {
        self.threads(threads, 1)
    }

    /// A vector of vectors with elements of `size` words.
    fn threads(&mut self, threads: &[Vec<u64>], size: usize) -> u64 {
        let outer = self.vector(threads.len(), threads.len());
        for (index, thread) in threads.iter().enumerate() {
            let inner = self.vector(thread.len() / size, thread.len());
            self.words[inner..][..thread.len()].copy_from_slice(thread);
            self.words[outer + index] = address(inner);
        }
        address(outer)
    }

    fn names(&mut self, names: &[&str]) -> u64 {
        let outer = self.vector(names.len(), names.len());
        for (index, name) in names.iter().enumerate() {
            // VPP includes the terminating NUL.
            let words = name.len() / 8 + 1;
            let inner = self.vector(name.len() + 1, words);
            put_text(&mut self.words[inner..][..words], name);
            self.words[outer + index] = address(inner);
        }
        address(outer)
    }

    /// Allocates a vector of `length` elements and `words` words. Returns its start, which is a multiple of 16 bytes.
    fn vector(&mut self, length: usize, words: usize) -> usize {
        if self.words.len().is_multiple_of(2) {
            self.words.push(0);
        }
        self.words.push(VECTOR | length as u64);
        let at = self.words.len();
        self.words.resize(at + words, 0);
        at
    }
}

fn address(word: usize) -> u64 {
    BASE + word as u64 * 8
}

fn put_text(words: &mut [u64], text: &str) {
    for (word, bytes) in words.iter_mut().zip(text.as_bytes().chunks(8)) {
        let mut full = [0; 8];
        full[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(full);
    }
}
