//! `one.system.*` and `one.zone.raftstatus`.

use crate::acl::Target;
use crate::core::Core;
use crate::meta::{ObjectKind, Operation};
use crate::rpc::{Args, Context, Outcome};
use crate::xml::Xml;

/// `one.system.version`.
#[allow(clippy::unnecessary_wraps)] // Other methods can fail.
pub(crate) fn version(core: &mut Core, _ctx: &mut Context, _args: &Args<'_>) -> Outcome {
    Ok(core.config.version.as_str().into())
}

/// `one.system.config`, for admins.
pub(crate) fn config(core: &mut Core, ctx: &mut Context, _args: &Args<'_>) -> Outcome {
    core.authorize(&ctx.caller, Operation::Admin, &Target::pool(ObjectKind::Zone))?;
    let mut xml = Xml::new();
    xml.open("OPENNEBULA_CONFIGURATION");
    xml.cdata("API_LIST_ORDER", "DESC");
    xml.cdata("DEFAULT_UMASK", "177");
    for name in &core.config.document_encrypted {
        xml.cdata("DOCUMENT_ENCRYPTED_ATTR", name);
    }
    xml.open("HOOK_LOG_CONF");
    xml.cdata("LOG_RETENTION", core.config.hook_log_retention);
    xml.close("HOOK_LOG_CONF");
    xml.cdata("ONEGATE_ENDPOINT", &core.config.onegate_endpoint);
    xml.cdata("PORT", 2633);
    xml.cdata("SESSION_EXPIRATION_TIME", 900);
    xml.close("OPENNEBULA_CONFIGURATION");
    Ok(xml.into_string().into())
}

/// `one.zone.raftstatus` of a front-end that is alone, or of one that follows another.
#[allow(clippy::unnecessary_wraps)] // Other methods can fail.
pub(crate) fn raft_status(core: &mut Core, _ctx: &mut Context, _args: &Args<'_>) -> Outcome {
    let mut xml = Xml::new();
    xml.open("RAFT");
    let (server, state) = if core.faults.follower { (1, 2) } else { (-1, 0) };
    for (name, value) in [
        ("SERVER_ID", server),
        ("STATE", state),
        ("TERM", 0),
        ("VOTEDFOR", -1),
        ("COMMIT", 0),
        ("LOG_INDEX", -1),
        ("LOG_TERM", -1),
        ("FEDLOG_INDEX", -1),
    ] {
        xml.field(name, value);
    }
    xml.close("RAFT");
    Ok(xml.into_string().into())
}
