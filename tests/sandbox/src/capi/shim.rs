//! Programs inside guests: the host of the sandbox behaves as `kubectl`, `sleep` and `date` when it is started under these
//! names.
//!
//! Such a program asks the sandbox, over a socket of the command that it belongs to, and does as it is told: print,
//! wait, end.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Variable with the socket of the command that runs.
pub(crate) const SOCKET: &str = "ONEKS_SANDBOX_GUEST";

/// What a program was started for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) stdin: String,
    /// Whether the kubeconfig that it was told to use is there.
    pub(crate) kubeconfig: bool,
}

/// What it prints, and how it ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Behaves as a program of a guest. Returns its exit code, or `None` if the program's name is none of theirs.
///
/// A program that serves as [`Config::shim`](super::Config::shim) calls this before anything else, with its own name
/// (`argv[0]`) and arguments.
pub fn shim_main(program: &str, arguments: &[String]) -> Option<i32> {
    serve(program, arguments, &mut io::stdout(), &mut io::stderr())
}

/// [`shim_main`] with other places for its output.
pub(crate) fn serve(
    program: &str,
    arguments: &[String],
    stdout: &mut dyn io::Write,
    stderr: &mut dyn io::Write,
) -> Option<i32> {
    let name = Path::new(program).file_name()?.to_str()?;
    let socket = std::env::var_os(SOCKET)?;
    if !matches!(name, "sleep" | "date" | "kubectl") {
        return None;
    }
    Some(match ask(Path::new(&socket), name, arguments) {
        Ok(answer) => {
            let written = stdout.write_all(answer.stdout.as_bytes());
            let _ = written.and_then(|()| stderr.write_all(answer.stderr.as_bytes()));
            answer.code
        }
        Err(error) => {
            let _ = writeln!(stderr, "{name}: the sandbox does not answer: {error}");
            1
        }
    })
}

fn ask(socket: &Path, name: &str, arguments: &[String]) -> io::Result<Answer> {
    // Input comes first: it may be the output of another kubectl, which then must not wait for this one.
    let mut input = Vec::new();
    let reads = |word: &String| word == "-" || word.ends_with("f-") || word.ends_with("=-");
    if name == "kubectl" && arguments.iter().any(reads) {
        io::stdin().read_to_end(&mut input)?;
    }
    let asked = flag(arguments, "--kubeconfig").or_else(|| std::env::var("KUBECONFIG").ok());
    let request = Request {
        program: name.to_owned(),
        arguments: arguments.to_vec(),
        stdin: String::from_utf8_lossy(&input).into_owned(),
        kubeconfig: asked.is_some_and(|path| std::fs::exists(path).unwrap_or(false)),
    };
    let mut stream = UnixStream::connect(socket)?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    receive(stream)
}

/// Reads one line of JSON.
pub(crate) fn receive<T: for<'de> Deserialize<'de>>(stream: UnixStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn flag(arguments: &[String], name: &str) -> Option<String> {
    let at = arguments
        .iter()
        .position(|word| word == name || word.starts_with(&format!("{name}=")))?;
    match arguments[at].split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => arguments.get(at + 1).cloned(),
    }
}
