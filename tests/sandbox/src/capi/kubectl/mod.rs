//! `kubectl` against a [`Store`]: the verbs that scripts use, with its output, errors and exit codes.

mod apply;
mod args;
mod delete;
mod edit;
mod get;
mod info;
mod jsonpath;
mod output;
mod patch;
mod rollout;
mod wait;

use std::fmt::Write as _;
use std::io::Read;

use self::args::Args;
use super::kube::{ApiError, Store};

/// What kubectl finds around it.
pub struct Environment<'a> {
    /// Content of the kubeconfig that it was pointed to; without one it finds no server.
    pub kubeconfig: Option<&'a str>,
    /// Whether the API server answers.
    pub reachable: bool,
    /// Standard input.
    pub stdin: &'a mut dyn Read,
}

/// What kubectl did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code.
    pub code: i32,
    /// Virtual seconds that it waited.
    pub seconds: u64,
}

impl Output {
    fn say(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.stdout, "{line}");
    }

    fn complain(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.stderr, "{line}");
    }
}

/// Why a verb ended early. The text is all that kubectl prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    fn usage(text: impl std::fmt::Display) -> Self {
        Self(format!("error: {text}"))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error.for_kubectl(None))
    }
}

/// Runs kubectl with the arguments behind its name.
pub fn run(store: &mut Store, arguments: &[String], environment: &mut Environment<'_>) -> Output {
    let mut output = Output::default();
    let result = Args::parse(arguments).and_then(|args| dispatch(store, &args, environment, &mut output));
    if let Err(Failure(text)) = result {
        output.stderr.push_str(&text);
        output.stderr.push('\n');
        output.code = 1;
    }
    output
}

fn dispatch(
    store: &mut Store,
    args: &Args,
    environment: &mut Environment<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    match args.verb.as_str() {
        "config" => return info::config(args, environment, output),
        "version" if args.is_set("client") => return info::version(None, args, output),
        _ => {}
    }
    if environment.kubeconfig.is_none() {
        return Err(Failure(refused("localhost:8080")));
    }
    if !environment.reachable {
        return Err(Failure(refused("127.0.0.1:6443")));
    }
    match args.verb.as_str() {
        "apply" => apply::apply(store, args, environment, output),
        "create" => apply::create(store, args, environment, output),
        "replace" => apply::replace(store, args, environment, output),
        "get" => get::get(store, args, output),
        "delete" => delete::delete(store, args, environment, output),
        "patch" => patch::patch(store, args, output),
        "scale" => edit::scale(store, args, output),
        "annotate" => edit::mark(store, args, edit::Marks::Annotations, output),
        "label" => edit::mark(store, args, edit::Marks::Labels, output),
        "taint" => edit::taint(store, args, output),
        "cordon" => edit::cordon(store, args, true, output),
        "uncordon" => edit::cordon(store, args, false, output),
        "wait" => wait::wait(store, args, output),
        "rollout" => rollout::rollout(store, args, output),
        "version" => info::version(Some(store), args, output),
        "cluster-info" => {
            output
                .stdout
                .push_str("Kubernetes control plane is running at https://127.0.0.1:6443\n");
            Ok(())
        }
        "api-resources" => {
            info::api_resources(store, args, output);
            Ok(())
        }
        "" => Err(Failure::usage("kubectl needs a command")),
        other => Err(Failure::usage(format!(
            "unknown command {other:?} for \"kubectl\""
        ))),
    }
}

fn refused(server: &str) -> String {
    format!("The connection to the server {server} was refused - did you specify the right host or port?")
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Runs a command line (split at blanks) with a standard input.
    pub fn kubectl_with(store: &mut Store, line: &str, mut stdin: &[u8]) -> Output {
        let arguments: Vec<String> = shlex::split(line).unwrap();
        let mut environment = Environment {
            kubeconfig: Some("kind: Config\n"),
            reachable: true,
            stdin: &mut stdin,
        };
        run(store, &arguments, &mut environment)
    }

    /// Runs a command line without a standard input.
    pub fn kubectl(store: &mut Store, line: &str) -> Output {
        kubectl_with(store, line, b"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_no_answer() {
        for (kubeconfig, reachable, wanted) in [
            (None, true, "localhost:8080"),
            (Some("kind: Config"), false, "127.0.0.1:6443"),
        ] {
            let mut store = Store::new(1, 1000);
            let mut stdin: &[u8] = b"";
            let mut environment = Environment {
                kubeconfig,
                reachable,
                stdin: &mut stdin,
            };
            let output = run(&mut store, &["get".into(), "nodes".into()], &mut environment);
            assert_eq!(output.code, 1);
            assert_eq!(
                output.stderr,
                format!(
                    "The connection to the server {wanted} was refused - did you specify the right host or port?\n"
                )
            );
        }
    }

    #[test]
    fn unknown_commands_and_flags() {
        let mut store = Store::new(1, 1000);
        for (line, wanted) in [
            (
                "frobnicate",
                "error: unknown command \"frobnicate\" for \"kubectl\"\n",
            ),
            (
                "get nodes --frob",
                "error: unknown flag: --frob\nSee 'kubectl get --help' for usage.\n",
            ),
            ("get", "error: Required resource not specified.\n"),
            (
                "get frobs",
                "error: the server doesn't have a resource type \"frobs\"\n",
            ),
            (
                "get machines",
                "error: the server doesn't have a resource type \"machines\"\n",
            ),
        ] {
            let output = testing::kubectl(&mut store, line);
            assert_eq!((output.code, output.stderr.as_str()), (1, wanted), "{line}");
        }
    }
}
