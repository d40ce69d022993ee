//! Does a word occur in a payload at all? Found out in the base64 as it comes, without decoding any of it.
//!
//! Base64 turns three bytes into four characters. Where in such a triple a word begins, not what stands around it,
//! decides how its inner characters come out; so there are three things to look for. The characters at both ends share
//! bits with the neighbours and are left out: what is found may be something else, what is not found is not there.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;

/// Most bytes that are kept for the parser: the base64 of 192 KiB, many times the length of a machine of ours. Every page
/// more is one that the kernel has to clear for nothing, and that costs more than to look through it.
const KEPT: usize = 256 * 1024;

/// How much is read at once. More than fits into a pipe is not there.
const PIECE: usize = 64 * 1024;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The word is not there, and this is how long the payload is.
    Nowhere(usize),
    /// It may be there, and all that was read is kept.
    Kept,
    /// It may be there, behind more than is kept.
    Beyond,
}

/// How a word looks in base64, by where in a triple of bytes it begins.
fn looks(word: &[u8]) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|before| {
        let text = STANDARD_NO_PAD.encode([&[0; 2][..before], word].concat());
        let whole = (before * 8).div_ceil(6)..(before + word.len()) * 8 / 6;
        text.as_bytes()[whole].to_vec()
    })
}

/// Reads on, behind what was `held`, until the word may have come.
///
/// # Errors
/// Those of the input.
pub(super) fn look_for(word: &[u8], held: &mut Vec<u8>, input: &mut impl Read) -> io::Result<Found> {
    let looks = looks(word);
    let finders = looks.each_ref().map(Finder::new);
    let is_in = |bytes: &[u8]| finders.iter().any(|finder| finder.find(bytes).is_some());
    if is_in(held) {
        return Ok(Found::Kept);
    }
    // In front of each piece stands the end of the one before, with what may be half a look.
    let most = word.len() * 2;
    let mut buffer = vec![0; most + PIECE];
    let mut tail = held.len().min(most);
    buffer[..tail].copy_from_slice(&held[held.len() - tail..]);
    let (mut length, mut all) = (held.len(), true);
    loop {
        let read = read_some(input, &mut buffer[tail..])?;
        if read == 0 {
            return Ok(Found::Nowhere(length));
        }
        length += read;
        let end = tail + read;
        all &= length <= KEPT;
        if all {
            held.extend_from_slice(&buffer[tail..end]);
        }
        if is_in(&buffer[..end]) {
            return Ok(if all { Found::Kept } else { Found::Beyond });
        }
        tail = end.min(most);
        buffer.copy_within(end - tail..end, 0);
    }
}

fn read_some(input: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(to) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn find(payload: &[u8]) -> Found {
        let coded = STANDARD.encode(payload);
        look_for(b"ONEKS", &mut Vec::new(), &mut coded.as_bytes()).unwrap()
    }

    #[test]
    fn a_word_is_found_wherever_it_begins_and_ends() {
        for before in 0..200 {
            for after in 0..5 {
                let text = [&vec![b'x'; before][..], b"ONEKS", &vec![b'y'; after]].concat();
                assert_eq!(find(&text), Found::Kept, "{before} {after}");
            }
        }
        assert_eq!(find(b""), Found::Nowhere(0));
        assert_eq!(find(b"ONEK"), Found::Nowhere(8));
        assert_eq!(find(&b"<ONE><KS/></ONE>".repeat(750)), Found::Nowhere(16_000));
    }

    #[test]
    fn a_word_between_two_pieces_is_found() {
        // The last of them begins behind what is kept.
        for pieces in [1, 2, 4, 5, 9] {
            let end = PIECE * pieces * 3 / 4;
            for before in end - 12..end + 12 {
                let text = [&vec![b'x'; before][..], b"ONEKS and more"].concat();
                assert!(!matches!(find(&text), Found::Nowhere(_)), "{before}");
            }
        }
    }

    #[test]
    fn what_was_read_is_kept_and_no_more_than_there_may_be() {
        let text = STANDARD.encode(b"<ONEKS>".repeat(3)).into_bytes();
        let mut held = text[..5].to_vec();
        let found = look_for(b"ONEKS", &mut held, &mut &text[5..]).unwrap();
        assert_eq!((found, held), (Found::Kept, text));
        for (word, found) in [("ONEKS", Found::Beyond), ("other", Found::Nowhere(1_333_340))] {
            let payload = [&vec![b'x'; 1_000_000][..], word.as_bytes()].concat();
            let coded = STANDARD.encode(payload).into_bytes();
            let mut held = Vec::new();
            assert_eq!(
                look_for(b"ONEKS", &mut held, &mut &coded[..]).unwrap(),
                found,
                "{word}"
            );
            assert!(held.len() <= KEPT && coded.starts_with(&held), "{}", held.len());
        }
    }

    proptest! {
        #[test]
        fn no_word_is_overlooked(before: Vec<u8>, word in "[A-Z]{3,9}", after: Vec<u8>) {
            let payload = STANDARD.encode([&before[..], word.as_bytes(), &after].concat());
            let found = look_for(word.as_bytes(), &mut Vec::new(), &mut payload.as_bytes()).unwrap();
            prop_assert_eq!(found, Found::Kept);
        }
    }
}
