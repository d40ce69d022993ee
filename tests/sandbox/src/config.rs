//! What can be chosen when a sandbox is made.

use std::collections::BTreeMap;
use std::fmt;

/// Settings of a [`Sandbox`](crate::Sandbox).
#[derive(Clone)]
pub struct Config {
    /// Epoch second at which virtual time begins.
    pub start: u64,
    /// Seed of everything that is random: MAC addresses, UUIDs, tokens, faults. Equal seeds, equal runs.
    pub seed: u64,
    /// How long things take.
    pub timings: Timings,
    /// Password of `oneadmin`.
    pub oneadmin_password: String,
    /// Password of `serveradmin`, the server user with driver `server_cipher`.
    pub server_secret: String,
    /// What `one.system.version` answers.
    pub version: String,
    /// `ONEGATE_ENDPOINT`, put into the CONTEXT of VMs that ask for a token. Empty: OneGate is not configured.
    pub onegate_endpoint: String,
    /// The dummy hypervisor's probe reports a finished command again in each cycle, for ever. Matters only without
    /// guests.
    pub dummy_repeats_results: bool,
    /// Records kept per hook (`HOOK_LOG_CONF/LOG_RETENTION`).
    pub hook_log_retention: usize,
    /// Most bytes of a command's result, standard output and error as the probe encodes them, that fit into one
    /// datagram. A longer result is lost and the command stays in execution.
    pub exec_output_limit: usize,
    /// Longest life of login tokens by authentication driver (`AUTH_MAD_CONF/MAX_TOKEN_TIME`), seconds. -1, and a
    /// driver that is not here: no limit; 0: its users can have none.
    pub max_token_time: BTreeMap<String, i64>,
    /// Names whose values are encrypted in documents (`DOCUMENT_ENCRYPTED_ATTR`); readable by admins only.
    pub document_encrypted: Vec<String>,
}

/// Durations in virtual seconds. Zero is allowed everywhere: the step then happens in the same second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// From the moment that a VM becomes schedulable to the scheduler's decision.
    pub scheduler_window: u64,
    /// Between two attempts of the scheduler to place what it could not place.
    pub scheduler_retry: u64,
    /// PROLOG: images are copied.
    pub prolog: u64,
    /// BOOT: the hypervisor starts the VM.
    pub boot: u64,
    /// Shutdown of a guest by ACPI.
    pub shutdown: u64,
    /// How long an ACPI shutdown waits for a guest that ignores it, before the VM falls back to RUNNING.
    pub shutdown_timeout: u64,
    /// Hard stop by the hypervisor.
    pub cancel: u64,
    /// EPILOG: images are deleted or copied back.
    pub epilog: u64,
    /// Saving or restoring of a VM's memory.
    pub save: u64,
    /// Clean-up after a failure.
    pub cleanup: u64,
    /// Time in HOTPLUG for a command, a NIC or a new context.
    pub hotplug: u64,
    /// `EXEC_VM`: period of the probe that brings the results of commands.
    pub exec_probe: u64,
    /// `MANAGER_TIMER`: period of the executor of scheduled actions.
    pub sched_action: u64,
    /// LOCKED of a new image.
    pub image: u64,
    /// From the registration of a hook until the hook manager has subscribed. Events before that are lost to it.
    pub hook_subscribe: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            start: 1_790_000_000,
            seed: 1,
            timings: Timings::default(),
            oneadmin_password: "opennebula".into(),
            server_secret: "server-secret".into(),
            version: "7.5.80".into(),
            onegate_endpoint: "http://127.0.0.1:5030".into(),
            dummy_repeats_results: true,
            hook_log_retention: 20,
            exec_output_limit: 48 * 1024,
            max_token_time: ["ldap", "saml"].map(|driver| (driver.to_owned(), 86_400)).into(),
            document_encrypted: Vec::new(),
        }
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            scheduler_window: 10,
            scheduler_retry: 90,
            prolog: 5,
            boot: 5,
            shutdown: 5,
            shutdown_timeout: 180,
            cancel: 1,
            epilog: 2,
            save: 3,
            cleanup: 2,
            hotplug: 1,
            exec_probe: 5,
            sched_action: 15,
            image: 0,
            hook_subscribe: 0,
        }
    }
}

impl Timings {
    /// Nothing takes time, but the order of events stays. Periods stay as they are.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            scheduler_window: 0,
            prolog: 0,
            boot: 0,
            shutdown: 0,
            cancel: 0,
            epilog: 0,
            save: 0,
            cleanup: 0,
            hotplug: 0,
            ..Self::default()
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("start", &self.start)
            .field("seed", &self.seed)
            .field("timings", &self.timings)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
