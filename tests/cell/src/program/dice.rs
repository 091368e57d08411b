//! Repeatable chance.

/// A small random generator (SplitMix64): the same seed gives the same numbers on every machine. For tests only.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator; every seed is good.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// `high` is below `low`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        let span = (high - low) as u64 + 1;
        let offset = usize::try_from(self.roll() % span);
        low + offset.unwrap_or(0)
    }

    /// One of several things.
    ///
    /// # Panics
    /// There are none.
    pub fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.between(0, things.len() - 1)]
    }

    /// A measure in millimetres or degrees, from `low` to `high`, to a hundredth.
    pub fn measure(&mut self, low: i32, high: i32) -> f64 {
        let steps = usize::try_from((high - low) * 100).unwrap_or(0);
        f64::from(low) + self.between(0, steps) as f64 / 100.0
    }
}
