//! Events: what is published, which hooks want it, what they get.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use opennebula::xmlrpc::Value;

use crate::core::Core;
use crate::hooks::{HookKey, LogRecord};
use crate::methods::Method;
use crate::nokogiri;
use crate::rpc::{Reply, event_text};
use crate::xml::Xml;

/// What the hook manager has not fetched yet.
#[derive(Clone, Default)]
pub(crate) struct Events {
    pub(crate) executions: Vec<Execution>,
    /// Keys of everything that was published, while somebody listens.
    pub(crate) published: Option<Vec<String>>,
    pub(crate) next: u64,
}

/// A hook that is to be run.
#[derive(Clone, PartialEq, Eq)]
pub struct Execution {
    /// Counts executions; a duplicated one has the number of its original.
    pub number: u64,
    /// Hook.
    pub hook_id: u32,
    /// Hook's name.
    pub hook_name: String,
    /// Program, an absolute path or one below the hooks' folder.
    pub command: String,
    /// Arguments, joined by blanks.
    pub arguments: String,
    /// The arguments again if they go to standard input; they are not passed as arguments then.
    pub stdin: Option<String>,
    /// What fired it: a method, or `VM/ACTIVE/RUNNING`.
    pub key: String,
    /// Host of a remote hook.
    pub remote_host: Option<String>,
    /// Seconds after which it is ended.
    pub timeout: Option<u64>,
    /// When the event was published, epoch seconds.
    pub published: u64,
    /// Whether somebody asked for it by `one.hook.retry`.
    pub retry: bool,
}

impl Execution {
    /// The words of the command line.
    pub fn argv(&self) -> Vec<String> {
        let mut words = vec![self.command.clone()];
        if self.stdin.is_none() {
            words.extend(self.arguments.split_whitespace().map(str::to_owned));
        }
        words
    }

    /// The payload, decoded: the last word of the arguments, if that is base64 of text.
    pub fn payload(&self) -> Option<String> {
        let last = self.arguments.split(' ').next_back()?;
        String::from_utf8(BASE64.decode(last).ok()?).ok()
    }
}

/// Payloads hold parameters of calls, so they are not shown.
impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Execution {{ number: {}, hook: {} ({}), key: {}, arguments: {} bytes }}",
            self.number,
            self.hook_id,
            self.hook_name,
            self.key,
            self.arguments.len()
        )
    }
}

/// How an execution ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionRecord {
    /// Exit code; 255 if it could not be run, was killed or took too long.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A parsed event: where the hook manager takes the payload from.
struct Payload {
    api: String,
    template: String,
}

impl Core {
    /// Publishes a call, if such calls are published.
    pub(crate) fn publish_call(&mut self, method: &Method, params: &[Value], reply: &Reply, extra: &str) {
        if !method.is_published() || matches!(reply, Reply::Fault { .. }) {
            return;
        }
        let success = u8::from(reply.code() == 0);
        self.note_published(|| format!("EVENT API {} {success}", method.name));
        let key = HookKey::Api(method.name.into());
        if !self.has_hook(&key) {
            return;
        }
        let inputs = params.iter().enumerate().map(|(index, value)| {
            if index == 0 || method.hidden.contains(&index) {
                "****".to_owned()
            } else {
                event_text(value)
            }
        });
        let message = call_message(method.name, success, inputs, &reply.outputs(), extra);
        self.fire(&key, &message, None);
    }

    /// Publishes the result of a command in a guest.
    pub(crate) fn publish_vm_monitor(&mut self, vm: u32, block: &[(String, String)]) {
        const NAME: &str = "one.internal.vmmonitor";
        self.note_published(|| format!("EVENT API {NAME} 1"));
        let key = HookKey::Api(NAME.into());
        if !self.has_hook(&key) {
            return;
        }
        let inputs = block.iter().map(|(key, text)| format!("{key}={text}"));
        let message = call_message(NAME, 1, inputs, &[], &format!("<VM_ID>{vm}</VM_ID>"));
        self.fire(&key, &message, None);
    }

    /// Publishes the state of a VM.
    pub(crate) fn publish_vm(&mut self, id: u32) {
        let Some(vm) = self.vms.get(id) else { return };
        let (state, lcm_state) = (vm.state.name(), vm.lcm_state.name());
        self.note_published(|| format!("EVENT STATE VM/{state}/{lcm_state}/{id} "));
        let key = HookKey::State(format!("VM/{state}/{lcm_state}"));
        if !self.has_hook(&key) {
            return;
        }
        let Some(vm) = self.vms.get(id) else { return };
        let host = vm.history.last().map(|record| record.host_name.clone());
        let service = vm.user_template.get("SERVICE_ID").unwrap_or("").to_owned();
        let body = self.vm_xml(id);
        let mut xml = Xml::new();
        xml.open("HOOK_MESSAGE");
        xml.field("HOOK_TYPE", "STATE");
        xml.field("HOOK_OBJECT", "VM");
        xml.field("STATE", state);
        xml.field("LCM_STATE", lcm_state);
        xml.field("RESOURCE_ID", id);
        if !service.is_empty() {
            xml.field("SERVICE_ID", service);
        }
        match &host {
            Some(host) => xml.field("REMOTE_HOST", host),
            None => xml.empty("REMOTE_HOST"),
        }
        xml.raw(&body);
        xml.close("HOOK_MESSAGE");
        self.fire(&key, &xml.into_string(), host.as_deref());
    }

    /// Publishes the state of an image.
    pub(crate) fn publish_image(&mut self, id: u32) {
        use crate::pool::Object;
        let Some(image) = self.images.get(id) else { return };
        let state = image.state.name();
        self.note_published(|| format!("EVENT STATE IMAGE/{state}//{id} "));
        let key = HookKey::State(format!("IMAGE/{state}/"));
        if !self.has_hook(&key) {
            return;
        }
        let Some(body) = self.images.get(id).map(Object::to_xml) else {
            return;
        };
        let mut xml = Xml::new();
        xml.open("HOOK_MESSAGE");
        xml.field("HOOK_TYPE", "STATE");
        xml.field("HOOK_OBJECT", "IMAGE");
        xml.field("STATE", state);
        xml.field("RESOURCE_ID", id);
        xml.raw(&body);
        xml.close("HOOK_MESSAGE");
        self.fire(&key, &xml.into_string(), None);
    }

    fn note_published(&mut self, key: impl FnOnce() -> String) {
        if let Some(published) = &mut self.events.published {
            published.push(key());
        }
    }

    /// Asks for an execution of every hook with that key.
    fn fire(&mut self, key: &HookKey, message: &str, host: Option<&str>) {
        let document = nokogiri::parse(message);
        let find = |name: &str| {
            let found = document.as_ref().and_then(|document| document.find(name));
            found
                .map(|element| BASE64.encode(element.to_text()))
                .unwrap_or_default()
        };
        let payload = match key {
            HookKey::Api(_) => Payload {
                api: find("CALL_INFO"),
                template: String::new(),
            },
            HookKey::State(key) => {
                let object = key.split('/').next().unwrap_or("");
                Payload {
                    api: String::new(),
                    template: find(if object == "NET" { "VNET" } else { object }),
                }
            }
        };
        for id in self.hooks_for(key) {
            self.ask(id, key, &payload, host);
        }
    }

    fn ask(&mut self, id: u32, key: &HookKey, payload: &Payload, host: Option<&str>) {
        let Some(hook) = self.hooks.get(id) else { return };
        let words = hook
            .template
            .get("ARGUMENTS")
            .unwrap_or("")
            .split_whitespace()
            .map(|word| match word {
                "$API" => payload.api.as_str(),
                "$TEMPLATE" => payload.template.as_str(),
                word => word,
            });
        let arguments = words.collect::<Vec<_>>().join(" ").trim().to_owned();
        let remote_host = if hook.is_remote() {
            // Without a host the hook manager only complains.
            match host {
                Some(host) => Some(host.to_owned()),
                None => return,
            }
        } else {
            None
        };
        let execution = Execution {
            number: self.events.next,
            hook_id: id,
            hook_name: hook.meta.name.clone(),
            command: hook.command().to_owned(),
            stdin: hook.reads_stdin().then(|| arguments.clone()),
            arguments,
            key: key.text().to_owned(),
            remote_host,
            timeout: hook.timeout(),
            published: self.now,
            retry: false,
        };
        self.events.next += 1;
        self.events.executions.push(execution);
    }

    /// Notes how an execution ended.
    pub(crate) fn log_execution(&mut self, execution: &Execution, record: ExecutionRecord) {
        let retention = self.config.hook_log_retention;
        let now = self.now;
        // Arguments and command are not escaped in the record; one that is no XML is silently not kept.
        if [&execution.arguments, &execution.command]
            .iter()
            .any(|text| text.contains(['&', '<']))
        {
            return;
        }
        let Some(hook) = self.hooks.get_mut(execution.hook_id) else {
            return;
        };
        let number = hook.next_execution;
        hook.next_execution += 1;
        hook.log.push_back(LogRecord {
            execution: number,
            time: now,
            arguments: execution.arguments.clone(),
            command: execution.argv().join(" "),
            remote_host: execution.remote_host.clone(),
            retry: execution.retry,
            record,
        });
        while hook.log.len() > retention {
            hook.log.pop_front();
        }
    }
}

/// The message of an API event, as oned writes it: nothing is escaped.
fn call_message(
    name: &str,
    success: u8,
    inputs: impl Iterator<Item = String>,
    outputs: &[String],
    extra: &str,
) -> String {
    let mut xml = Xml::new();
    xml.open("HOOK_MESSAGE");
    xml.field("HOOK_TYPE", "API");
    xml.field("CALL", name);
    xml.open("CALL_INFO");
    xml.field("RESULT", success);
    xml.open("PARAMETERS");
    let all = inputs.enumerate().map(|(index, text)| (index, "IN", text));
    let outputs = outputs
        .iter()
        .cloned()
        .enumerate()
        .map(|(index, text)| (index, "OUT", text));
    for (index, kind, text) in all.chain(outputs) {
        xml.open("PARAMETER");
        xml.field("POSITION", index + 1);
        xml.field("TYPE", kind);
        xml.field("VALUE", text);
        xml.close("PARAMETER");
    }
    xml.close("PARAMETERS");
    xml.field("EXTRA", extra);
    xml.close("CALL_INFO");
    xml.close("HOOK_MESSAGE");
    xml.into_string()
}
