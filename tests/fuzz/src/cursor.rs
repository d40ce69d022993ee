//! Inputs of several parts: texts that end in a NUL, then bytes that stand for choices.

/// Takes an input apart. What is missing is empty, or zero.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// The text up to the next NUL, or to the end.
    pub(crate) fn text(&mut self) -> String {
        let end = self.rest.iter().position(|b| *b == 0);
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.get(1..).unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self
            .rest
            .split_first()
            .map_or((0, self.rest), |(b, rest)| (*b, rest));
        self.rest = rest;
        first
    }

    /// One of these, by the next byte.
    pub(crate) fn choose<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()].clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}
