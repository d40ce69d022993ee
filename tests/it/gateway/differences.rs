//! What is deliberately not as in the old server, each with its reason.
//!
//! A difference is named by what it is and where: `other` is another value, `absent` is a field that only the old server
//! has, `more` one that only ours has, `length` a list of another length; lists are shown as `[]`.

/// A deliberate difference.
pub struct Difference {
    /// Numbers of the recorded exchanges; none for all.
    pub exchanges: &'static [u32],
    /// What, and where in the answer.
    pub what: &'static str,
    /// Why.
    pub reason: &'static str,
}

const fn everywhere(what: &'static str, reason: &'static str) -> Difference {
    at(&[], what, reason)
}

const fn at(exchanges: &'static [u32], what: &'static str, reason: &'static str) -> Difference {
    Difference {
        exchanges,
        what,
        reason,
    }
}

const NAMES: &str = "names of objects follow from the cluster's id, so that nothing is made twice";
const OF_THE_RUN: &str = "objects, addresses and times are those of the run";
const HISTORY: &str =
    "history also tells why, and what was accepted; what happens to a group stands with the group";
const AT_ONCE: &str = "a node group has nothing to bootstrap: it goes on to PROVISIONING at once";
const WORDS: &str = "a refusal says what is wrong with which thing, and the way out, in our own words";
const FIELDS: &str = "values that are refused stand in context, each by its path";
const FIXED: &str = "a value that the flavour fixes is refused; the old server took another without a word";
const SCALING: &str = "a cluster is SCALING while one of its groups is; the old server showed it as RUNNING";
const UPGRADING: &str = "a cluster is UPGRADING while it is; the old server showed that of its groups only";
const NOT_NOW: &str = "405 is for methods; what can't be done now is 409";
const NO_FLAVOUR: &str = "a flavour that is not there is 404; the old server took it for an error of its own";
const LINES: &str = "the lines are those of the hooks";
const PLACED: &str = "the datastore of the images is chosen when the cluster is made, and shown";

/// All of them.
pub const DIFFERENCES: &[Difference] = &[
    // What no two runs have in common.
    everywhere("other …registration_time", OF_THE_RUN),
    everywhere("other …historic[].time", OF_THE_RUN),
    everywhere("other …vms[]", OF_THE_RUN),
    everywhere("other …dependencies[].id", OF_THE_RUN),
    everywhere("other …endpoint", OF_THE_RUN),
    at(
        &[66, 68, 70, 72, 74, 76],
        "length …GROUP_BODY.vms",
        "how fast machines come is that of the run",
    ),
    at(&[33, 209], "other body.kubeconfig", "it is that of the cluster"),
    // Names.
    everywhere("other …uuid", NAMES),
    everywhere("other …control_plane.name", NAMES),
    at(&[57], "other body[].DOCUMENT.NAME", NAMES),
    at(&[57], "other body[].DOCUMENT.TEMPLATE.GROUP_BODY.name", NAMES),
    // Answers that were no JSON, or none.
    at(&[1], "other type", "a greeting is text, and says so"),
    at(&[3, 4], "other type", "a refusal is JSON, whatever it is about"),
    at(&[3, 4], "other body", "a refusal is JSON, whatever it is about"),
    at(&[61], "other body", "the answer is the group; null said nothing"),
    // Refusals.
    at(&[8], "other status", "a family that is not there is 404"),
    at(&[8], "other body", "a family that is not there is 404"),
    at(&[11], "other status", NO_FLAVOUR),
    at(&[11], "other body.err_code", NO_FLAVOUR),
    at(
        &[11],
        "absent body.context",
        "where in the program something went wrong is nothing to its clients",
    ),
    at(
        &[21],
        "other status",
        "a flavour that is not there is a wrong value: 400",
    ),
    at(
        &[21],
        "other body.err_code",
        "a flavour that is not there is a wrong value: 400",
    ),
    at(&[80, 81], "other status", NOT_NOW),
    at(&[80, 81], "other body.err_code", NOT_NOW),
    at(
        &[89],
        "other status",
        "who may only look may not delete; the old server said that it would be done",
    ),
    at(
        &[89],
        "other type",
        "who may only look may not delete, and is told so",
    ),
    at(
        &[89],
        "other body",
        "who may only look may not delete, and is told so",
    ),
    at(
        &[11, 16, 17, 20, 21, 56, 79, 80, 81, 84, 87, 90, 91, 95],
        "other body.message",
        WORDS,
    ),
    at(
        &[16, 17, 20, 21, 37, 79, 84, 87, 202],
        "more body.context",
        FIELDS,
    ),
    at(&[37, 202], "other status", FIXED),
    at(&[37, 202], "more body.err_code", FIXED),
    at(&[37, 202], "more body.message", FIXED),
    at(&[37, 202], "absent body.DOCUMENT", FIXED),
    // Clusters and groups.
    everywhere("more …CLUSTER_BODY.deployment.datastores", PLACED),
    at(
        &[62, 63, 65, 67, 69, 71, 73, 75, 77],
        "other …CLUSTER_BODY.state",
        SCALING,
    ),
    at(
        &[62, 63, 65, 67, 69, 71, 73, 75, 77, 82],
        "length …CLUSTER_BODY.historic",
        SCALING,
    ),
    at(&[83, 88, 93], "length …CLUSTER_BODY.historic", UPGRADING),
    at(
        &[62, 64],
        "other …user_inputs_values.count",
        "what is wanted is shown at once, not when it has come about",
    ),
    everywhere("other …historic[] that is no change of state", HISTORY),
    everywhere("other …node_groups[].historic[].description", AT_ONCE),
    everywhere("other …GROUP_BODY.historic[].description", AT_ONCE),
    everywhere("length …node_groups[].historic", AT_ONCE),
    everywhere("length …GROUP_BODY.historic", AT_ONCE),
    at(&[54], "other body[].historic[].description", AT_ONCE),
    at(&[54], "length body[].historic", AT_ONCE),
    at(
        &[6, 7],
        "absent …dependencies[].opts.appliance_ds",
        "images are looked for in the datastore that the cluster names",
    ),
    // Logs.
    at(&[34, 35, 36, 208], "other body.lines[].text", LINES),
    at(&[34, 35, 36, 208], "other body.lines[].level", LINES),
    at(&[34, 36, 208], "length body.lines", LINES),
    at(&[34, 35, 36, 208], "other body.meta.total_lines", LINES),
    at(&[35], "other body.meta.total_pages", LINES),
];
