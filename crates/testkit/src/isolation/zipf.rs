//! Draws users of whom some have many more events than others.

/// Zipf's law: the second user has half as many events as the first, and the third a third.
pub struct Zipf {
    /// The chance that an event belongs to this user or an earlier one.
    up_to: Vec<f64>,
}

impl Zipf {
    pub fn new(users: usize) -> Self {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = (1..=users)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        up_to.iter_mut().for_each(|share| *share /= sum);
        Self { up_to }
    }

    pub fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let chance = rng.f64();
        self.up_to
            .partition_point(|share| *share < chance)
            .min(self.up_to.len() - 1)
    }
}
