//! Finding OpenNebula and the session, as every OpenNebula tool does.

use std::sync::Arc;

use opennebula::endpoint::Environment;
use opennebula::http::HttpTransport;
use opennebula::{Client, Secret, Session, Transport};

use crate::failure::Failure;
use crate::out::Out;
use crate::tls::TlsTransport;

/// What the command line says about it.
#[derive(Clone, Default)]
pub struct Access {
    /// Address of the XML-RPC server.
    pub endpoint: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The password or token.
    pub password: Option<Secret>,
}

/// A way to OpenNebula, and as whom.
#[derive(Clone)]
pub struct Connection {
    /// The way.
    pub transport: Arc<dyn Transport>,
    /// As whom.
    pub session: Session,
}

impl Connection {
    /// OpenNebula as this user.
    pub fn client(&self) -> Client {
        Client::new(self.transport.clone(), self.session.clone())
    }
}

/// The connection that the command line and the environment ask for.
pub fn open(access: &Access, environment: &Environment, out: &mut Out) -> Result<Connection, Failure> {
    let endpoint = match &access.endpoint {
        Some(endpoint) => endpoint.trim().to_owned(),
        None => environment.endpoint()?,
    };
    let session = session(access, environment, out)?;
    // The address may hold a password; what is shown does not.
    let (transport, shown): (Arc<dyn Transport>, String) = if endpoint.starts_with("https://") {
        let transport = TlsTransport::new(&endpoint)?;
        let shown = transport.endpoint().to_owned();
        (Arc::new(transport), shown)
    } else {
        let transport = HttpTransport::new(&endpoint).map_err(|e| Failure::Usage(e.to_string()))?;
        let shown = transport.endpoint().to_owned();
        (Arc::new(transport), shown)
    };
    out.detail(&format!("oneks: {shown} as {}", session.user()));
    Ok(Connection { transport, session })
}

fn session(access: &Access, environment: &Environment, out: &mut Out) -> Result<Session, Failure> {
    let Some(user) = &access.user else {
        if access.password.is_some() {
            return Err(Failure::Usage("--password needs --user".to_owned()));
        }
        return Ok(environment.session()?);
    };
    if let Some(password) = &access.password {
        return Ok(Session::new(user, password));
    }
    out.ask(&format!("Password of {user}: "));
    let password = rpassword::read_password().map_err(|e| {
        Failure::Usage(format!(
            "the password of {user} can't be read ({e}); give --password"
        ))
    })?;
    if password.is_empty() {
        return Err(Failure::Usage(format!("the password of {user} is empty")));
    }
    Ok(Session::new(user, &Secret::new(password)))
}
