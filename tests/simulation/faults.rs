//! Faults of the connection between the agent and VPP, drawn from the seed.

use std::time::Duration;

use fastrand::Rng;

/// The fate of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The frame, and all behind it, arrive late.
    Delay(Duration),
    Drop,
    Duplicate,
    /// One byte of the header, of the message id, or of the context is changed.
    Garble {
        place: usize,
        bits: u8,
    },
    /// The body ends early.
    Truncate,
    /// The connection ends within the frame, after a part of its bytes.
    Cut {
        permille: usize,
    },
}

/// The direction of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Request,
    Reply,
}

/// Frequencies of faults, per thousand frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    pub delay: u32,
    pub drop: u32,
    pub duplicate: u32,
    pub garble: u32,
    pub truncate: u32,
    pub cut: u32,
    /// Attempts to connect that fail.
    pub refuse: u32,
}

impl Weather {
    /// Weather with one to three kinds of faults.
    pub fn storm(rng: &mut Rng) -> Self {
        let mut weather = Self::default();
        for _ in 0..rng.u8(1..=3) {
            match rng.u8(0..7) {
                0 => weather.delay = rng.u32(20..300),
                1 => weather.drop = rng.u32(10..200),
                2 => weather.duplicate = rng.u32(20..300),
                3 => weather.garble = rng.u32(5..60),
                4 => weather.truncate = rng.u32(5..60),
                5 => weather.cut = rng.u32(5..60),
                _ => weather.refuse = rng.u32(200..900),
            }
        }
        weather
    }

    pub fn is_calm(&self) -> bool {
        *self == Self::default()
    }

    /// Draws the fate of a frame.
    pub fn fault(&self, rng: &mut Rng, direction: Direction) -> Fault {
        if self.is_calm() {
            return Fault::None;
        }
        let mut number = rng.u32(0..1000);
        let mut hits = |frequency: u32| {
            let hit = number < frequency;
            number = number.saturating_sub(frequency);
            hit
        };
        if hits(self.delay) && direction == Direction::Reply {
            Fault::Delay(Duration::from_millis(rng.u64(1..1500)))
        } else if hits(self.drop) {
            Fault::Drop
        } else if hits(self.duplicate) {
            Fault::Duplicate
        } else if hits(self.garble) {
            let place = match direction {
                // The client index: VPP executes the request and replies to nobody.
                Direction::Request => 16 + rng.usize(2..6),
                Direction::Reply => *rng.choice(&[8, 9, 10, 11, 16, 17, 18, 19, 20, 21]).expect("there are places"),
            };
            Fault::Garble { place, bits: 1 << rng.u8(0..8) }
        } else if hits(self.truncate) {
            Fault::Truncate
        } else if hits(self.cut) {
            Fault::Cut { permille: rng.usize(0..1000) }
        } else {
            Fault::None
        }
    }
}
