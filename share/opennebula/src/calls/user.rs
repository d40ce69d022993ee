//! `one.user.*`, `one.userpool.info`

use super::id_or_none;
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Pool, User};
use crate::session::Secret;
use crate::xmlrpc::Value;

/// How long a login token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLifetime {
    /// For so many seconds; the cloud may shorten it.
    Seconds(u32),
    /// Until it is revoked; the cloud may shorten it.
    Unlimited,
    /// Not any more: the given token is revoked, or *all* tokens of the user if none is given.
    Revoked,
}

impl Client {
    /// A user, `None` for the caller. `decrypt` has an effect for administrators only.
    pub fn user_info(&self, id: Option<u32>, decrypt: bool) -> Result<User, Error> {
        self.object(
            "one.user.info",
            vec![id_or_none(id), decrypt.into()],
            User::from_xml,
        )
    }

    /// Makes, changes or revokes a login token and returns it. Without a `token` a new one is made up. With a `group`
    /// the token is confined to it.
    ///
    /// A token for all groups of a user can only be made by a caller with just these groups: in the user's own name,
    /// as a rule, and not as oneadmin.
    pub fn user_login(
        &self,
        user: &str,
        token: Option<&Secret>,
        lifetime: TokenLifetime,
        group: Option<u32>,
    ) -> Result<Secret, Error> {
        let given = token.map_or("", Secret::expose);
        let mut params = vec![user.into(), given.into(), lifetime.into()];
        params.extend(group.map(Value::from));
        match self.text("one.user.login", params, Repeat::Acts) {
            Ok(token) => Ok(Secret::new(token)),
            // oned repeats a token that it does not know.
            Err(Error::Call {
                method,
                code,
                message,
                object,
            }) if !given.is_empty() => Err(Error::Call {
                method,
                code,
                message: message.replace(given, "REDACTED"),
                object,
            }),
            Err(error) => Err(error),
        }
    }

    /// Sets quotas of a user (`VM=[VMS=…]`).
    pub fn user_quota(&self, id: u32, template: &str) -> Result<(), Error> {
        self.done(
            "one.user.quota",
            vec![id.into(), template.into()],
            Repeat::Idempotent,
        )
    }

    /// All users that the caller may see, without their quotas.
    pub fn userpool_info(&self) -> Result<Pool<User>, Error> {
        self.pool("one.userpool.info", vec![])
    }
}

impl From<TokenLifetime> for Value {
    fn from(lifetime: TokenLifetime) -> Self {
        Self::Int(match lifetime {
            TokenLifetime::Seconds(seconds) => seconds.into(),
            TokenLifetime::Unlimited => -1,
            TokenLifetime::Revoked => 0,
        })
    }
}
