//! `oneks-gateway`: the REST interface, as the user who asks. It holds nothing and decides nothing.

mod activation;
mod auth;
mod body;
mod calls;
mod change;
mod clusters;
mod connections;
mod deployment;
mod families;
mod fault;
mod groups;
mod known;
mod listing;
mod logs;
mod metrics;
mod openapi;
mod options;
mod reply;
mod request;
mod rights;
mod routes;
mod schema;
mod server;
mod shapes;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use oneks::config::Config;
use oneks::layout::Layout;
use oneks::manual;
use opennebula::endpoint::Environment;
use opennebula::http::{HttpTransport, Timeouts, WIRE_LOG_TARGET};
use tokio::signal::unix::{SignalKind, signal};

use activation::Listeners;
use calls::Calls;
use options::{Generated, Options};
use request::Site;
use server::{Limits, Server};

/// Without a connection, before a gateway that systemd started ends.
const IDLE: Duration = Duration::from_secs(60);

/// For a connection to OpenNebula.
const CONNECT: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(what) = options.generate {
        return match print(what) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(what: Generated) -> std::io::Result<()> {
    use std::io::Write;
    let text = match what {
        Generated::Man => manual::page(&Options::command(), manual::SEE_ALSO)?,
        Generated::Openapi => openapi::text(),
    };
    std::io::stdout().write_all(text.as_bytes())
}

fn run(options: &Options) -> anyhow::Result<()> {
    let environment = Environment::process();
    let layout = Layout::of(&environment);
    let config = Config::load(&layout.config);
    let level = config.as_ref().map_or(log::LevelFilter::Info, |c| c.log_level);
    env_logger::Builder::new()
        .filter_level(level)
        // The wire log of the HTTP library would show passwords.
        .filter_module(WIRE_LOG_TARGET, log::LevelFilter::Off)
        .try_init()?;
    let config = config.unwrap_or_else(|e| {
        log::warn!("{e}; the defaults are used");
        Config::default()
    });
    let endpoint = match &options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None if config.one_xmlrpc.is_empty() => environment.endpoint()?,
        None => config.one_xmlrpc,
    };
    let timeouts = Timeouts {
        connect: CONNECT.min(options.request_timeout),
        total: options.request_timeout,
    };
    let transport = HttpTransport::with_timeouts(&endpoint, timeouts)?;
    // One thread; what blocks has its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let listeners = Listeners::open(options.listen)?;
        log::info!(
            "listening on {} for {}",
            listeners.addresses(),
            transport.endpoint()
        );
        if options.listen.is_some_and(|a| !a.ip().is_loopback()) {
            log::warn!(
                "passwords come in clear text: put something that speaks TLS in front, see docs/gateway.md"
            );
        }
        let idle = options.idle.or(listeners.kept.then_some(IDLE));
        let server = Server {
            site: Arc::new(Site { layout }),
            calls: Arc::new(Calls::new(Arc::new(transport))),
            limits: Limits {
                read: options.read_timeout,
                request: options.request_timeout,
                connections: options.connections.max(1),
                idle,
            },
        };
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Arc::new(server).run(listeners, end).await;
        anyhow::Ok(())
    });
    // Nobody waits for calls that are still under way.
    runtime.shutdown_background();
    served
}
