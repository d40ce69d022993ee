//! Everything that may go wrong, one after another: kills at every step, streams of events that lose and mix them,
//! a STATUS that is lost or old, and users who mean harm. The end is as SPEC says, with nothing left and nobody else
//! touched.
//!
//! A part runs in the ordinary tests; `ONEKS_TESTS=all` asks for all of it, see `tests/README.md`.

/// One test for each operation and driver: the function `matrix` of the module that calls this.
macro_rules! operations {
    ($($name:ident: $operation:ident),* $(,)?) => {
        mod dummy {
            $(#[test] fn $name() { super::matrix(super::Driver::Dummy, super::Operation::$operation); })*
        }
        mod capone {
            $(#[test] fn $name() { super::matrix(super::Driver::Capone, super::Operation::$operation); })*
        }
    };
}

mod crash;
mod end;
mod operation;
mod process;
mod rebuild;
mod report;
mod rights;
mod stage;
mod start;
mod streams;

/// Runs the one case that `ONEKS_CASE` names, as the report of a failure says it.
#[test]
fn replay() {
    if let Some(words) = report::wanted_case() {
        let ran = crash::replay(&words) || rebuild::replay(&words) || streams::replay(&words);
        assert!(ran, "{words:?} is no case");
    }
}
