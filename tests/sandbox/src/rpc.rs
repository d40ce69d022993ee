//! One XML-RPC call: parameters, session, method, reply, event.

use opennebula::xmlrpc::{self, Value};

use crate::acl::Caller;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::ObjectKind;
use crate::methods::{self, Method};

/// What a method returns.
pub(crate) type Outcome = Result<Value, Failure>;

/// A method's own part.
pub(crate) type Handler = fn(&mut Core, &mut Context, &Args<'_>) -> Outcome;

/// What a method knows besides its parameters.
pub(crate) struct Context {
    pub(crate) caller: Caller,
    /// The kind of object that the method is about.
    pub(crate) kind: ObjectKind,
    /// `EXTRA` of the event.
    pub(crate) extra: String,
}

/// Parameters without the session, of the types that the method's signature names.
pub(crate) struct Args<'a>(pub(crate) &'a [Value]);

impl Args<'_> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The text at a position; empty if it was left out.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.0.get(index).and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn int(&self, index: usize) -> i64 {
        self.int_or(index, 0)
    }

    pub(crate) fn int_or(&self, index: usize, default: i64) -> i64 {
        self.0.get(index).and_then(Value::as_int).unwrap_or(default)
    }

    pub(crate) fn flag(&self, index: usize) -> bool {
        self.0.get(index).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn ints(&self, index: usize) -> Vec<i64> {
        match self.0.get(index) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_int).collect(),
            _ => Vec::new(),
        }
    }

    /// An object id. A negative one names no object.
    pub(crate) fn id(&self, index: usize) -> Result<u32, Failure> {
        let id = self.int(index);
        u32::try_from(id).map_err(|_| Failure::no_exists(id))
    }
}

/// The outcome of a call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Success(Value),
    Failure { message: String, code: i64, id: i64 },
    Fault { code: i64, message: String },
}

impl Reply {
    /// oned's error code, 0 for success, -1 for a fault.
    pub(crate) fn code(&self) -> i64 {
        match self {
            Self::Success(_) => 0,
            Self::Failure { code, .. } => *code,
            Self::Fault { .. } => -1,
        }
    }

    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Success(value) => xmlrpc::encode_response(&[true.into(), value.clone(), 0.into()]),
            Self::Failure { message, code, id } => xmlrpc::encode_response(&[
                false.into(),
                message.as_str().into(),
                (*code).into(),
                (*id).into(),
                (-1).into(),
            ]),
            Self::Fault { code, message } => xmlrpc::encode_fault(*code, message),
        }
    }

    /// The values of the reply's array, as an event shows them.
    pub(crate) fn outputs(&self) -> Vec<String> {
        match self {
            Self::Success(value) => vec!["true".into(), event_text(value), "0".into()],
            Self::Failure { message, code, id } => {
                vec!["false".into(), message.clone(), code.to_string(), id.to_string()]
            }
            Self::Fault { .. } => Vec::new(),
        }
    }
}

/// A value as an event shows it.
pub(crate) fn event_text(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => u8::from(*truth).to_string(),
        Value::String(text) => text.clone(),
        Value::Double(number) => number.to_string(),
        Value::Array(_) | Value::Struct(_) | Value::Nil => String::new(),
    }
}

/// Codes of the XML-RPC library.
const FAULT_TYPE: i64 = -501;
const FAULT_PARSE: i64 = -503;
const FAULT_NO_METHOD: i64 = -506;

impl Core {
    /// Reads and performs one request.
    pub(crate) fn request(&mut self, body: &str) -> (Reply, CallFacts) {
        match xmlrpc::decode_call(body) {
            Ok(call) => self.perform(&call.method, &call.params),
            Err(error) => {
                let message = format!("Call XML not a proper XML-RPC call.  {error}");
                (
                    Reply::Fault {
                        code: FAULT_PARSE,
                        message,
                    },
                    CallFacts::default(),
                )
            }
        }
    }

    /// Performs one call and publishes its event.
    pub(crate) fn perform(&mut self, name: &str, params: &[Value]) -> (Reply, CallFacts) {
        let mut facts = CallFacts {
            object: params.iter().skip(1).find_map(Value::as_int),
            ..CallFacts::default()
        };
        let Some(method) = methods::find(name) else {
            let message = format!("Method '{name}' not defined");
            return (
                Reply::Fault {
                    code: FAULT_NO_METHOD,
                    message,
                },
                facts,
            );
        };
        let Some(session) = params.first().and_then(Value::as_str) else {
            return (
                Reply::Fault {
                    code: FAULT_TYPE,
                    message: "The first parameter is no session".into(),
                },
                facts,
            );
        };
        let Some(caller) = self.authenticate(session) else {
            let failure = Failure::authentication();
            return (reply(Err(failure), method, None), facts);
        };
        facts.user.clone_from(&caller.uname);
        // oned reads parameters while it executes, so a session is checked before them.
        if let Err(message) = method.accepts(params) {
            return (
                Reply::Fault {
                    code: FAULT_TYPE,
                    message,
                },
                facts,
            );
        }
        let uid = Some(caller.uid);
        let mut context = Context {
            caller,
            kind: method.kind,
            extra: String::new(),
        };
        let outcome = (method.handler)(self, &mut context, &Args(&params[1..]));
        let reply = reply(outcome, method, uid);
        self.publish_call(method, params, &reply, &context.extra);
        self.run_triggers();
        (reply, facts)
    }
}

fn reply(outcome: Outcome, method: &Method, uid: Option<u32>) -> Reply {
    match outcome {
        Ok(value) => Reply::Success(value),
        Err(failure) => Reply::Failure {
            message: failure.text(method.name, method.kind, uid),
            code: failure.code as i64,
            id: failure.id,
        },
    }
}

/// What the call log keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallFacts {
    pub(crate) user: String,
    pub(crate) object: Option<i64>,
}
