//! What a command works with: the output, OpenNebula, the environment and the time.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use oneks::layout::Layout;
use opennebula::Client;
use opennebula::endpoint::Environment;

use crate::connect::{self, Access, Connection};
use crate::failure::Failure;
use crate::out::Out;

/// Everything outside that a command touches.
pub struct App {
    /// Output.
    pub out: Out,
    /// Environment variables.
    pub environment: Environment,
    /// Time.
    pub pace: Pace,
    /// Folder of the profiles, if another than the installed one was chosen.
    pub profiles: Option<PathBuf>,
    /// Who answers questions, if there is somebody.
    input: Option<Box<dyn BufRead>>,
    access: Access,
    connection: Option<Connection>,
}

/// Time as far as watching needs it.
pub struct Pace {
    /// Time since some moment.
    pub elapsed: Box<dyn Fn() -> Duration>,
    /// Waits.
    pub sleep: Box<dyn Fn(Duration)>,
    /// Seconds since the epoch.
    pub epoch: Box<dyn Fn() -> u64>,
}

impl Pace {
    /// The time of this machine.
    pub fn machine() -> Self {
        let start = Instant::now();
        Self {
            elapsed: Box::new(move || start.elapsed()),
            sleep: Box::new(std::thread::sleep),
            epoch: Box::new(|| oneks::clock::now(&Environment::process())),
        }
    }
}

impl App {
    /// For a process.
    pub fn new(out: Out, access: Access, profiles: Option<PathBuf>) -> Self {
        Self {
            out,
            environment: Environment::process(),
            pace: Pace::machine(),
            profiles,
            input: (std::io::stdin().is_terminal() && std::io::stderr().is_terminal())
                .then(|| Box::new(BufReader::new(std::io::stdin())) as Box<dyn BufRead>),
            access,
            connection: None,
        }
    }

    /// The way to OpenNebula. The session is read when it is first needed.
    pub fn connection(&mut self) -> Result<Connection, Failure> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connection = connect::open(&self.access, &self.environment, &mut self.out)?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// OpenNebula as the user who calls.
    pub fn client(&mut self) -> Result<Client, Failure> {
        Ok(self.connection()?.client())
    }

    /// Where the installed files lie.
    pub fn layout(&self) -> Layout {
        Layout::of(&self.environment)
    }

    /// Is there somebody who could answer a question?
    pub fn is_interactive(&self) -> bool {
        self.input.is_some()
    }

    /// The same with the profiles that were chosen.
    pub fn installation(&self) -> Layout {
        let mut layout = self.layout();
        if let Some(profiles) = &self.profiles {
            layout.profiles = vec![profiles.clone()];
        }
        layout
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> u64 {
        (self.pace.epoch)()
    }

    /// Asks for a line.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn ask(&mut self, question: &str) -> Result<String, Failure> {
        self.out.ask(question);
        let mut line = String::new();
        let read = self
            .input
            .as_mut()
            .map_or(Ok(0), |input| input.read_line(&mut line))?;
        if read == 0 {
            self.out.note("");
            return Err(Failure::Usage("nobody answers; nothing was done".to_owned()));
        }
        Ok(line.trim().to_owned())
    }

    /// Asks a question that takes yes or no; no unless yes is said.
    pub fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        if !self.is_interactive() {
            return Err(Failure::Usage(format!(
                "{question} Nobody can be asked here; give --yes"
            )));
        }
        let answer = self.ask(&format!("{question} [y/N] "))?;
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    #[cfg(test)]
    pub fn for_tests(out: Out, connection: Connection, answers: Option<&str>) -> Self {
        use std::cell::Cell;
        use std::rc::Rc;

        let time = Rc::new(Cell::new(Duration::ZERO));
        let (clock, wall) = (time.clone(), time.clone());
        Self {
            out,
            environment: Environment::new(|_| None),
            pace: Pace {
                elapsed: Box::new(move || clock.get()),
                sleep: Box::new(move |pause| time.set(time.get() + pause)),
                epoch: Box::new(move || 1_700_000_000 + wall.get().as_secs()),
            },
            profiles: Some(PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/templates/profiles"
            ))),
            input: answers.map(|text| {
                let bytes = std::io::Cursor::new(text.to_owned().into_bytes());
                Box::new(bytes) as Box<dyn BufRead>
            }),
            access: Access::default(),
            connection: Some(connection),
        }
    }
}
