//! Sessions: passwords, login tokens, and servers that speak for users.

use std::collections::BTreeSet;
use std::fmt::Write;

use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::acl::Caller;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Operation};
use crate::rpc::{Args, Context, Outcome};
use crate::users::LoginToken;

/// The most tokens that a user can have.
const MAX_TOKENS: usize = 10;

impl Core {
    /// Whom a session stands for.
    pub(crate) fn authenticate(&mut self, session: &str) -> Option<Caller> {
        let (name, secret) = session.split_once(':')?;
        let user = self.user_named(name).filter(|user| user.enabled)?;
        if user.driver == "server_cipher" {
            self.server_session(user.meta.id, secret)
        } else {
            self.own_session(user.meta.id, secret)
        }
    }

    /// A password or a login token.
    fn own_session(&mut self, id: u32, secret: &str) -> Option<Caller> {
        let now = self.now;
        let user = self.users.get_mut(id)?;
        match user.tokens.get(secret).copied() {
            Some(token) if token.expires.is_none_or(|time| now < time) => match token.group {
                Some(gid) if !user.groups.contains(&gid) => {
                    user.tokens.remove(secret);
                    None
                }
                group => self.caller(id, group),
            },
            Some(_) => {
                user.tokens.remove(secret);
                None
            }
            None => {
                (user.driver == "core" && user.password == digest(secret)).then(|| self.caller(id, None))?
            }
        }
    }

    /// `target:[group:]token` of a server user, which may speak for everybody.
    fn server_session(&mut self, server: u32, rest: &str) -> Option<Caller> {
        let (target, rest) = rest.split_once(':')?;
        let (group, token) = match rest.split_once(':') {
            Some((group, token)) => (Some(group.parse().ok()?), token),
            None => (None, rest),
        };
        let server = self.users.get(server)?;
        let expiry = server_token_expiry(&server.password, &server.meta.name, token)?;
        if self.now >= expiry {
            return None;
        }
        let target = self.user_named(target)?.meta.id;
        self.caller(target, group)
    }

    fn caller(&mut self, id: u32, group: Option<u32>) -> Option<Caller> {
        let request_id = i64::try_from(self.rng.below(10_000)).unwrap_or(0);
        let user = self.users.get(id)?;
        let gid = group.unwrap_or(user.meta.gid);
        let umask = user
            .template
            .get("UMASK")
            .and_then(|text| u32::from_str_radix(text, 8).ok());
        Some(Caller {
            uid: id,
            gid,
            uname: user.meta.name.clone(),
            gname: self
                .groups
                .get(gid)
                .map(|group| group.meta.name.clone())
                .unwrap_or_default(),
            groups: group.map_or_else(|| user.groups.clone(), |gid| BTreeSet::from([gid])),
            umask: umask.unwrap_or(0o177),
            request_id,
        })
    }

    /// The caller that stands for a user, for what the cloud does in its name.
    pub(crate) fn caller_for(&mut self, uid: u32) -> Option<Caller> {
        self.caller(uid, None)
    }
}

/// The hash that oned keeps of a password.
pub(crate) fn digest(text: &str) -> String {
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string can't fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Decrypts a token of the driver `server_cipher` and returns when it ends. `None` if it is not the server's. The hash
/// of the server's password is the key.
fn server_token_expiry(hash: &str, server: &str, token: &str) -> Option<u64> {
    let key = hash.as_bytes();
    let mut bytes = BASE64.decode(token).ok()?;
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(key.get(..32)?, key.get(..16)?).ok()?;
    let text = cipher.decrypt_padded::<Pkcs7>(&mut bytes).ok()?;
    let mut parts = std::str::from_utf8(text).ok()?.split(':');
    // The user inside is not compared with the one outside.
    let (name, _target, expiry) = (parts.next()?, parts.next()?, parts.next()?);
    (name == server).then(|| expiry.parse().ok())?
}

/// A token of the driver `server_cipher`.
fn server_token(hash: &str, server: &str, target: &str, expiry: u64) -> Option<String> {
    let key = hash.as_bytes();
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(key.get(..32)?, key.get(..16)?).ok()?;
    let text = format!("{server}:{target}:{expiry}");
    Some(BASE64.encode(cipher.encrypt_padded_vec::<Pkcs7>(text.as_bytes())))
}

impl Core {
    /// A session by which a server speaks for a user.
    pub(crate) fn delegated_session(&self, target: &str) -> String {
        let server = self.user_named("serveradmin");
        let token = server
            .and_then(|server| server_token(&server.password, &server.meta.name, target, self.now + 60));
        format!("serveradmin:{target}:{}", token.unwrap_or_default())
    }
}

/// `one.user.login`: user, token ("" makes one), seconds (-1 for ever, 0 removes), group (-1 all).
pub(crate) fn login(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (name, text, seconds, egid) = (args.text(0), args.text(1), args.int(2), args.int_or(3, -1));
    let Some(id) = core.user_named(name).map(|user| user.meta.id) else {
        return Err(Failure::no_exists(-1));
    };
    core.need(&ctx.caller, Operation::Manage, ObjectKind::User, i64::from(id))?;
    let generated = core.rng.hex(64);
    let (now, admin) = (core.now, ctx.caller.is_admin());
    let Some(user) = core.users.get_mut(id) else {
        return Err(Failure::no_exists(i64::from(id)));
    };
    let longest = core
        .config
        .max_token_time
        .get(&user.driver)
        .copied()
        .unwrap_or(-1);
    if longest == 0 {
        user.tokens.clear();
        let cause = format!("Login tokens are disabled for driver {}", user.driver);
        return Err(Failure::action(cause));
    }
    let seconds = if longest > 0 && (seconds > longest || seconds == -1) {
        longest
    } else {
        seconds
    };
    if seconds == 0 {
        if text.is_empty() {
            user.tokens.clear();
        } else if user.tokens.remove(text).is_none() {
            return Err(Failure::rpc_api(format!("Could not find token: {text}")));
        }
        return Ok(text.into());
    }
    if seconds < -1 {
        return Err(Failure::rpc_api("Wrong valid period for token"));
    }
    let group = u32::try_from(egid).ok();
    if let Some(gid) = group
        && !admin
        && (!user.groups.contains(&gid) || !ctx.caller.groups.contains(&gid))
    {
        return Err(Failure::rpc_api("EGID is not in user group list"));
    }
    if group.is_none() && user.groups != ctx.caller.groups {
        return Err(Failure::rpc_api(
            "Cannot create a full token with a specific group token",
        ));
    }
    user.tokens
        .retain(|_, token| token.expires.is_none_or(|time| now <= time));
    if user.tokens.len() >= MAX_TOKENS {
        return Err(Failure::rpc_api("Max number of tokens limit reached."));
    }
    let text = if text.is_empty() {
        generated
    } else {
        text.to_owned()
    };
    let expires = u64::try_from(seconds).ok().map(|seconds| now + seconds);
    user.tokens
        .entry(text.clone())
        .or_insert(LoginToken { expires, group });
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions() {
        let mut core = Core::bare();
        let secret = core.config.server_secret.clone();
        let alice = core.insert_user("alice", "alicepw", "core", 1);
        let now = core.now;
        let token =
            |secret: &str, expiry| server_token(&digest(secret), "serveradmin", "alice", expiry).unwrap();
        let old = token(&secret, now);
        let other = token("wrong", now + 60);
        let token = token(&secret, now + 60);
        let mut who = |session: &str| core.authenticate(session).map(|caller| (caller.uid, caller.gid));
        assert_eq!(who("alice:alicepw"), Some((alice, 1)));
        assert_eq!(who("oneadmin:opennebula"), Some((0, 0)));
        assert_eq!(who(&format!("serveradmin:alice:{token}")), Some((alice, 1)));
        assert_eq!(who(&format!("serveradmin:alice:0:{token}")), Some((alice, 0)));
        // The user inside the token is not compared.
        assert_eq!(who(&format!("serveradmin:oneadmin:{token}")), Some((0, 0)));
        for bad in [
            "alice",
            "alice:",
            "alice:wrong",
            "nobody:x",
            "",
            "serveradmin:server-secret",
            "serveradmin:alice:x:y:z",
            &format!("serveradmin:nobody:{token}"),
            &format!("serveradmin:alice:{old}"),
            &format!("serveradmin:alice:{other}"),
            "serveradmin:alice:!!",
        ] {
            assert_eq!(who(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_driver_limits_the_life_of_tokens() {
        let mut core = Core::bare();
        let id = core.insert_user("alice", "alicepw", "core", 1);
        let start = core.now;
        let login = |core: &mut Core, token: &str, seconds: i64| {
            let params = [
                "alice:alicepw".into(),
                "alice".into(),
                token.into(),
                seconds.into(),
            ];
            core.perform("one.user.login", &params).0.code()
        };
        let ends = |core: &Core, token: &str| {
            core.users.get(id).unwrap().tokens[token]
                .expires
                .map(|at| at - start)
        };
        core.config.max_token_time = [("core".to_owned(), 600)].into();
        for (token, seconds, lives) in [("a", -1, 600), ("b", 601, 600), ("c", 60, 60)] {
            assert_eq!(login(&mut core, token, seconds), 0);
            assert_eq!(ends(&core, token), Some(lives), "{token}");
        }
        // One that is there keeps its end.
        core.now += 30;
        assert_eq!(login(&mut core, "a", -1), 0);
        assert_eq!(ends(&core, "a"), Some(600));
        core.config.max_token_time = [("core".to_owned(), 0)].into();
        assert_eq!(login(&mut core, "d", 60), 2048);
        assert!(core.users.get(id).unwrap().tokens.is_empty());
    }

    #[test]
    fn tokens_end() {
        let mut core = Core::bare();
        core.insert_user("alice", "alicepw", "core", 1);
        let login = |core: &mut Core, token: &str, seconds: i64| {
            let params = [
                "alice:alicepw".into(),
                "alice".into(),
                token.into(),
                seconds.into(),
            ];
            core.perform("one.user.login", &params).0
        };
        let own = |core: &mut Core, token: &str, seconds| match login(core, token, seconds) {
            crate::rpc::Reply::Success(value) => value.as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        let made = own(&mut core, "", 60);
        assert_eq!(own(&mut core, "chosen", -1), "chosen");
        assert!(core.authenticate(&format!("alice:{made}")).is_some());
        core.now += 60;
        assert!(core.authenticate(&format!("alice:{made}")).is_none());
        assert!(core.authenticate("alice:chosen").is_some());
        own(&mut core, "chosen", 0);
        assert!(core.authenticate("alice:chosen").is_none());
        for _ in 0..10 {
            own(&mut core, "", 60);
        }
        assert_eq!(login(&mut core, "", 60).code(), 4096);
    }
}
