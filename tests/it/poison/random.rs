//! Choices that a seed repeats.

/// A generator of small quality and no state but a number (xorshift).
pub struct Random(u64);

impl Random {
    /// A generator that goes on from this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Less than this.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// One of these.
    pub fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A text of so many characters, none of which OpenNebula refuses.
    pub fn text(&mut self, length: usize) -> String {
        let odd = [
            '"', '\\', '\n', '\t', '{', '}', '[', ']', ',', ':', '=', '<', '&', '\'', '%', '$', 'é', '😀',
            '\u{85}', '\u{feff}', 'A', '0', ' ', '-',
        ];
        (0..length).map(|_| self.of(&odd)).collect()
    }

    /// A text with some of its characters changed, doubled or lost.
    pub fn damage(&mut self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(4) {
            let at = self.below(characters.len().max(1));
            match self.below(4) {
                0 => characters.truncate(at),
                1 if at < characters.len() => drop(characters.remove(at)),
                2 => {
                    let more = self.text(3);
                    characters.splice(at..at, more.chars());
                }
                _ if at < characters.len() => {
                    characters[at] = self.of(&['"', '{', '9', '-', 'x', '\u{fffd}']);
                }
                _ => {}
            }
        }
        characters.into_iter().collect()
    }
}
