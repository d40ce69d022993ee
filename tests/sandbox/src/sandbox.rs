//! The handle of a sandbox: calls, time, events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opennebula::xmlrpc::{self, Value};

use crate::agenda::Task;
use crate::calllog::{CallLog, CallRecord};
use crate::config::Config;
use crate::core::Core;
use crate::events::{Execution, ExecutionRecord};
use crate::faults::{Broken, Faults, Verdict};
use crate::guest::{CallError, Cloud, ExecResult, Guests, Started};
use crate::notices::Notice;
use crate::rpc::Reply;

/// An `OpenNebula` in memory. Clones are handles of the same cloud.
#[derive(Clone)]
pub struct Sandbox(Arc<Mutex<Core>>);

/// How often guests may say "now" without time passing, before time passes all the same.
const TICKS_AT_ONCE: u32 = 1000;

impl Sandbox {
    /// A fresh installation without guests, as with the dummy hypervisor: users `oneadmin` (0) and `serveradmin` (1),
    /// groups `oneadmin` (0) and `users` (1), cluster `default` (0), datastores `system`, `default` and `files`.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Mutex::new(Core::new(config, None))))
    }

    /// A fresh installation whose VMs are alive.
    pub fn with_guests(config: Config, guests: Box<dyn Guests>) -> Self {
        Self(Arc::new(Mutex::new(Core::new(config, Some(guests)))))
    }

    /// A second cloud in the state of this one, time and faults included. The two share nothing.
    ///
    /// The guests are the caller's to bring, in the state of those that are here, such as
    /// [`capi::Handle::fork`](crate::capi::Handle::fork) makes them.
    #[must_use]
    pub fn fork(&self, guests: Option<Box<dyn Guests>>) -> Self {
        Self(Arc::new(Mutex::new(self.lock().fork(guests))))
    }

    /// Answers one XML-RPC request at the current virtual time. Empty where an injected fault breaks the connection;
    /// [`Sandbox::exchange`] tells how.
    pub fn call(&self, request_body: &str) -> String {
        self.exchange(request_body).unwrap_or_default()
    }

    /// Answers one XML-RPC request at the current virtual time.
    ///
    /// # Errors
    /// Only by an injected fault: the caller gets no answer.
    pub fn exchange(&self, request_body: &str) -> Result<String, Broken> {
        let result = self.exchange_unsettled(request_body);
        self.settle();
        result
    }

    fn exchange_unsettled(&self, request_body: &str) -> Result<String, Broken> {
        let mut core = self.lock();
        let call = xmlrpc::decode_call(request_body).ok();
        let method = call.as_ref().map_or("", |call| call.method.as_str());
        let session = call
            .as_ref()
            .and_then(|call| call.params.first())
            .and_then(Value::as_str)
            .unwrap_or("");
        let user = session.split(':').next().unwrap_or("").to_owned();
        let verdict = core.faults.judge(method, &user);
        let method = method.to_owned();
        let verdict = if core.is_down() {
            Verdict::BreakBefore(Broken::Refused)
        } else {
            verdict
        };
        let record = |core: &mut Core, user: &str, object: Option<i64>, code: i64, answer: usize| {
            let (time, method, user) = (core.now, method.clone(), user.to_owned());
            core.log.calls.push(CallRecord {
                time,
                user,
                method,
                object,
                code,
                bytes: request_body.len() + answer,
            });
        };
        if let Verdict::Refuse { code, message } = &verdict {
            let answer = Reply::Failure {
                message: message.clone(),
                code: *code,
                id: -1,
            }
            .encode();
            record(&mut core, &user, None, *code, answer.len());
            return Ok(answer);
        }
        if let Verdict::BreakBefore(broken) = verdict {
            record(&mut core, &user, None, -1, 0);
            return Err(broken);
        }
        let (reply, facts) = match call {
            Some(call) => core.perform(&call.method, &call.params),
            None => core.request(request_body),
        };
        let answer = reply.encode();
        record(&mut core, &facts.user, facts.object, reply.code(), answer.len());
        match verdict {
            Verdict::BreakAfter(broken) => Err(broken),
            Verdict::Delay(seconds) => {
                let until = core.now + seconds;
                drop(core);
                self.advance_to(until);
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    /// A call with `session` in front of `params`, without wire format: in the log, with events and faults, like any
    /// other.
    ///
    /// # Errors
    /// The cloud refused, or a fault broke the connection (code -2).
    pub fn ask(&self, session: &str, method: &str, params: &[Value]) -> Result<Value, CallError> {
        let params: Vec<Value> = std::iter::once(session.into())
            .chain(params.iter().cloned())
            .collect();
        let failure = |code, message: String| CallError { code, message };
        let body = xmlrpc::encode_call(method, &params).map_err(|error| failure(0, error.to_string()))?;
        let answer = self
            .exchange(&body)
            .map_err(|broken| failure(-2, broken.to_string()))?;
        match xmlrpc::decode_response(&answer) {
            Ok(xmlrpc::Response::Success { value }) => Ok(value),
            Ok(xmlrpc::Response::Failure { message, code, .. }) => Err(failure(code, message)),
            Ok(xmlrpc::Response::Fault { message, .. }) => Err(failure(0, message)),
            Err(error) => Err(failure(0, error.to_string())),
        }
    }

    /// Virtual time, epoch seconds.
    pub fn now(&self) -> u64 {
        self.lock().now
    }

    /// When something happens by itself next. A moment in the past means now.
    pub fn next_wake(&self) -> Option<u64> {
        next_wake(&self.lock())
    }

    /// Lets everything happen that is due up to `time`, in order, and sets the clock to it. Time never goes back.
    pub fn advance_to(&self, time: u64) {
        let mut ticks = 0;
        loop {
            self.settle();
            let mut core = self.lock();
            let Some(wake) = next_wake(&core).filter(|wake| *wake <= time) else {
                core.now = core.now.max(time);
                return;
            };
            ticks = if wake > core.now { 0 } else { ticks + 1 };
            core.now = core.now.max(wake);
            let now = core.now;
            let task = if core.is_down() {
                None
            } else {
                core.agenda.pop(now)
            };
            if let Some(task) = task {
                core.happen(&task);
                ticks = 0;
            } else if ticks > TICKS_AT_ONCE {
                core.now += 1;
                ticks = 0;
            } else if let Some(mut guests) = core.guests.take() {
                drop(core);
                guests.tick(&mut Inside(self));
                self.lock().guests = Some(guests);
            }
        }
    }

    /// Lets `seconds` pass.
    pub fn advance(&self, seconds: u64) {
        let until = self.now() + seconds;
        self.advance_to(until);
    }

    /// The hook executions that were asked for since the last time, in the order of publication, changed by the
    /// faults for events.
    pub fn take_events(&self) -> Vec<Execution> {
        let mut core = self.lock();
        if let Some(end) = core.faults.holds(&core.events.executions, core.now) {
            // Time must not pass by the moment at which they come.
            core.agenda.once_at(end, Task::Wake);
            return Vec::new();
        }
        let executions = std::mem::take(&mut core.events.executions);
        core.faults.disturb(executions)
    }

    /// Whether there are hook executions to take.
    pub fn has_events(&self) -> bool {
        let core = self.lock();
        let waiting = &core.events.executions;
        !waiting.is_empty() && core.faults.holds(waiting, core.now).is_none()
    }

    /// oned ends now and is back after some seconds. Until then every connection is refused, guests' included, and
    /// nothing of the cloud's own goes on; what drivers have begun ends when it is back. What the hook manager has not
    /// fetched yet is lost. Sessions and everything else that is in the database stay.
    pub fn restart(&self, seconds: u64) {
        let mut core = self.lock();
        core.down_until = core.now + seconds;
        core.events.executions.clear();
        let end = core.down_until;
        core.agenda.at(end, Task::Wake);
    }

    /// Notes the outcome of a hook execution in the hook's log.
    pub fn record_execution(&self, execution: &Execution, record: ExecutionRecord) {
        self.lock().log_execution(execution, record);
    }

    /// The calls since the last reset.
    pub fn calls(&self) -> CallLog {
        self.lock().log.clone()
    }

    /// How many calls there were since the last reset.
    pub fn call_count(&self) -> usize {
        self.lock().log.calls.len()
    }

    /// The calls since there were so many. Copies those alone, however long the log is.
    pub fn calls_since(&self, count: usize) -> Vec<CallRecord> {
        self.lock().log.calls.get(count..).unwrap_or_default().to_vec()
    }

    /// Forgets the calls so far.
    pub fn reset_calls(&self) {
        self.lock().log = CallLog::default();
    }

    /// Sets the faults, by a function of what is set now.
    pub fn faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut self.lock().faults)
    }

    /// Runs what the guests have to be told. Whoever finds the guests at home does it for all.
    pub(crate) fn settle(&self) {
        loop {
            let mut core = self.lock();
            if core.notices.is_empty() {
                return;
            }
            let Some(mut guests) = core.guests.take() else {
                return;
            };
            let Some(notice) = core.notices.pop_front() else {
                core.guests = Some(guests);
                return;
            };
            drop(core);
            let mut inside = Inside(self);
            let finished = match notice {
                Notice::Changed(facts) => {
                    guests.vm_changed(&facts, &mut inside);
                    None
                }
                Notice::Exec {
                    facts,
                    command,
                    stdin,
                    serial,
                } => match guests.exec(&facts, &command, &stdin, &mut inside) {
                    Started::Ends(result) => Some((facts.id, serial, result)),
                    Started::Runs => None,
                },
                Notice::Cancelled { id } => {
                    guests.cancelled(id);
                    None
                }
            };
            let mut core = self.lock();
            core.guests = Some(guests);
            if let Some((id, serial, result)) = finished {
                core.guest_finished(id, serial, result);
            }
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next_wake(core: &Core) -> Option<u64> {
    let guests = core.guests.as_ref().and_then(|guests| guests.next_wake());
    core.agenda
        .next()
        .map(|time| time.max(core.down_until))
        .into_iter()
        .chain(guests)
        .min()
        .map(|wake| wake.max(core.now))
}

/// The cloud as software in a VM sees it.
struct Inside<'a>(&'a Sandbox);

impl Cloud for Inside<'_> {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn call(&mut self, session: &str, method: &str, params: &[Value]) -> Result<Value, CallError> {
        let params: Vec<Value> = std::iter::once(session.into())
            .chain(params.iter().cloned())
            .collect();
        let mut core = self.0.lock();
        if core.is_down() {
            return Err(unreachable());
        }
        let (reply, _) = core.perform(method, &params);
        match reply {
            Reply::Success(value) => Ok(value),
            Reply::Failure { message, code, .. } => Err(CallError { code, message }),
            Reply::Fault { message, .. } => Err(CallError { code: 0, message }),
        }
    }

    fn onegate_put(&mut self, vm_id: u32, text: &str) -> Result<(), CallError> {
        let mut core = self.0.lock();
        if core.is_down() {
            return Err(unreachable());
        }
        core.onegate_put(vm_id, text)
    }

    fn command_ended(&mut self, vm_id: u32, result: ExecResult) {
        self.0.lock().command_ended(vm_id, result);
    }

    fn random(&mut self) -> u64 {
        self.0.lock().rng.next()
    }
}

fn unreachable() -> CallError {
    CallError {
        code: -2,
        message: Broken::Refused.to_string(),
    }
}

/// Wakes the clock at `time` even if nothing else happens then.
impl Sandbox {
    /// Makes [`Sandbox::next_wake`] stop at a moment, for a caller that waits for it.
    pub fn wake_at(&self, time: u64) {
        self.lock().agenda.at(time, Task::Wake);
    }
}
