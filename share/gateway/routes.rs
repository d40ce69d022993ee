//! All routes. Requests are answered by this table, and the `OpenAPI` document is made from it.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use crate::fault::Fault;
use crate::listing::Pool;
use crate::reply::Reply;
use crate::request::{Ask, decode};
use crate::schema::Field;
use crate::{clusters, deployment, families, groups, logs, openapi, rights, shapes};

/// Where the interface begins.
pub const BASE: &str = "/api/v1";

/// A route.
pub struct Route {
    /// Method.
    pub method: &'static str,
    /// Path, with its places in braces.
    pub path: &'static str,
    /// Name of the operation, for programs that are made from the document.
    pub id: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What is looked at behind the question mark.
    pub query: &'static [Parameter],
    /// The body that it needs.
    pub body: Option<&'static [Field]>,
    /// Status and form of the answer.
    pub answer: (u16, Form),
    /// Refusals beside those that everything can meet with.
    pub refusals: &'static [u16],
    /// Who does it.
    pub run: Run,
}

/// Who answers.
#[derive(Clone, Copy)]
pub enum Run {
    /// Anybody may ask, and OpenNebula is not needed.
    Open(fn() -> Reply),
    /// A list.
    List(Pool),
    /// A few calls to OpenNebula.
    Call(fn(&Ask) -> Result<Reply, Fault>),
    /// Calls whose course is told as they are made.
    Stream(fn(&Ask) -> Result<(), Fault>, fn(&Ask, &Sender<Bytes>)),
}

/// The form of an answer.
#[derive(Clone, Copy)]
pub enum Form {
    /// None.
    Empty,
    /// Text of this type.
    Text(&'static str),
    /// JSON of this shape.
    Json(fn() -> Value),
}

/// A parameter behind the question mark.
#[derive(Clone, Copy)]
pub enum Parameter {
    /// Is on if it is there, whatever its value, unless that is `false`.
    Flag(&'static str, &'static str),
    /// A number from 1 on, with a greatest value.
    Number(&'static str, usize, &'static str),
    /// Text.
    Text(&'static str, &'static str),
}

impl Parameter {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Flag(name, _) | Self::Number(name, ..) | Self::Text(name, _) => name,
        }
    }
}

use Form::{Empty, Json, Text};
use Parameter::{Flag, Number};
use Run::{Call, List, Open, Stream};

/// The last page that may be asked for.
pub const LAST_PAGE: usize = 1_000_000_000;

const PAGES: &[Parameter] = &[
    Number("page", LAST_PAGE, "Page, counted from 1"),
    Number(
        "per_page",
        1000,
        "Entries of a page, 100 unless another number is given",
    ),
    Parameter::Text("name", "Only those of this name"),
    Parameter::Text(
        "state",
        "Only those in this state; several are separated by commas",
    ),
];

const LINES: &[Parameter] = &[
    Number("page", LAST_PAGE, "Page, counted from 1, the newest"),
    Number(
        "per_page",
        10_000,
        "Lines of a page, 100 unless another number is given",
    ),
    Flag("all", "All lines at once, oldest first"),
];

const EXPAND: &[Parameter] = &[Flag("expand", "Show the groups in whole")];

const FORCE: &[Parameter] = &[Flag(
    "force",
    "Use the means of last resort for machines that won't end",
)];

const BARE: &[Parameter] = &[Flag("exclude_defaults", "Only inputs that have no default")];

macro_rules! routes {
    ($($method:ident $path:literal $id:ident $summary:literal
       [$query:expr, $body:expr] => $status:literal $form:expr, $refusals:expr, $run:expr;)*) => {
        /// The table. A path that is fixed stands before one with places that it would fit.
        pub static ROUTES: &[Route] = &[$(Route {
            method: stringify!($method), path: $path, id: stringify!($id), summary: $summary,
            query: $query, body: $body, answer: ($status, $form), refusals: $refusals, run: $run,
        }),*];
    };
}

routes! {
    GET "/healthz" health "Is the gateway there? OpenNebula is not asked"
        [&[], None] => 200 Json(shapes::health), &[], Open(health);
    GET "/openapi.json" openapi "This document"
        [&[], None] => 200 Json(shapes::object), &[], Open(openapi::reply);
    GET "/metrics" metrics "Figures for Prometheus, about what the user may see"
        [&[], None] => 200 Text("text/plain; version=0.0.4; charset=utf-8"), &[], List(Pool::Metrics);
    GET "/api/v1/" welcome "A greeting"
        [&[], None] => 200 Text("text/plain; charset=utf-8"), &[], Call(welcome);
    GET "/api/v1/clusters" list_clusters "The clusters that the user may see, newest first"
        [PAGES, None] => 200 Json(shapes::clusters), &[400], List(Pool::Clusters);
    POST "/api/v1/clusters" create_cluster "Make a cluster"
        [&[], Some(clusters::NEW)] => 201 Json(shapes::cluster), &[400, 409], Call(clusters::create);
    GET "/api/v1/clusters/families" list_cluster_families "Families of control planes"
        [&[], None] => 200 Json(shapes::families), &[], Call(families::clusters);
    GET "/api/v1/clusters/families/{family}" show_cluster_family "A family of control planes"
        [&[], None] => 200 Json(shapes::family), &[404], Call(families::cluster);
    GET "/api/v1/clusters/families/{family}/{flavour}/inputs" show_cluster_inputs "Inputs of a flavour"
        [BARE, None] => 200 Json(shapes::inputs), &[404], Call(families::cluster_inputs);
    POST "/api/v1/clusters/deployment/validate" validate_deployment "Could a cluster live in this place?"
        [&[], Some(deployment::PLACE)] => 200 Json(shapes::valid), &[400], Call(deployment::validate);
    GET "/api/v1/clusters/deployment/check" show_check "Can places be checked?"
        [&[], None] => 200 Json(shapes::enabled), &[], Call(deployment::status);
    POST "/api/v1/clusters/deployment/check" check_deployment "Look at a place and tell each step as an event"
        [&[], Some(deployment::PLACE)] => 200 Text("text/event-stream"), &[400],
        Stream(deployment::ready, deployment::check);
    GET "/api/v1/clusters/{id}" show_cluster "A cluster"
        [EXPAND, None] => 200 Json(shapes::cluster), &[404], Call(clusters::show);
    PATCH "/api/v1/clusters/{id}" update_cluster "Rename a cluster, or describe it anew"
        [&[], Some(clusters::CHANGE)] => 200 Json(shapes::cluster), &[400, 404, 409], Call(clusters::update);
    DELETE "/api/v1/clusters/{id}" delete_cluster "Delete a cluster with all that belongs to it"
        [FORCE, None] => 204 Empty, &[404, 409], Call(clusters::delete);
    POST "/api/v1/clusters/{id}/chmod" chmod_cluster "Change permission bits"
        [&[], Some(rights::BITS)] => 204 Empty, &[400, 404, 409], Call(rights::chmod);
    POST "/api/v1/clusters/{id}/chown" chown_cluster "Change owner and group"
        [&[], Some(rights::OWNER)] => 204 Empty, &[400, 404, 409], Call(rights::chown);
    POST "/api/v1/clusters/{id}/chgrp" chgrp_cluster "Change the group"
        [&[], Some(rights::GROUP)] => 204 Empty, &[400, 404, 409], Call(rights::chgrp);
    GET "/api/v1/clusters/{id}/kubeconfig" show_kubeconfig "The kubeconfig"
        [&[], None] => 200 Json(shapes::kubeconfig), &[404, 409], Call(clusters::kubeconfig);
    POST "/api/v1/clusters/{id}/recover" recover_cluster "Try again what failed"
        [&[], None] => 204 Empty, &[404, 409], Call(clusters::recover);
    POST "/api/v1/clusters/{id}/upgrade" upgrade_cluster "Bring a cluster to a later version of Kubernetes"
        [&[], Some(clusters::VERSION)] => 200 Json(shapes::cluster), &[400, 404, 409], Call(clusters::upgrade);
    GET "/api/v1/clusters/{id}/logs" show_logs "What happened to a cluster"
        [LINES, None] => 200 Json(shapes::logs), &[400, 404], Call(logs::show);
    GET "/api/v1/clusters/{id}/nodegroups" list_nodegroups "The node groups of a cluster"
        [&[], None] => 200 Json(shapes::expanded), &[404], Call(groups::of_cluster);
    POST "/api/v1/clusters/{id}/nodegroups" create_nodegroup "Add a node group"
        [&[], Some(groups::NEW)] => 201 Json(shapes::group), &[400, 404, 409], Call(groups::create);
    GET "/api/v1/clusters/{id}/nodegroups/{group}" show_nodegroup "A group of a cluster"
        [&[], None] => 200 Json(shapes::group), &[404], Call(groups::show);
    PATCH "/api/v1/clusters/{id}/nodegroups/{group}" update_nodegroup "Rename a node group, or describe it anew"
        [&[], Some(groups::CHANGE)] => 200 Json(shapes::group), &[400, 404, 409], Call(groups::update);
    DELETE "/api/v1/clusters/{id}/nodegroups/{group}" delete_nodegroup "Remove a node group"
        [&[], None] => 204 Empty, &[404, 409], Call(groups::delete);
    POST "/api/v1/clusters/{id}/nodegroups/{group}/recover" recover_nodegroup "Try again what failed"
        [&[], None] => 204 Empty, &[404, 409], Call(groups::recover);
    POST "/api/v1/clusters/{id}/nodegroups/{group}/scale" scale_nodegroup "Change the number of nodes"
        [&[], Some(groups::SIZE)] => 201 Json(shapes::group), &[400, 404, 409], Call(groups::scale);
    GET "/api/v1/nodegroups/families" list_nodegroup_families "Families of node groups"
        [&[], None] => 200 Json(shapes::families), &[], Call(families::nodegroups);
    GET "/api/v1/nodegroups/families/{family}" show_nodegroup_family "A family of node groups"
        [&[], None] => 200 Json(shapes::family), &[404], Call(families::nodegroup);
    GET "/api/v1/nodegroups/families/{family}/{flavour}/inputs" show_nodegroup_inputs "Inputs of a flavour"
        [BARE, None] => 200 Json(shapes::inputs), &[404], Call(families::nodegroup_inputs);
    GET "/api/v1/groups" list_groups "The groups of all clusters that the user may see"
        [PAGES, None] => 200 Json(shapes::groups), &[400], List(Pool::Groups);
    GET "/api/v1/groups/{group}" show_group "A group"
        [&[], None] => 200 Json(shapes::group), &[404], Call(groups::by_id);
}

fn health() -> Reply {
    Reply::json(hyper::StatusCode::OK, &serde_json::json!({"status": "ok"}))
}

fn welcome(ask: &Ask) -> Result<Reply, Fault> {
    ask.user()?;
    let text = "Welcome to the OpenNebula Kubernetes Service API v1";
    Ok(Reply::text("text/plain; charset=utf-8", text.to_owned()))
}

/// The route of a request and what stands in its path's places.
///
/// # Errors
/// There is no such path, or not for this method.
pub fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<String>), Fault> {
    let path = if path == BASE { "/api/v1/" } else { path };
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |route: &&Route| {
        let pattern = route.path.split('/');
        pattern.clone().count() == segments.len()
            && pattern
                .zip(&segments)
                .all(|(wanted, given)| wanted == *given || is_place(wanted) && !given.is_empty())
    };
    let first = ROUTES.iter().find(fits).ok_or_else(|| Fault::no_path(path))?;
    let same = || ROUTES.iter().filter(|r| r.path == first.path);
    let method = if method == "HEAD" { "GET" } else { method };
    let Some(route) = same().find(|r| r.method == method) else {
        let allowed: Vec<&str> = same().map(|r| r.method).collect();
        return Err(Fault::wrong_method(&allowed));
    };
    let places = route
        .path
        .split('/')
        .zip(segments)
        .filter(|(wanted, _)| is_place(wanted))
        .map(|(_, given)| decode(given, false));
    Ok((route, places.collect()))
}

/// The names of a path's places.
pub fn places(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn is_place(segment: &str) -> bool {
    segment.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(method: &str, path: &str) -> Result<&'static str, u16> {
        find(method, path)
            .map(|(r, _)| r.id)
            .map_err(|f| f.status.as_u16())
    }

    #[test]
    fn requests_find_their_route() {
        for (method, path, wanted) in [
            ("GET", "/api/v1/", Ok("welcome")),
            ("GET", "/api/v1", Ok("welcome")),
            ("HEAD", "/api/v1/clusters", Ok("list_clusters")),
            ("GET", "/api/v1/clusters/families", Ok("list_cluster_families")),
            ("GET", "/api/v1/clusters/24", Ok("show_cluster")),
            ("GET", "/api/v1/clusters/deployment/check", Ok("show_check")),
            (
                "POST",
                "/api/v1/clusters/deployment/check",
                Ok("check_deployment"),
            ),
            (
                "PATCH",
                "/api/v1/clusters/24/nodegroups/26",
                Ok("update_nodegroup"),
            ),
            ("GET", "/api/v1/clusters/", Err(404)),
            ("GET", "/api/v1/nope", Err(404)),
            ("GET", "/", Err(404)),
            ("GET", "*", Err(404)),
            ("PUT", "/api/v1/clusters", Err(405)),
            ("DELETE", "/api/v1/clusters/families", Err(405)),
            ("GET", "/api/v1/clusters/24/recover", Err(405)),
        ] {
            assert_eq!(id(method, path), wanted, "{method} {path}");
        }
        let places = find("GET", "/api/v1/clusters/families/a%20b/x/inputs").map(|(_, p)| p);
        assert_eq!(places.ok(), Some(vec!["a b".to_owned(), "x".to_owned()]));
    }

    #[test]
    fn no_route_hides_another() {
        for (i, route) in ROUTES.iter().enumerate() {
            let (found, _) = find(route.method, route.path).ok().unwrap();
            assert!(std::ptr::eq(found, route), "{} is hidden", route.path);
            assert!(ROUTES[..i].iter().all(|r| r.id != route.id), "{}", route.id);
        }
    }
}
