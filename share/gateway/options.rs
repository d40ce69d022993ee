//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

#[allow(clippy::doc_markdown)] // it is the help text
/// The REST interface of OneKS, for Sunstone's Kubernetes tab and other clients
///
/// Each request is turned into OpenNebula calls with the credentials that it brings; nothing is kept. systemd starts it
/// at the first connection (opennebula-ks-gateway.socket), and it ends when nobody has asked for anything for a while.
#[derive(Debug, Clone, Parser)]
#[command(name = "oneks-gateway", version)]
#[command(
    after_help = "Examples:\n  # By hand, for a look\n  oneks-gateway --listen 127.0.0.1:10780\n  curl -u alice http://127.0.0.1:10780/api/v1/clusters"
)]
pub struct Options {
    /// Listen here, instead of on the sockets that systemd hands over
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// XML-RPC address of OpenNebula, if another than that of the configuration
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// End after this many seconds without a connection. Without it, only a gateway that systemd started ends, after 60
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub idle: Option<Duration>,
    /// Seconds that a client has for sending a request
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub read_timeout: Duration,
    /// Seconds after which a request is answered, with an error if need be
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub request_timeout: Duration,
    /// Most connections at once
    #[arg(long, value_name = "NUMBER", default_value_t = 128)]
    pub connections: usize,
    /// Print a file that is made from this program, for packagers
    #[arg(long, hide = true)]
    pub generate: Option<Generated>,
}

/// Files that are made from this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// The man page.
    Man,
    /// The `OpenAPI` document.
    Openapi,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|n| *n > 0.0);
    number
        .and_then(|n| Duration::try_from_secs_f64(n).ok())
        .ok_or_else(|| "expected a number of seconds greater than 0".to_owned())
}
