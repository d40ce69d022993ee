//! Who may do what with a cluster. OpenNebula decides who may change that.

use hyper::StatusCode;
use oneks::orders::cluster::Cluster;
use oneks::orders::rights::octet;
use serde_json::Value;

use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::Ask;
use crate::schema::{self, Field, Kind, optional, required};

/// Permission bits.
pub const BITS: &[Field] = &[required(
    "octet",
    Kind::Octet,
    "Rights of owner, group and others, such as 640: 4 USE, 2 MANAGE, 1 ADMIN",
)];

/// An owner.
pub const OWNER: &[Field] = &[
    required("owner_id", Kind::IdOrNone, "The new owner"),
    optional("group_id", Kind::IdOrNone, "The new group"),
];

/// A group of users.
pub const GROUP: &[Field] = &[required("group_id", Kind::IdOrNone, "The new group")];

/// Changes the permission bits.
pub fn chmod(ask: &Ask) -> Result<Reply, Fault> {
    let change = octet(ask.body["octet"].as_str().unwrap_or_default())
        .map_err(|message| Fault::field("octet", message))?;
    // The call would change any document.
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    ask.client.document_chmod(cluster.id(), change)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Changes owner and group.
pub fn chown(ask: &Ask) -> Result<Reply, Fault> {
    give(ask, &ask.body["owner_id"], &ask.body["group_id"])
}

/// Changes the group.
pub fn chgrp(ask: &Ask) -> Result<Reply, Fault> {
    give(ask, &Value::Null, &ask.body["group_id"])
}

fn give(ask: &Ask, owner: &Value, group: &Value) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    let (owner, group) = (schema::id(owner), schema::id(group));
    let given = ask.client.document_chown(cluster.id(), owner, group);
    given.map_err(|error| {
        if error.is_not_found() {
            let path = if owner.is_some() { "owner_id" } else { "group_id" };
            return Fault::field(path, format!("there is none of this id ({})", Fault::from(error)));
        }
        error.into()
    })?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
