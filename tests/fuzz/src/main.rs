//! What the fuzzer can't do: `seeds TARGET FOLDER` writes where it begins, `run TARGET FILE…` runs what it found once more,
//! `choose CONTROL-FILE SEEDS COUNT FOLDER` keeps what adds the most to the seeds, of all that it merged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["seeds", target, folder] => {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (name, data) in oneks_fuzz::seeds::of(target) {
                std::fs::write(folder.join(name), data).unwrap();
            }
        }
        ["run", target, ref files @ ..] => {
            for file in files {
                let data = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
                oneks_fuzz::run(target, &data);
            }
        }
        ["choose", control, seeds, count, folder] => {
            let control = std::fs::read_to_string(control).unwrap_or_else(|e| panic!("{control}: {e}"));
            let choice = oneks_fuzz::choice::choose(&control, seeds, count.parse().expect("a number"));
            for file in &choice.files {
                let name = Path::new(file).file_name().expect("the name of a file");
                std::fs::copy(file, Path::new(folder).join(name)).unwrap_or_else(|e| panic!("{file}: {e}"));
            }
            let (files, reached, all) = (choice.files.len(), choice.reached, choice.all);
            println!("{files} inputs reach {reached} of {all}");
        }
        _ => panic!("seeds TARGET FOLDER, run TARGET FILE…, or choose CONTROL-FILE SEEDS COUNT FOLDER"),
    }
}
