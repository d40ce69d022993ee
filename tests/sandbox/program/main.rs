//! `oneks-sandbox`: an OpenNebula in memory, on a port of this machine.

mod demo;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use oneks_sandbox::{Config, EndSignals, Installation, Sandbox, Serve, capi};

#[derive(Parser)]
#[command(
    name = "oneks-sandbox",
    version,
    about = "An OpenNebula in memory, for trying and testing"
)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Serve XML-RPC on 127.0.0.1 and run the hooks that are registered, until SIGTERM or SIGINT
    Serve(ServeArguments),
    /// Run the life of a cluster with an installation, and show it
    Demo(demo::DemoArguments),
}

#[derive(clap::Args)]
struct ServeArguments {
    /// Port; 0 for any that is free
    #[arg(long, default_value_t = 2633)]
    port: u16,
    /// Virtual seconds per second
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Folder for the sessions of the accounts and the address of the endpoint; home of hooks
    #[arg(long)]
    dir: PathBuf,
    /// Where hooks with a relative command are
    #[arg(long, default_value = "/var/lib/one/remotes/hooks")]
    hooks: PathBuf,
    /// A variable for hooks, as NAME=VALUE
    #[arg(long = "env", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// A command to run every so many virtual seconds, as SECONDS:COMMAND
    #[arg(long, value_parser = timer)]
    timer: Option<(u64, String)>,
    /// Seed of everything that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// VMs are those of the dummy hypervisor: nothing lives in them
    #[arg(long)]
    dummy: bool,
    /// Only what OpenNebula makes at its first start, without users, hosts, networks and images
    #[arg(long)]
    empty: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

fn timer(text: &str) -> Result<(u64, String), String> {
    let (seconds, command) = text.split_once(':').ok_or("expected SECONDS:COMMAND")?;
    Ok((
        seconds.parse().map_err(|_| "the seconds are no number")?,
        command.into(),
    ))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let Some((program, arguments)) = words.split_first()
        && let Some(code) = capi::shim_main(program, arguments)
    {
        return u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    env_logger::init();
    let result = match Arguments::parse().command {
        Subcommands::Serve(arguments) => serve(&arguments),
        Subcommands::Demo(arguments) => demo::demo(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "oneks-sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &ServeArguments) -> anyhow::Result<()> {
    let signals = EndSignals::hold()?;
    let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let config = Config {
        start,
        seed: arguments.seed,
        ..Config::default()
    };
    let sandbox = if arguments.dummy {
        Sandbox::new(config.clone())
    } else {
        let shim = std::env::current_exe().ok();
        let guests = capi::Guests::new(capi::Config {
            shim,
            ..capi::Config::default()
        });
        Sandbox::with_guests(config.clone(), Box::new(guests))
    };
    if !arguments.empty {
        sandbox.standard_cloud()?;
    }
    let installation = Installation {
        directory: absolute(&arguments.dir)?,
        hooks: arguments.hooks.clone(),
        environment: arguments.environment.clone(),
        serve: Serve {
            port: arguments.port,
            speed: arguments.speed,
            ..Serve::default()
        },
        timer: arguments.timer.clone(),
    };
    let running = installation.start(&sandbox, &config)?;
    writeln!(io::stdout(), "ready: {}", running.endpoint())?;
    io::stdout().flush()?;
    signals.wait()?;
    Ok(())
}

/// Hooks start elsewhere, so that the folder has to be named in full.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}
