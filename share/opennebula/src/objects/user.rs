//! Users.

use std::fmt;

use super::quota::Quotas;
use super::read::{self, Element, Head, ObjectError};
use crate::session::Secret;
use crate::template::Template;
use crate::xml::Parser;

/// `USER`. The hash of the password is not read.
///
/// `one.userpool.info` sends quotas beside the users and not in them: those are empty then.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Id.
    pub id: u32,
    /// Primary group.
    pub gid: u32,
    /// Name of the primary group.
    pub gname: String,
    /// All groups, the primary one included.
    pub groups: Vec<u32>,
    /// Name.
    pub name: String,
    /// Authentication driver: `core`, `server_cipher` …
    pub auth_driver: String,
    /// Whether the user can log in.
    pub enabled: bool,
    /// Login tokens. oned shows them to the user and to administrators.
    pub login_tokens: Vec<LoginToken>,
    /// Quotas and use.
    pub quotas: Quotas,
    /// What counts where a quota says "default".
    pub default_quotas: Quotas,
    /// Attributes.
    pub template: Template,
}

/// `LOGIN_TOKEN`.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginToken {
    /// The token, which can stand for the password.
    pub token: Secret,
    /// When it expires in Unix seconds, `None` for never.
    pub expires: Option<u64>,
    /// The group that it is confined to.
    pub group: Option<u32>,
}

impl Element for User {
    const NAME: &'static str = "USER";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut groups, mut login_tokens) = (Vec::new(), Vec::new());
        let (mut quotas, mut default_quotas) = (Quotas::default(), Quotas::default());
        let mut auth_driver = String::new();
        let mut enabled = false;
        while let Some(name) = parser.child()? {
            match &*name {
                "GROUPS" => groups = read::ids(parser)?,
                "AUTH_DRIVER" => auth_driver = read::text(parser)?,
                "ENABLED" => enabled = parser.text()?.trim() == "1",
                "LOGIN_TOKEN" => login_tokens.push(LoginToken::read(parser)?),
                "DEFAULT_USER_QUOTAS" => default_quotas = Quotas::read(parser)?,
                other => {
                    if !quotas.element(other, parser)? {
                        head.element(other, parser)?;
                    }
                }
            }
        }
        let head = head.take();
        Ok(Self {
            id: head.id(Self::NAME)?,
            gid: head.gid(Self::NAME)?,
            gname: head.gname,
            groups,
            name: head.name,
            auth_driver,
            enabled,
            login_tokens,
            quotas,
            default_quotas,
            template: head.template,
        })
    }
}

impl LoginToken {
    fn read(parser: &mut Parser<'_>) -> Result<Self, ObjectError> {
        let mut token = Self {
            token: Secret::new(""),
            expires: None,
            group: None,
        };
        while let Some(name) = parser.child()? {
            match &*name {
                "TOKEN" => token.token = Secret::new(parser.text()?),
                "EXPIRATION_TIME" => token.expires = read::maybe(parser)?,
                "EGID" => token.group = read::maybe(parser)?,
                _ => parser.skip()?,
            }
        }
        Ok(token)
    }
}

impl fmt::Debug for LoginToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LoginToken {{ REDACTED, expires: {:?}, group: {:?} }}",
            self.expires, self.group
        )
    }
}
