//! Inputs: the files of a corpus, and mutations of them.
#![expect(clippy::print_stderr, reason = "part of the message of a failed test")]

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    thread,
};

use fastrand::Rng;

/// Longest mutated input in bytes.
const LONGEST: usize = 32 << 10;
/// Numbers at which a length or an index goes wrong.
const NUMBERS: [u64; 12] =
    [0, 1, 2, 3, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 64 << 20, i64::MAX as u64, u64::MAX];

/// Calls `check` with each file in `corpus/NAME`, then with `cases` mutations of them.
pub fn each_input(name: &str, cases: usize, check: impl Fn(&[u8])) {
    let directory = maglev_testkit::checkout().join("tests/fuzz/corpus").join(name);
    let inputs = read(&directory);
    let mut rng = Rng::new();
    for input in &inputs {
        checked(&directory, input, &check);
    }
    for _ in 0..cases {
        let input = mutated(&inputs, &mut rng);
        checked(&directory, &input, &check);
    }
}

fn read(directory: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{}: {} inputs", directory.display(), files.len());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn checked(directory: &Path, input: &[u8], check: impl Fn(&[u8])) {
    let kept = Kept { directory, input };
    check(input);
    drop(kept);
}

/// Adds the input to the corpus if the check of it panics.
struct Kept<'i> {
    directory: &'i Path,
    input: &'i [u8],
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let mut hasher = DefaultHasher::new();
        self.input.hash(&mut hasher);
        let path = self.directory.join(format!("found-{:016x}", hasher.finish()));
        eprintln!("the input is \"{}\"", self.input.escape_ascii());
        if fs::write(&path, self.input).is_ok() {
            eprintln!("it was added to the corpus as {}: commit the file, too", path.display());
        }
    }
}

fn mutated(inputs: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = inputs[rng.usize(..inputs.len())].clone();
    for _ in 0..rng.usize(1..8) {
        mutate(&mut input, inputs, rng);
        input.truncate(LONGEST);
    }
    input
}

fn mutate(input: &mut Vec<u8>, inputs: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    match rng.u8(..9) {
        0 => input.truncate(at),
        1 => input.insert(at, rng.u8(..)),
        2 => flip(input, rng),
        3 => put_number(input, at, rng),
        4 => drop(input.drain(range(input.len(), rng))),
        5 => {
            let part = input[range(input.len(), rng)].to_vec();
            input.splice(at..at, part);
        }
        6 => {
            let other = &inputs[rng.usize(..inputs.len())];
            input.splice(at..at, other[range(other.len(), rng)].iter().copied());
        }
        7 => {
            let range = range(input.len(), rng);
            let part = input[range.clone()].repeat(rng.usize(..64));
            input.splice(range, part);
        }
        _ => {
            let words = ["\n", " ", "\u{a0}", "\u{2028}", ":", "/", "[", "removed", "-1", "18446744073709551616"];
            input.splice(at..at, words[rng.usize(..words.len())].bytes());
        }
    }
}

fn flip(input: &mut [u8], rng: &mut Rng) {
    if !input.is_empty() {
        input[rng.usize(..input.len())] ^= 1 << rng.u8(..8);
    }
}

/// Overwrites a number of 1 to 8 bytes, in either order.
fn put_number(input: &mut [u8], at: usize, rng: &mut Rng) {
    let number = NUMBERS[rng.usize(..NUMBERS.len())].wrapping_add(rng.u64(..3)).wrapping_sub(1);
    let size = 1 << rng.u8(..4);
    let mut bytes = number.to_le_bytes();
    if rng.bool() {
        bytes[..size].reverse();
    }
    // Numbers of VPP are aligned.
    let at = if rng.bool() { at / size * size } else { at };
    input.iter_mut().skip(at).zip(&bytes[..size]).for_each(|(byte, new)| *byte = *new);
}

fn range(length: usize, rng: &mut Rng) -> std::ops::Range<usize> {
    let start = rng.usize(..=length);
    let longest = if rng.bool() { 16 } else { length };
    start..length.min(start + rng.usize(..=longest))
}
