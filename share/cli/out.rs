//! Where output goes: data to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};

use crate::failure::Failure;

/// The two streams and what is known about them.
pub struct Out {
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
    /// Columns of the terminal that shows standard output; `None` if it is none.
    width: Option<usize>,
    /// The same for standard error.
    note_width: Option<usize>,
    colour: bool,
    verbose: bool,
}

/// Columns where a terminal does not tell.
const USUAL_WIDTH: usize = 80;

impl Out {
    /// The streams of this process. `NO_COLOR` and `TERM=dumb` turn colours off.
    pub fn process(verbose: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let columns = |size: Option<(terminal_size::Width, terminal_size::Height)>| {
            size.map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0).max(1))
        };
        Self {
            stdout: Box::new(std::io::stdout()),
            stderr: Box::new(std::io::stderr()),
            width: terminal.then(|| columns(terminal_size::terminal_size_of(std::io::stdout()))),
            note_width: std::io::stderr()
                .is_terminal()
                .then(|| columns(terminal_size::terminal_size_of(std::io::stderr()))),
            colour: terminal && !plain,
            verbose,
        }
    }

    /// Columns of the terminal, `None` if the output goes elsewhere.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// May the output have colours?
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// One line of data.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.data(&format!("{text}\n"))
    }

    /// Data as it is.
    pub fn data(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout.write_all(text.as_bytes())?;
        Ok(self.stdout.flush()?)
    }

    /// A remark that is no data.
    pub fn note(&mut self, text: &str) {
        // A remark that can't be shown changes nothing.
        let _ = writeln!(self.stderr, "{text}");
        let _ = self.stderr.flush();
    }

    /// A remark with something in front; on a terminal its further lines are indented.
    pub fn remark(&mut self, front: &str, text: &str) {
        let indent = front.chars().count() + 1;
        let text = crate::table::one_line(text);
        let lines = match self.note_width.and_then(|width| width.checked_sub(indent)) {
            Some(width) if width >= 20 => crate::table::wrap(&text, width),
            _ => vec![text],
        };
        self.note(&format!(
            "{front} {}",
            lines.join(&format!("\n{}", " ".repeat(indent)))
        ));
    }

    /// A remark for those who asked for more.
    pub fn detail(&mut self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// A question; the answer follows on the same line.
    pub fn ask(&mut self, text: &str) {
        let _ = write!(self.stderr, "{text}");
        let _ = self.stderr.flush();
    }

    /// The end of a command that failed.
    pub fn failure(&mut self, failure: &Failure) {
        if matches!(failure, Failure::ClosedPipe) {
            return;
        }
        self.note(&format!("oneks: {failure}"));
        let mut source = std::error::Error::source(failure);
        let mut said = failure.to_string();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !said.contains(&text) {
                self.note(&format!("  because: {text}"));
                said = text;
            }
            source = cause.source();
        }
        if let Some(way_out) = failure.way_out() {
            self.note(&format!("  {way_out}"));
        }
    }
}

#[cfg(test)]
pub mod captured {
    //! An output that tests can read.

    use std::cell::RefCell;
    use std::rc::Rc;

    use super::{Out, Write};

    /// What was written.
    #[derive(Clone, Default)]
    pub struct Captured(Rc<RefCell<Vec<u8>>>);

    impl Captured {
        /// The text so far.
        pub fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Out {
        /// An output with standard output and standard error to read; a terminal if it has a width.
        pub fn captured(width: Option<usize>) -> (Self, Captured, Captured) {
            let (stdout, stderr) = (Captured::default(), Captured::default());
            let out = Self {
                stdout: Box::new(stdout.clone()),
                stderr: Box::new(stderr.clone()),
                width,
                note_width: width,
                colour: false,
                verbose: true,
            };
            (out, stdout, stderr)
        }
    }
}
