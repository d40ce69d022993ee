//! Hooks and their log.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use opennebula::template::Template;
use opennebula::xmlrpc::Value;

use crate::acl::Target;
use crate::clusters::system_meta;
use crate::core::Core;
use crate::events::{Execution, ExecutionRecord};
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::methods;
use crate::pool::Object;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse};
use crate::states::{LcmState, VmState};
use crate::xml::{self, Xml};

/// What fires a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HookKey {
    /// A method.
    Api(String),
    /// `VM/ACTIVE/RUNNING`, `IMAGE/READY/` …
    State(String),
}

impl HookKey {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Api(text) | Self::State(text) => text,
        }
    }
}

/// A hook.
#[derive(Clone)]
pub struct Hook {
    /// Id and name.
    pub meta: Meta,
    pub(crate) template: Template,
    is_api: bool,
    /// From when on the hook manager listens for it.
    pub(crate) since: u64,
    pub(crate) next_execution: u64,
    pub(crate) log: VecDeque<LogRecord>,
}

/// An entry of a hook's log.
#[derive(Clone)]
pub(crate) struct LogRecord {
    pub(crate) execution: u64,
    pub(crate) time: u64,
    pub(crate) arguments: String,
    pub(crate) command: String,
    pub(crate) remote_host: Option<String>,
    pub(crate) retry: bool,
    pub(crate) record: ExecutionRecord,
}

impl LogRecord {
    fn write(&self, hook: u32, xml: &mut Xml) {
        xml.open("HOOK_EXECUTION_RECORD");
        xml.field("HOOK_ID", hook);
        xml.field("EXECUTION_ID", self.execution);
        xml.field("TIMESTAMP", self.time);
        xml.field("ARGUMENTS", &self.arguments);
        xml.open("EXECUTION_RESULT");
        xml.field("COMMAND", &self.command);
        xml.field("STDOUT", wrapped(&self.record.stdout));
        xml.field("STDERR", wrapped(&self.record.stderr));
        xml.field("CODE", self.record.code);
        xml.close("EXECUTION_RESULT");
        if let Some(host) = &self.remote_host {
            xml.field("REMOTE_HOST", host);
        }
        if self.retry {
            xml.field("RETRY", "yes");
        }
        xml.close("HOOK_EXECUTION_RECORD");
    }
}

/// Base64 in lines of sixty characters, each with its end, as Ruby writes it.
fn wrapped(bytes: &[u8]) -> String {
    let text = BASE64.encode(bytes);
    let mut lines = String::with_capacity(text.len() + text.len() / 60 + 1);
    for (index, c) in text.chars().enumerate() {
        if index > 0 && index % 60 == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines
}

impl Hook {
    pub(crate) fn command(&self) -> &str {
        self.template.get("COMMAND").unwrap_or("")
    }

    /// Whether arguments go to standard input. The hook manager knows no other word for it than yes.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.template
            .get("ARGUMENTS_STDIN")
            .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.template
            .get("REMOTE")
            .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
    }

    pub(crate) fn timeout(&self) -> Option<u64> {
        self.template
            .get("TIMEOUT")
            .and_then(|text| text.parse().ok())
            .filter(|seconds| *seconds > 0)
    }

    fn fires_for(&self, key: &HookKey) -> bool {
        let value = |name: &str| self.template.get(name).unwrap_or("");
        match key {
            HookKey::Api(call) => self.is_api && value("CALL") == call,
            HookKey::State(state) => {
                let mut parts = state.split('/');
                !self.is_api
                    && parts.next() == Some(value("RESOURCE"))
                    && parts.next() == Some(value("STATE"))
                    && parts.next() == Some(value("LCM_STATE"))
            }
        }
    }
}

impl Object for Hook {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn template(&self) -> &Template {
        &self.template
    }

    fn template_mut(&mut self) -> &mut Template {
        &mut self.template
    }

    fn write(&self, xml: &mut Xml) {
        xml.open("HOOK");
        self.write_body(xml);
        xml.close("HOOK");
    }
}

impl Hook {
    fn write_body(&self, xml: &mut Xml) {
        xml.field("ID", self.meta.id);
        xml.field("NAME", &self.meta.name);
        xml.field("TYPE", if self.is_api { "api" } else { "state" });
        self.meta.write_lock(xml);
        xml.template("TEMPLATE", &self.template);
    }
}

/// `one.hook.allocate`: template.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let mut template = parse(args.text(0)).map_err(Failure::internal)?;
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Hook, &ctx.caller),
    )?;
    let name = template.get("NAME").unwrap_or("").to_owned();
    template.remove("NAME");
    if name.is_empty() {
        return Err(Failure::internal("No NAME in template for Hook."));
    }
    shared::check_name(&name).map_err(Failure::internal)?;
    core.check_unique(ObjectKind::Hook, &name, 0)
        .map_err(Failure::internal)?;
    if template.get("COMMAND").is_none_or(str::is_empty) {
        return Err(Failure::internal("No COMMAND in template for Hook."));
    }
    let remote = template
        .get("REMOTE")
        .is_some_and(|text| text.eq_ignore_ascii_case("YES"));
    template.set("REMOTE", if remote { "YES" } else { "NO" });
    let kind = template.get("TYPE").unwrap_or("").to_ascii_lowercase();
    template.remove("TYPE");
    let is_api = match kind.as_str() {
        "api" => true,
        "state" => false,
        _ => return Err(Failure::internal("No TYPE or invalid one in template for Hook.")),
    };
    if is_api {
        check_call(&template).map_err(Failure::internal)?;
    } else {
        read_state(&mut template).map_err(Failure::internal)?;
    }
    if !xml::is_storable(&template) {
        return Err(Failure::internal("Error transforming the Hook to XML."));
    }
    let id = core.hooks.next_id();
    let hook = Hook {
        meta: system_meta(id, &name),
        template,
        is_api,
        since: core.now + core.config.timings.hook_subscribe,
        next_execution: 0,
        log: VecDeque::new(),
    };
    core.hooks.insert(id, hook);
    ctx.extra = core.hooks.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

fn check_call(template: &Template) -> Result<(), String> {
    let call = template.get("CALL").unwrap_or("");
    if call.starts_with("one.internal") || methods::is_hookable(call) {
        return Ok(());
    }
    Err(format!("API call does not exist or is not supported: {call}"))
}

fn read_state(template: &mut Template) -> Result<(), String> {
    let resource = template.get("RESOURCE").unwrap_or("").to_owned();
    if resource != "VM" {
        return match resource.as_str() {
            "HOST" | "IMAGE" | "NET" => {
                let state = template.get("STATE").unwrap_or("");
                if state.is_empty() {
                    Err(format!("Wrong STATE: {state}"))
                } else {
                    Ok(())
                }
            }
            _ => Err("No RESOURCE or invalid one in template for Hook.".into()),
        };
    }
    let on = template.get("ON").unwrap_or("").to_ascii_uppercase();
    template.remove("ON");
    let active = |lcm_state| (VmState::Active, lcm_state);
    let (state, lcm_state) = match on.as_str() {
        "PROLOG" => active(LcmState::Prolog),
        "RUNNING" => active(LcmState::Running),
        "SHUTDOWN" => active(LcmState::Epilog),
        "UNKNOWN" => active(LcmState::Unknown),
        "STOP" => (VmState::Stopped, LcmState::LcmInit),
        "DONE" => (VmState::Done, LcmState::LcmInit),
        "CUSTOM" => {
            let (state, lcm_state) = (
                template.get("STATE").unwrap_or(""),
                template.get("LCM_STATE").unwrap_or(""),
            );
            (
                VmState::parse(state).ok_or_else(|| format!("Wrong STATE: {state}"))?,
                LcmState::parse(lcm_state).ok_or_else(|| format!("Wrong LCM_STATE: {lcm_state}"))?,
            )
        }
        other => return Err(format!("Unkown state condition: {other}")),
    };
    template.set("STATE", state.name());
    template.set("LCM_STATE", lcm_state.name());
    Ok(())
}

/// Refuses an update that leaves a hook without command or without something to fire it.
pub(crate) fn check_update(hook: &Hook, template: &Template) -> Result<(), String> {
    let is_set = |name: &str| template.get(name).is_some_and(|text| !text.is_empty());
    if !is_set("COMMAND") {
        return Err("The COMMAND attribute is not defined.".into());
    }
    if hook.is_api {
        return check_call(template).map_err(|_| "The CALL attribute is not defined or it's invalid.".into());
    }
    for name in ["STATE", "LCM_STATE"] {
        if template.get("RESOURCE") == Some("VM") && !is_set(name) {
            return Err(format!("The {name} attribute is not defined or it's invalid."));
        }
    }
    Ok(())
}

/// `one.hook.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    core.hooks.remove(id);
    done(id)
}

/// `one.hook.retry`: hook, execution.
pub(crate) fn retry(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Hook, id)?;
    let hook_id = core.existing(ObjectKind::Hook, id)?.meta().id;
    let Some(hook) = core.hooks.get(hook_id) else {
        return Err(Failure::no_exists(id));
    };
    let wanted = u64::try_from(args.int(1)).ok();
    let Some(record) = hook.log.iter().find(|record| Some(record.execution) == wanted) else {
        return Err(Failure::internal("Cannot retrieve hook execution"));
    };
    let execution = Execution {
        number: core.events.next,
        hook_id,
        hook_name: hook.meta.name.clone(),
        command: hook.command().to_owned(),
        arguments: record.arguments.clone(),
        stdin: hook.reads_stdin().then(|| record.arguments.clone()),
        key: "RETRY".into(),
        remote_host: record.remote_host.clone(),
        timeout: hook.timeout(),
        published: core.now,
        retry: true,
    };
    core.events.next += 1;
    core.events.executions.push(execution);
    Ok(Value::from(id))
}

/// `one.hookpool.info`.
pub(crate) fn pool_info(core: &mut Core, ctx: &mut Context, _args: &Args<'_>) -> Outcome {
    let ids = core.listed(ObjectKind::Hook, &ctx.caller, -2, (-1, -1), |_| true)?;
    let mut xml = Xml::new();
    xml.open("HOOK_POOL");
    for hook in ids.into_iter().filter_map(|id| core.hooks.get(id)) {
        hook.write(&mut xml);
    }
    xml.close("HOOK_POOL");
    Ok(xml.into_string().into())
}

/// `one.hooklog.info`: first and last second, hook, -1 failed, 0 all, 1 succeeded.
pub(crate) fn log_info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.authorize(&ctx.caller, Operation::Manage, &Target::pool(ObjectKind::Hook))?;
    let (since, until, only, outcome) = (
        args.int_or(0, -1),
        args.int_or(1, -1),
        args.int_or(2, -1),
        args.int_or(3, 0),
    );
    let mut xml = Xml::new();
    xml.open("HOOKLOG");
    for (id, hook) in core
        .hooks
        .iter()
        .filter(|(id, _)| only < 0 || i64::from(*id) == only)
    {
        for record in &hook.log {
            let time = i64::try_from(record.time).unwrap_or(i64::MAX);
            let in_time = (since < 0 || time >= since) && (until < 0 || time <= until);
            let wanted = match outcome {
                -1 => record.record.code != 0,
                1 => record.record.code == 0,
                _ => true,
            };
            if in_time && wanted {
                record.write(id, &mut xml);
            }
        }
    }
    xml.close("HOOKLOG");
    Ok(xml.into_string().into())
}

impl Core {
    pub(crate) fn hook_xml(&self, id: u32) -> String {
        let Some(hook) = self.hooks.get(id) else {
            return String::new();
        };
        let mut xml = Xml::new();
        xml.open("HOOK");
        hook.write_body(&mut xml);
        xml.open("HOOKLOG");
        for record in &hook.log {
            record.write(id, &mut xml);
        }
        xml.close("HOOKLOG");
        xml.close("HOOK");
        xml.into_string()
    }

    /// Whether the hook manager listens for that key.
    pub(crate) fn has_hook(&self, key: &HookKey) -> bool {
        self.hooks
            .values()
            .any(|hook| hook.since <= self.now && hook.fires_for(key))
    }

    pub(crate) fn hooks_for(&self, key: &HookKey) -> Vec<u32> {
        let listening = self
            .hooks
            .iter()
            .filter(|(_, hook)| hook.since <= self.now && hook.fires_for(key));
        listening.map(|(id, _)| id).collect()
    }
}
