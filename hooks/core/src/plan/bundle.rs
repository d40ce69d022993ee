//! Two scripts in one guest command: the second runs once the first has ended well, and its output is told apart.

use oneks_driver::Output;

/// One script after the other. `mark` is a line that neither prints.
pub(super) fn join(first: &str, second: &str, mark: &str) -> String {
    // In a shell of its own, whose exit ends the whole if it is a failure.
    format!("set -e\n(\n{first}\n)\necho\necho '{mark}'\n{second}")
}

/// The outputs of what was joined: the first script's, and the second's if it was begun.
pub(super) fn split(output: &Output, mark: &str) -> (Output, Option<Output>) {
    let Some((first, second)) = output.stdout.split_once(&format!("\n{mark}\n")) else {
        return (output.clone(), None);
    };
    let first = Output {
        return_code: 0,
        stdout: first.to_owned(),
        stderr: String::new(),
    };
    let second = Output {
        stdout: second.to_owned(),
        ..output.clone()
    };
    (first, Some(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "oneks:24:apply-24001-0123456789abcdef:7";

    fn output(return_code: i32, stdout: &str) -> Output {
        Output {
            return_code,
            stdout: stdout.to_owned(),
            stderr: "a word".to_owned(),
        }
    }

    #[test]
    fn outputs_are_told_apart() {
        let whole = format!("one\ntwo\n\n{MARK}\nthree\n");
        for (code, stdout, first, second) in [
            (0, whole.as_str(), (0, "one\ntwo\n"), Some((0, "three\n"))),
            (3, &whole, (0, "one\ntwo\n"), Some((3, "three\n"))),
            (3, "one\n", (3, "one\n"), None),
            (0, "one\n", (0, "one\n"), None),
            (0, &format!("{MARK}x\n"), (0, &format!("{MARK}x\n")), None),
            (1, &format!("\n{MARK}\n"), (0, ""), Some((1, ""))),
        ] {
            let (one, two) = split(&output(code, stdout), MARK);
            assert_eq!((one.return_code, one.stdout.as_str()), first, "{stdout}");
            let two = two.as_ref().map(|o| (o.return_code, o.stdout.as_str()));
            assert_eq!(two, second, "{stdout}");
        }
    }
}
