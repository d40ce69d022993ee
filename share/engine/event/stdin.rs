//! Standard input of a hook: words, and the payload behind them.

use std::io::{self, Cursor, Read};

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::read::DecoderReader;

/// All words in front of the payload together are shorter than this.
const WORDS: u64 = 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The decoded payload.
pub(super) type Payload<R> = DecoderReader<'static, GeneralPurpose, Word<R>>;

/// Splits the words from the payload, which is the last word. `None` if there is no payload.
///
/// # Errors
/// Those of `input`.
pub(super) fn split<R: Read>(mut input: R) -> io::Result<Option<(Vec<String>, Payload<R>)>> {
    let mut head = Vec::new();
    input.by_ref().take(WORDS).read_to_end(&mut head)?;
    let whole = head.len() < usize::try_from(WORDS).unwrap_or(usize::MAX);
    if whole {
        head.truncate(head.trim_ascii_end().len());
    }
    let start = head
        .iter()
        .rposition(u8::is_ascii_whitespace)
        .map_or(0, |blank| blank + 1);
    let payload = head.split_off(start);
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
    if payload.is_empty() || whole && !payload.iter().all(is_base64) {
        return Ok(None);
    }
    let words = head
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let word = Word {
        inner: Cursor::new(payload).chain(input),
        ended: false,
    };
    Ok(Some((words, DecoderReader::new(word, &BASE64))))
}

/// Reads up to the next blank.
pub(super) struct Word<R> {
    inner: io::Chain<Cursor<Vec<u8>>, R>,
    ended: bool,
}

impl<R: Read> Read for Word<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let n = self.inner.read(buf)?;
        let end = blank(&buf[..n]);
        self.ended = end.is_some();
        Ok(end.unwrap_or(n))
    }
}

/// Where the first blank is.
fn blank(bytes: &[u8]) -> Option<usize> {
    let common = memchr::memchr3(b' ', b'\n', b'\t', bytes);
    let rare = memchr::memchr2(b'\r', b'\x0c', &bytes[..common.unwrap_or(bytes.len())]);
    rare.or(common)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    fn read(input: &[u8]) -> Option<(Vec<String>, String)> {
        let (words, mut payload) = split(input).unwrap()?;
        let mut text = String::new();
        payload.read_to_string(&mut text).ok()?;
        Some((words, text))
    }

    #[test]
    fn the_last_word_is_the_payload() {
        for (input, words, text) in [
            ("PGE+", &[][..], "<a>"),
            ("one.x.y PGE+", &["one.x.y"], "<a>"),
            ("  one.x.y  RUNNING\tPGE+\n", &["one.x.y", "RUNNING"], "<a>"),
            ("one.x.y PGE+PGI+ ", &["one.x.y"], "<a><b>"),
            // Padding may be missing.
            ("w PGE", &["w"], "<a"),
        ] {
            let (got, payload) = read(input.as_bytes()).unwrap_or_else(|| panic!("{input:?}"));
            assert_eq!(
                (got.as_slice(), payload.as_str()),
                (&*words.iter().map(ToString::to_string).collect::<Vec<_>>(), text)
            );
        }
    }

    #[test]
    fn no_payload_is_not_mistaken_for_one() {
        for input in ["", " \n", "one.document.update", "one.document.update ", "\u{e9}"] {
            assert!(split(input.as_bytes()).unwrap().is_none(), "{input:?}");
        }
    }

    #[test]
    fn a_long_payload_ends_at_a_blank() {
        let text = "<a>".repeat(1000);
        let mut input = b"one.x.y ".to_vec();
        input.extend(BASE64.encode(&text).bytes());
        for tail in ["", "\n", " junk \0"] {
            let input = [input.as_slice(), tail.as_bytes()].concat();
            assert_eq!(read(&input), Some((vec!["one.x.y".to_owned()], text.clone())));
        }
    }
}
