//! Scheduled actions of VMs.

use opennebula::template::vector_value;
use opennebula::xmlrpc::Value;

use crate::agenda::Task;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Operation};
use crate::rpc::{Args, Context, Outcome};
use crate::shared::parse;
use crate::states::VmState;
use crate::vms::{self};
use crate::xml::Xml;

/// An action that a VM gets at some time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SchedAction {
    id: u32,
    vm: u32,
    action: String,
    args: String,
    time: u64,
    /// Hours between repetitions, if it is repeated by the hour. Other repetitions happen once.
    hours: Option<u64>,
    repeat: i64,
    days: String,
    end_type: i64,
    end_value: i64,
    done: Option<u64>,
    times: i64,
    message: String,
    warning: u64,
}

const ACTIONS: [&str; 20] = [
    "terminate",
    "terminate-hard",
    "undeploy",
    "undeploy-hard",
    "hold",
    "release",
    "stop",
    "suspend",
    "resume",
    "reboot",
    "reboot-hard",
    "poweroff",
    "poweroff-hard",
    "snapshot-create",
    "snapshot-revert",
    "snapshot-delete",
    "disk-snapshot-create",
    "disk-snapshot-revert",
    "disk-snapshot-delete",
    "backup",
];

impl SchedAction {
    /// Reads a `SCHED_ACTION` vector; a relative time counts from `origin`, the creation of the VM.
    fn read(id: u32, vm: u32, origin: u64, pairs: &[(String, String)]) -> Result<Self, String> {
        let mut action = Self {
            id,
            vm,
            action: String::new(),
            args: String::new(),
            time: 0,
            hours: None,
            repeat: -1,
            days: String::new(),
            end_type: -1,
            end_value: -1,
            done: None,
            times: 0,
            message: String::new(),
            warning: 0,
        };
        action.change(origin, pairs)?;
        if action.action.is_empty() {
            return Err("No ACTION in template for Scheduled Action.".into());
        }
        if vector_value(pairs, "TIME").is_none_or(str::is_empty) {
            return Err("Unable to parse the time value or value is empty: ".into());
        }
        Ok(action)
    }

    fn change(&mut self, origin: u64, pairs: &[(String, String)]) -> Result<(), String> {
        let value = |key: &str| vector_value(pairs, key).filter(|text| !text.is_empty());
        let time = |text: &str| match text.strip_prefix('+') {
            Some(seconds) => seconds.parse::<u64>().ok().map(|seconds| origin + seconds),
            None => text.parse::<u64>().ok(),
        };
        if let Some(name) = value("ACTION") {
            if !ACTIONS.contains(&name) {
                return Err(format!("{name} is not supported."));
            }
            name.clone_into(&mut self.action);
        }
        if let Some(text) = value("TIME") {
            self.time = time(text)
                .ok_or_else(|| format!("Unable to parse the time value or value is empty: {text}"))?;
            self.done = None;
        }
        if let Some(text) = value("WARNING") {
            self.warning = time(text).ok_or_else(|| format!("Unable to parse the warning value: {text}"))?;
        }
        if let Some(text) = value("REPEAT") {
            self.repeat = text
                .parse()
                .ok()
                .filter(|number| (-1..=3).contains(number))
                .ok_or_else(|| format!("Wrong REPEAT value: {text}"))?;
            let days = value("DAYS").ok_or("Repeat set, but DAYS are empty")?;
            days.clone_into(&mut self.days);
            if self.repeat == 3 {
                let hours = days.parse::<u64>().ok().filter(|hours| (1..168).contains(hours));
                self.hours = Some(hours.ok_or("Hours have to be in [0,168] range")?);
            }
        }
        if let Some(number) = value("END_TYPE").and_then(|text| text.parse().ok()) {
            self.end_type = number;
        }
        if let Some(number) = value("END_VALUE").and_then(|text| text.parse().ok()) {
            self.end_value = number;
        }
        if let Some(text) = value("ARGS") {
            text.clone_into(&mut self.args);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        match self.end_type {
            1 => self.times >= self.end_value,
            2 => self.end_value >= 0 && self.time > u64::try_from(self.end_value).unwrap_or(0),
            _ => false,
        }
    }

    /// Whether it is still to be done, now or later.
    fn is_open(&self) -> bool {
        !self.is_over() && (self.done.is_none() || self.hours.is_some())
    }

    fn is_due(&self, now: u64) -> bool {
        self.is_open() && self.time < now
    }

    /// Notes that it was done, and when it is to be done again.
    fn finish(&mut self, now: u64) {
        self.done = Some(now);
        self.times += 1;
        self.message.clear();
        if let Some(hours) = self.hours {
            while self.time <= now {
                self.time += hours * 3600;
            }
        }
    }

    fn write(&self, xml: &mut Xml) {
        xml.open("SCHED_ACTION");
        xml.field("ID", self.id);
        xml.field("PARENT_ID", self.vm);
        xml.field("TYPE", "VM");
        xml.field("ACTION", &self.action);
        xml.field("ARGS", &self.args);
        xml.field("TIME", self.time);
        xml.field("REPEAT", self.repeat);
        xml.field("DAYS", &self.days);
        xml.field("END_TYPE", self.end_type);
        xml.field("END_VALUE", self.end_value);
        xml.field("DONE", self.done.map_or("-1".into(), |time| time.to_string()));
        xml.field("MESSAGE", &self.message);
        xml.field("WARNING", self.warning);
        xml.close("SCHED_ACTION");
    }
}

/// Adds an action to a VM. Its id.
pub(crate) fn add(core: &mut Core, vm: u32, pairs: &[(String, String)]) -> Result<u32, String> {
    let origin = core.vms.get(vm).map_or(core.now, |vm| vm.stime);
    let id = core.sched_actions.next_id();
    let action = SchedAction::read(id, vm, origin, pairs)?;
    core.sched_actions.insert(id, action);
    if let Some(vm) = core.vms.get_mut(vm) {
        vm.sched_actions.insert(id);
    }
    core.show_sched_actions(vm);
    core.plan_sched_actions();
    Ok(id)
}

/// `one.vm.schedadd`: VM, template.
pub(crate) fn sched_add(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    let vm = core.existing(ObjectKind::Vm, id)?.meta().id;
    if core.vms.get(vm).is_some_and(|vm| vm.state == VmState::Done) {
        return Err(Failure::internal(format!(
            "Unable to create Scheduled Action for Virtual Machine {id}, it's in DONE state"
        )));
    }
    let template = parse(args.text(1)).map_err(Failure::internal)?;
    let Some(pairs) = template.get_vector("SCHED_ACTION") else {
        return Err(Failure::action("No SCHED_ACTION attribute in template"));
    };
    let action = add(core, vm, pairs).map_err(Failure::action)?;
    Ok(Value::from(action))
}

/// `one.vm.schedupdate`: VM, action, template.
pub(crate) fn sched_update(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (vm, id) = own(core, ctx, args)?;
    let template = parse(args.text(2)).map_err(Failure::internal)?;
    let Some(pairs) = template.get_vector("SCHED_ACTION") else {
        return Err(Failure::action("No SCHED_ACTION attribute in template"));
    };
    let origin = core.vms.get(vm).map_or(core.now, |vm| vm.stime);
    if let Some(action) = core.sched_actions.get_mut(id) {
        let mut changed = action.clone();
        changed.change(origin, pairs).map_err(Failure::action)?;
        *action = changed;
    }
    core.show_sched_actions(vm);
    core.plan_sched_actions();
    Ok(Value::from(id))
}

/// `one.vm.scheddelete`: VM, action. The VM's id.
pub(crate) fn sched_delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (vm, id) = own(core, ctx, args)?;
    core.sched_actions.remove(id);
    if let Some(vm) = core.vms.get_mut(vm) {
        vm.sched_actions.remove(&id);
    }
    core.show_sched_actions(vm);
    Ok(Value::from(vm))
}

fn own(core: &Core, ctx: &Context, args: &Args<'_>) -> Result<(u32, u32), Failure> {
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, args.int(0))?;
    let vm = core.existing(ObjectKind::Vm, args.int(0))?.meta().id;
    let id = u32::try_from(args.int(1)).ok();
    let owned = id.filter(|id| core.vms.get(vm).is_some_and(|vm| vm.sched_actions.contains(id)));
    let missing = || {
        Failure::action(format!(
            "Virtual Machine {vm} doesn't own Scheduled Action {}",
            args.int(1)
        ))
    };
    Ok((vm, owned.ok_or_else(missing)?))
}

impl Core {
    fn show_sched_actions(&mut self, vm: u32) {
        let ids: Vec<u32> = self
            .vms
            .get(vm)
            .map(|vm| vm.sched_actions.iter().copied().collect())
            .unwrap_or_default();
        let mut xml = Xml::new();
        for action in ids.iter().filter_map(|id| self.sched_actions.get(*id)) {
            action.write(&mut xml);
        }
        if let Some(vm) = self.vms.get_mut(vm) {
            vm.sched_xml = xml.into_string();
        }
    }

    /// Plans the executor's next turn if there is anything to do. Turns come at multiples of their period.
    fn plan_sched_actions(&mut self) {
        let Some(first) = self
            .sched_actions
            .values()
            .filter(|action| action.is_open())
            .map(|action| action.time)
            .min()
        else {
            return;
        };
        let period = self.config.timings.sched_action.max(1);
        let due = (first + 1).max(self.now + 1).saturating_sub(self.config.start);
        let at = self.config.start + due.div_ceil(period) * period;
        self.agenda.once_at(at, Task::SchedActions);
    }

    /// Does what is due, one action per VM, as oneadmin. No API event tells of it.
    pub(crate) fn run_sched_actions(&mut self) {
        let now = self.now;
        let mut seen = Vec::new();
        for id in self.sched_actions.ids() {
            let Some(action) = self.sched_actions.get(id).filter(|action| action.is_due(now)) else {
                continue;
            };
            let (vm, name) = (action.vm, action.action.clone());
            if seen.contains(&vm) {
                continue;
            }
            seen.push(vm);
            let Some(caller) = self.caller_for(0) else {
                continue;
            };
            let ctx = Context {
                caller,
                kind: ObjectKind::Vm,
                extra: String::new(),
            };
            let message = match self.act(&name, vm, &ctx) {
                Ok(()) => None,
                Err(vms::Refused::State(cause)) => Some(cause),
                Err(vms::Refused::Unknown) => Some(format!("Action \"{name}\" is not supported")),
            };
            if let Some(action) = self.sched_actions.get_mut(id) {
                if let Some(message) = message {
                    action.message = format!("{} : {message}", crate::clock::asctime(now));
                } else {
                    action.finish(now);
                }
            }
            self.show_sched_actions(vm);
            self.run_triggers();
        }
        self.plan_sched_actions();
    }
}
