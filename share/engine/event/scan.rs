//! Does a word occur in a payload at all? Found out in the base64 as it comes, without decoding any of it.
//!
//! Base64 turns three bytes into four characters. Where in such a triple a word begins, not what stands around it,
//! decides how its inner characters come out; so there are three things to look for. The characters at both ends share
//! bits with the neighbours and are left out: what is found may be something else, what is not found is not there.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;

/// Most bytes that are looked through before the event is parsed whatever is in it: 1.5 MiB are the base64 of more than
/// 1 MiB. All of them have to be kept for the parser.
const MOST: usize = 3 * 512 * 1024;

/// How much is read at once. More than fits into a pipe is not there.
const PIECE: u64 = 64 * 1024;

/// How a word looks in base64, by where in a triple of bytes it begins.
fn looks(word: &[u8]) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|before| {
        let text = STANDARD_NO_PAD.encode([&[0; 2][..before], word].concat());
        let whole = (before * 8).div_ceil(6)..(before + word.len()) * 8 / 6;
        text.as_bytes()[whole].to_vec()
    })
}

/// What was read of the input, and whether the word may be in it. If not, there is no more to be read.
///
/// # Errors
/// Those of the input.
pub(super) fn may_contain(input: &mut impl Read, word: &[u8]) -> io::Result<(Vec<u8>, bool)> {
    let looks = looks(word);
    let finders = looks.each_ref().map(Finder::new);
    let mut held = Vec::new();
    loop {
        // A look that the end of the last piece cut in two.
        let from = held.len().saturating_sub(word.len() * 2);
        let read = input.take(PIECE).read_to_end(&mut held)?;
        if finders.iter().any(|finder| finder.find(&held[from..]).is_some()) || held.len() >= MOST {
            return Ok((held, true));
        }
        if read == 0 {
            return Ok((held, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn found(payload: &[u8]) -> bool {
        may_contain(&mut STANDARD.encode(payload).as_bytes(), b"ONEKS")
            .unwrap()
            .1
    }

    #[test]
    fn a_word_is_found_wherever_it_begins_and_ends() {
        for before in 0..200 {
            for after in 0..5 {
                let text = [&vec![b'x'; before][..], b"ONEKS", &vec![b'y'; after]].concat();
                assert!(found(&text), "{before} {after}");
            }
        }
        assert!(!found(b""));
        assert!(!found(b"ONEK"));
        assert!(!found(&b"<ONE><KS/></ONE>".repeat(1000)));
    }

    #[test]
    fn a_word_between_two_pieces_is_found() {
        let piece = usize::try_from(PIECE).unwrap() * 3 / 4;
        for before in piece - 12..piece + 12 {
            let text = [&vec![b'x'; before][..], b"ONEKS and more"].concat();
            assert!(found(&text), "{before}");
        }
    }

    #[test]
    fn all_is_kept_for_the_parser_and_no_more_than_there_may_be() {
        let text = STANDARD.encode(b"<ONEKS>".repeat(3)).into_bytes();
        assert_eq!(may_contain(&mut &text[..], b"ONEKS").unwrap(), (text, true));
        let endless = vec![b'A'; MOST * 2];
        let mut input = &endless[..];
        let (held, may) = may_contain(&mut input, b"ONEKS").unwrap();
        assert!(may && held.len() < MOST + 2 * usize::try_from(PIECE).unwrap());
        assert_eq!(held.len() + input.len(), endless.len(), "nothing is lost");
    }

    proptest! {
        #[test]
        fn no_word_is_overlooked(before: Vec<u8>, word in "[A-Z]{3,9}", after: Vec<u8>) {
            let payload = STANDARD.encode([&before[..], word.as_bytes(), &after].concat());
            prop_assert!(may_contain(&mut payload.as_bytes(), word.as_bytes()).unwrap().1);
        }
    }
}
