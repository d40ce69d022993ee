//! The typed client of this project, straight into a sandbox.

use std::panic;

use opennebula::transport::{Transport, TransportError};

use crate::faults::Broken;
use crate::sandbox::Sandbox;

/// What a caller that dies by [`Effect::DieBefore`](crate::Effect::DieBefore) or
/// [`Effect::DieAfter`](crate::Effect::DieAfter) unwinds with. Catch it with [`std::panic::catch_unwind`] around what
/// stands for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerDied;

/// A client made with a clone of the sandbox calls it at its virtual time.
impl Transport for Sandbox {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let endpoint = || "the sandbox".to_owned();
        self.exchange(body).map_err(|broken| match broken {
            Broken::Refused => TransportError::Unreachable {
                endpoint: endpoint(),
                sent: false,
                source: Box::new(broken),
            },
            Broken::TimedOut => TransportError::Timeout {
                endpoint: endpoint(),
                sent: true,
            },
            // Nothing of the caller runs any more, as after kill -9, but destructors do.
            Broken::CallerDies => panic::resume_unwind(Box::new(CallerDied)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CallFault, Config, Effect, When};
    use opennebula::client::Client;
    use opennebula::session::Session;

    #[test]
    fn the_client_talks_to_the_sandbox_and_dies_when_told_to() {
        let sandbox = Sandbox::new(Config::default());
        let client = Client::new(sandbox.clone(), Session::parse("oneadmin:opennebula").unwrap());
        assert_eq!(
            client.call_raw("one.system.version", vec![]).unwrap().as_str(),
            Some("7.5.80")
        );
        sandbox.faults(|faults| faults.calls.push(CallFault::any(When::Nth(1), Effect::DieAfter)));
        let calls = || client.call_raw("one.document.allocate", vec!["NAME=\"a\"".into(), 120.into()]);
        let death = panic::catch_unwind(panic::AssertUnwindSafe(calls)).unwrap_err();
        assert!(death.is::<CallerDied>());
        assert_eq!(sandbox.documents().len(), 1);
    }
}
