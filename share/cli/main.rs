//! `oneks`: Kubernetes clusters on OpenNebula, from the command line.

// The doc comments of arguments are the help, in which backticks would be seen.
#![allow(clippy::doc_markdown)]

mod app;
mod args;
mod commands;
mod complete;
mod connect;
mod doctor;
mod edit;
mod failure;
mod format;
mod out;
mod perspective;
mod select;
mod strays;
mod table;
mod time;
mod tls;
mod validate;
mod verdict;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use app::App;
use args::{Cli, Command};
use connect::Access;
use failure::Failure;
use out::Out;

fn main() -> ExitCode {
    // In a simulation, guests call this program by the names of the programs that it plays for them.
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some((program, arguments)) = words.split_first()
        && let Some(code) = oneks_sandbox::capi::shim_main(program, arguments)
    {
        return u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    // When the shell asks for completions, this answers and ends.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let arguments = args::with_resource(std::env::args_os());
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads is no error.
            let _ = error.print();
            if error.kind() == clap::error::ErrorKind::InvalidSubcommand
                && let Some(meant) = args::with_cluster(&arguments)
            {
                Out::process(false).note(&format!("\nA cluster is named after the word cluster: {meant}"));
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::Code::Usage.number()));
        }
    };
    let global = cli.global;
    let access = Access {
        endpoint: global.endpoint,
        user: global.user,
        password: global.password.map(opennebula::Secret::from),
    };
    let mut app = App::new(Out::process(global.verbose), access, global.profiles);
    match run(&mut app, &cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            app.out.failure(&failure);
            failure.code().into()
        }
    }
}

fn run(app: &mut App, command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(list) => list.run(app),
        Command::Top(top) => top.run(app),
        Command::Show(show) => show.run(app),
        Command::Create(create) => create.run(app),
        Command::Scale(scale) => scale.run(app),
        Command::Upgrade(upgrade) => upgrade.run(app),
        Command::Recover(recover) => recover.run(app),
        Command::Rotate(rotate) => rotate.run(app),
        Command::Delete(delete) => delete.run(app),
        Command::Kubeconfig(kubeconfig) => kubeconfig.run(app),
        Command::Update(update) => update.run(app),
        Command::Rename(rename) => rename.run(app),
        Command::Chmod(chmod) => chmod.run(app),
        Command::Chgrp(chgrp) => chgrp.run(app),
        Command::Explain(explain) => explain.run(app),
        Command::Plan(plan) => plan.run(app),
        Command::Events(events) => events.run(app),
        Command::Logs(logs) => logs.run(app),
        Command::Check(check) => check.run(app),
        Command::Profile(profile) => profile.run(app),
        Command::Audit(audit) => audit.run(app),
        Command::Gc(gc) => gc.run(app),
        Command::Simulate(simulate) => simulate.run(app),
        Command::Generate(generate) => generate.run(app),
        Command::Setup(setup) => setup.run(app),
        Command::Images(images) => images.run(app),
        Command::Doctor(doctor) => doctor.run(app),
    }
}
