//! Texts for people, which are stored and logged and must stay readable.

/// The beginning of a text that has more than `limit` bytes, with an ellipsis.
///
/// Whoever writes a SPEC or names an object decides how long a message that quotes it would be.
pub fn shorten(text: impl Into<String>, limit: usize) -> String {
    let mut text = text.into();
    if text.len() > limit {
        let mut end = limit.saturating_sub(3);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abc...");
        assert_eq!(shorten("aééé", 6), "aé...");
        assert_eq!(shorten("éé", 1), "...");
    }
}
