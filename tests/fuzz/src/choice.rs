//! Which few of many inputs reach most of the code: a corpus that a repository can hold.

use std::collections::BTreeSet;
use std::path::Path;

/// What libFuzzer notes while it merges: the files, and what each of them reaches.
///
/// ```text
/// 2          how many files
/// 0          how many of them are the old corpus
/// a          their names
/// b
/// STARTED 0 18
/// FT 0 82 88 what the first reaches
/// …
/// ```
struct Merge<'a> {
    files: Vec<(&'a str, BTreeSet<u32>)>,
}

impl<'a> Merge<'a> {
    fn read(control: &'a str) -> Self {
        let mut lines = control.lines();
        let mut number = || -> usize { lines.next().and_then(|l| l.parse().ok()).unwrap_or_default() };
        let (count, _) = (number(), number());
        let mut files: Vec<_> = lines
            .by_ref()
            .take(count)
            .map(|name| (name, BTreeSet::new()))
            .collect();
        for line in lines {
            let mut words = line.strip_prefix("FT ").unwrap_or_default().split(' ');
            let file = words.next().and_then(|word| word.parse::<usize>().ok());
            if let Some((_, reached)) = file.and_then(|i| files.get_mut(i)) {
                reached.extend(words.filter_map(|word| word.parse::<u32>().ok()));
            }
        }
        Self { files }
    }
}

/// The chosen files, and how much of what all of them reach is reached by these.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    /// Their names, the most telling first.
    pub files: Vec<&'a str>,
    /// Of so many parts of the code …
    pub all: usize,
    /// … they reach so many, with the seeds.
    pub reached: usize,
}

/// At most so many files, each of which adds the most to those before it, and first to all in the folder `there`: the
/// seeds, which need no choosing.
pub fn choose<'a>(control: &'a str, there: &str, most: usize) -> Choice<'a> {
    let files = Merge::read(control).files;
    let all: BTreeSet<u32> = files.iter().flat_map(|(_, reached)| reached).copied().collect();
    let (seeds, mut files): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|(name, _)| Path::new(name).starts_with(there));
    let mut reached: BTreeSet<u32> = seeds.into_iter().flat_map(|(_, reached)| reached).collect();
    for (_, others) in &mut files {
        others.retain(|part| !reached.contains(part));
    }
    let mut chosen = Vec::new();
    while chosen.len() < most {
        // Of equals the first: libFuzzer sorts by size.
        let next = (0..files.len()).rev().max_by_key(|i| files[*i].1.len());
        let Some((name, adds)) = next
            .map(|i| files.swap_remove(i))
            .filter(|(_, adds)| !adds.is_empty())
        else {
            break;
        };
        for (_, others) in &mut files {
            others.retain(|part| !adds.contains(part));
        }
        reached.extend(adds);
        chosen.push(name);
    }
    Choice {
        files: chosen,
        all: all.len(),
        reached: reached.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, choose};

    const CONTROL: &str = "4\n0\nx/a\nb\nc\nd\nSTARTED 0 1\nFT 0 1 2\nCOV 0 7\nSTARTED 1 2\nFT 1 2 3 4\nCOV 1\nSTARTED 2 3\n\
                           FT 2 4 5\nSTARTED 3 9\nFT 3 3\n";

    #[test]
    fn the_most_telling_come_first_and_none_that_adds_nothing() {
        let choice = |files: &[&'static str], reached| Choice {
            files: files.to_vec(),
            all: 5,
            reached,
        };
        assert_eq!(choose(CONTROL, "y", 1), choice(&["b"], 3));
        assert_eq!(choose(CONTROL, "y", 2).reached, 4);
        let all = choose(CONTROL, "y", 9);
        assert_eq!((all.files.len(), all.reached), (3, 5), "{all:?}");
        assert!(!all.files.contains(&"d"));
        let added = choose(CONTROL, "x", 9);
        assert_eq!((added.files.len(), added.reached), (2, 5), "{added:?}");
        assert_eq!(choose("", "", 3).files, [""; 0]);
    }
}
