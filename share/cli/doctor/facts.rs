//! Gathering the facts: calls to OpenNebula, looks at files and services. No judgement.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use oneks::config::Config;
use oneks::drivers::{Drivers, Executables};
use oneks::layout::Layout;
use oneks::registration::{self, Change};
use oneks::sweep;
use oneks_core::profile::Catalog;
use oneks_driver::{Action, Info};
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::objects::{Acl, Datastore, DatastoreType, Hook, HookExecution, Image, RaftStatus};
use opennebula::template::Template;
use opennebula::{Client, Error};

use super::Fact;
use super::cloud::RECENT;
use crate::app::App;
use crate::failure::Failure;

/// Seconds after which the last sweep is too long ago; it runs once a minute.
pub const AGE_OF_SWEEP: u64 = 200;

/// How long OneGate may take for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that is known.
pub struct Facts {
    pub now: u64,
    pub version: Fact<String>,
    pub raft: Fact<RaftStatus>,
    pub oned: Fact<Template>,
    pub hooks: Fact<(usize, Vec<Change>)>,
    pub hooks_folder: PathBuf,
    pub hook_manager: Fact<bool>,
    pub executions: Fact<Vec<HookExecution>>,
    pub failures: Fact<Vec<(String, HookExecution)>>,
    pub configuration: Fact<Config>,
    pub xmlrpc_tproxy: Fact<String>,
    pub credential: FileFact,
    pub delegation: Fact<()>,
    pub service_uid: Fact<u32>,
    pub files: Vec<FileFact>,
    pub drivers: Vec<(String, Fact<Info>)>,
    pub profile_errors: Vec<String>,
    pub families: usize,
    pub timer: Fact<Timer>,
    pub swept: Fact<Option<u64>>,
    pub onegate: Fact<String>,
    pub tproxy: (PathBuf, Fact<String>),
    pub clock: Fact<bool>,
    pub images: Fact<ImageFacts>,
    pub rights: Fact<RightFacts>,
}

/// A file, and what it is for.
pub struct FileFact {
    pub path: PathBuf,
    pub access: Access,
    /// `None` if there is no such file.
    pub about: Fact<Option<About>>,
}

/// What must be possible with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Executed by everybody, written by root only.
    Programs,
    /// Read by the hooks, written by administrators.
    Configuration,
    /// Written by the hooks.
    Own,
}

/// Owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub uid: u32,
    pub mode: u32,
}

/// The sweep's timer, as systemd knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    pub installed: bool,
    pub active: bool,
}

/// What decides whether images are there.
pub struct ImageFacts {
    pub catalog: Catalog,
    pub datastores: Vec<Datastore>,
    pub images: Vec<Image>,
}

/// What decides who may create clusters.
pub struct RightFacts {
    pub rules: Vec<Acl>,
    pub subjects: Vec<Subject>,
    /// Were they named on the command line?
    pub asked: bool,
}

/// A user, or any member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub user: Option<u32>,
    pub groups: Vec<u32>,
    /// As a rule names them: `#5`, `@1`.
    pub rule: String,
}

/// Who must be allowed to create clusters.
pub enum Asked {
    /// A user, by id or name.
    User(String),
    /// A group, by id or name.
    Group(String),
    /// All groups but that of the administrators.
    All,
}

impl Facts {
    /// Looks at everything.
    ///
    /// # Errors
    /// There is no session, or there is no such user or group.
    pub fn gather(app: &mut App, asked: &Asked) -> Result<Self, Failure> {
        let client = app.client()?;
        let layout = app.installation();
        let var_lib = app.environment.var_lib();
        let now = app.now();
        let version = fact(client.system_version());
        // What oned does not answer is told once, by the version.
        let reachable = version.clone().map(|_| ());
        let oned = with(&reachable, || client.system_config());
        let pool = with(&reachable, || client.hookpool_info()).map(|pool| pool.items);
        let pool = administrators(&client, &reachable, pool);
        let configuration = Config::load(&layout.config).map_err(|e| e.to_string());
        let readable = configuration.clone().unwrap_or_default();
        let credential = if readable.server_auth.as_os_str().is_empty() {
            var_lib.join(".one/oneks_auth")
        } else {
            readable.server_auth.clone()
        };
        let (catalog, errors) = oneks::catalog::load(&layout.profiles);
        let rights = match &reachable {
            Ok(()) => rights(&client, asked)?,
            Err(reason) => Err(reason.clone()),
        };
        Ok(Self {
            now,
            raft: with(&reachable, || client.zone_raftstatus()),
            onegate: onegate(&oned),
            hooks: compare(&pool, &layout),
            hook_manager: process("onehem-server"),
            executions: with(&reachable, || {
                client.hooklog_info(now.saturating_sub(RECENT), false)
            })
            .map(|log| log.items),
            failures: failures(&client, &pool, now),
            delegation: delegation(app, &credential, &client, now, &reachable),
            service_uid: about(&var_lib).and_then(|about| {
                about
                    .map(|a| a.uid)
                    .ok_or_else(|| format!("there is no {}: this is no front-end", var_lib.display()))
            }),
            credential: FileFact::look(credential, Access::Own),
            files: installed(&layout),
            drivers: drivers(&layout, &readable),
            profile_errors: errors.iter().map(ToString::to_string).collect(),
            families: catalog.control_planes.len() + catalog.node_groups.len(),
            timer: timer(),
            swept: swept(&layout),
            tproxy: {
                let path = var_lib.join("remotes/etc/vnm/OpenNebulaNetwork.conf");
                let text = std::fs::read_to_string(&path).map_err(|e| cannot(&path, &e));
                (path, text)
            },
            xmlrpc_tproxy: Ok(readable.one_xmlrpc_tproxy),
            clock: clock(),
            images: images(&client, &reachable, catalog),
            rights,
            hooks_folder: layout.hooks,
            version,
            oned,
            configuration,
        })
    }
}

impl FileFact {
    fn look(path: PathBuf, access: Access) -> Self {
        let about = about(&path);
        Self { path, access, about }
    }
}

fn fact<T>(result: Result<T, Error>) -> Fact<T> {
    result.map_err(|e| {
        if e.is_authorization() {
            "needs oneadmin: OpenNebula shows it to administrators only".to_owned()
        } else {
            e.to_string()
        }
    })
}

fn with<T>(reachable: &Fact<()>, call: impl FnOnce() -> Result<T, Error>) -> Fact<T> {
    match reachable {
        Ok(()) => fact(call()),
        Err(_) => Err("OpenNebula does not answer".to_owned()),
    }
}

/// Hooks are shown to administrators; to others OpenNebula shows none, as if there were none.
fn administrators(client: &Client, reachable: &Fact<()>, pool: Fact<Vec<Hook>>) -> Fact<Vec<Hook>> {
    let user = with(reachable, || client.user_info(None, false))?;
    if user.id == 0 || user.groups.contains(&0) {
        pool
    } else {
        Err("needs oneadmin: OpenNebula shows hooks to administrators only".to_owned())
    }
}

fn compare(pool: &Fact<Vec<Hook>>, layout: &Layout) -> Fact<(usize, Vec<Change>)> {
    let table = registration::table().map_err(|e| e.to_string())?;
    let pool = pool.as_ref().map_err(Clone::clone)?;
    let changes = registration::compare(&table, pool, &layout.hooks);
    Ok((table.len(), changes))
}

fn failures(client: &Client, pool: &Fact<Vec<Hook>>, now: u64) -> Fact<Vec<(String, HookExecution)>> {
    let pool = pool.as_ref().map_err(Clone::clone)?;
    let log = fact(client.hooklog_info(now.saturating_sub(3600), true))?;
    let ours = |e: HookExecution| {
        let hook = pool.iter().find(|h| h.id == e.hook_id)?;
        hook.name
            .starts_with(registration::PREFIX)
            .then(|| (hook.name.clone(), e))
    };
    Ok(log.items.into_iter().filter_map(ours).collect())
}

/// Does a process of this name run here? The name is looked for in its command line.
fn process(name: &str) -> Fact<bool> {
    let folder = Path::new("/proc");
    let processes = std::fs::read_dir(folder).map_err(|e| cannot(folder, &e))?;
    let lines = processes
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    Ok(lines.into_iter().any(|line| {
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(name)
    }))
}

/// Does OpenNebula accept what the hooks say when they act as somebody?
fn delegation(app: &App, path: &Path, client: &Client, now: u64, reachable: &Fact<()>) -> Fact<()> {
    let credential = app.environment.server_credential(Some(path)).map_err(|e| {
        match std::error::Error::source(&e).map(ToString::to_string) {
            Some(cause) if cause.contains("denied") => format!("needs oneadmin: {e}"),
            Some(cause) => format!("{e}: {cause}"),
            None => e.to_string(),
        }
    })?;
    let me = with(reachable, || client.user_info(None, false))?;
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(now, |d| d.as_secs())
        .max(now);
    let session = credential.session_for(&me.name, None, clock + 60);
    fact(client.with_session(session).user_info(None, false)).map(|_| ())
}

fn about(path: &Path) -> Fact<Option<About>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(About {
            uid: meta.uid(),
            mode: meta.mode() & 0o7777,
        })),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot(path, &e)),
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => format!("needs oneadmin: {} may not be read", path.display()),
        ErrorKind::NotFound => format!("there is no {}: this is no front-end", path.display()),
        _ => format!("{}: {error}", path.display()),
    }
}

fn installed(layout: &Layout) -> Vec<FileFact> {
    let mut files = vec![FileFact::look(layout.config.clone(), Access::Configuration)];
    let hooks = registration::table().unwrap_or_default();
    let mut programs: Vec<PathBuf> = hooks.iter().map(|d| layout.hooks.join(&d.executable)).collect();
    programs.push(layout.hooks.join("sweep"));
    programs.sort();
    programs.dedup();
    files.extend(programs.into_iter().map(|p| FileFact::look(p, Access::Programs)));
    files.push(FileFact::look(layout.log.clone(), Access::Own));
    files.push(FileFact::look(layout.locks.clone(), Access::Own));
    // A hook that root started by hand leaves files that oneadmin can't open.
    for entry in std::fs::read_dir(&layout.locks).into_iter().flatten().flatten() {
        files.push(FileFact::look(entry.path(), Access::Own));
    }
    files
}

fn drivers(layout: &Layout, config: &Config) -> Vec<(String, Fact<Info>)> {
    let executables = Executables::new(&layout.drivers, Duration::from_secs(config.driver_timeout));
    executables
        .installed()
        .into_iter()
        .map(|name| {
            let info = executables
                .ask(&name, &Action::Info)
                .map_err(|e| e.to_string())
                .and_then(|value| serde_json::from_value(value).map_err(|e| e.to_string()));
            (name, info)
        })
        .collect()
}

fn timer() -> Fact<Timer> {
    let properties = systemctl(&[
        "show",
        "opennebula-ks-sweep.timer",
        "--property=LoadState,ActiveState",
    ])?;
    let is = |line: &str| properties.lines().any(|l| l == line);
    Ok(Timer {
        installed: is("LoadState=loaded"),
        active: is("ActiveState=active"),
    })
}

fn systemctl(arguments: &[&str]) -> Fact<String> {
    run("systemctl", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Fact<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}", said.lines().next().unwrap_or("failed")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn swept(layout: &Layout) -> Fact<Option<u64>> {
    let path = layout.locks.join(sweep::SWEPT);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot(&path, &e)),
    }
}

fn clock() -> Fact<bool> {
    let said = run("timedatectl", &["show", "--property=NTPSynchronized", "--value"])?;
    match said.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("timedatectl does not tell".to_owned()),
    }
}

/// Asks OneGate. The address of the hosts' proxy does not exist on the front-end: what is behind it is asked then.
fn onegate(oned: &Fact<Template>) -> Fact<String> {
    let config = oned.as_ref().map_err(Clone::clone)?;
    let url = config.get("ONEGATE_ENDPOINT").unwrap_or_default();
    let Some(rest) = url.trim().strip_prefix("http://") else {
        return if url.trim().starts_with("https://") {
            Ok("not asked, because it is encrypted".to_owned())
        } else {
            Err("it is no http address".to_owned())
        };
    };
    let host = rest.split('/').next().unwrap_or_default();
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    let port: u16 = port.parse().map_err(|_| format!("{port} is no port"))?;
    let proxied = name == "169.254.16.9";
    let name = if proxied { "127.0.0.1" } else { name };
    answers(name, port).map_err(|e| format!("{name}:{port}: {e}"))?;
    Ok(if proxied {
        format!("answers at {name}:{port}")
    } else {
        "answers".to_owned()
    })
}

fn answers(host: &str, port: u16) -> Result<(), std::io::Error> {
    let mut last = std::io::Error::from(ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        let ask = || -> Result<(), std::io::Error> {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
            let mut start = [0; 5];
            stream.read_exact(&mut start)?;
            if &start == b"HTTP/" {
                Ok(())
            } else {
                Err(std::io::Error::other("this is no HTTP server"))
            }
        };
        match ask() {
            Ok(()) => return Ok(()),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn images(client: &Client, reachable: &Fact<()>, catalog: Catalog) -> Fact<ImageFacts> {
    let datastores = with(reachable, || client.datastorepool_info())?;
    let images = with(reachable, || {
        client.imagepool_info(PoolFilter::All, PoolRange::default())
    })?;
    let for_images = |d: &Datastore| d.datastore_type == DatastoreType::Image;
    Ok(ImageFacts {
        catalog,
        datastores: datastores.items.into_iter().filter(for_images).collect(),
        images: images.items,
    })
}

fn rights(client: &Client, asked: &Asked) -> Result<Fact<RightFacts>, Failure> {
    let member = |id: u32, name: &str| Subject {
        name: format!("group {name}"),
        user: None,
        groups: vec![id],
        rule: format!("@{id}"),
    };
    let subjects = match asked {
        Asked::User(wanted) => fact(client.userpool_info()).map(|pool| {
            let found = pool
                .items
                .into_iter()
                .find(|u| u.name == *wanted || u.id.to_string() == *wanted);
            found.map(|user| {
                vec![Subject {
                    name: user.name,
                    user: Some(user.id),
                    rule: format!("#{}", user.id),
                    groups: user.groups,
                }]
            })
        }),
        Asked::Group(wanted) => fact(client.grouppool_info()).map(|pool| {
            let found = pool
                .items
                .into_iter()
                .find(|g| g.name == *wanted || g.id.to_string() == *wanted);
            found.map(|group| vec![member(group.id, &group.name)])
        }),
        Asked::All => fact(client.grouppool_info()).map(|pool| {
            let groups = pool.items.iter().filter(|g| g.id != 0);
            Some(groups.map(|group| member(group.id, &group.name)).collect())
        }),
    };
    let subjects = match subjects {
        Ok(Some(subjects)) => subjects,
        Ok(None) => {
            let (Asked::User(wanted) | Asked::Group(wanted)) = asked else {
                return Ok(Err("there are no groups".to_owned()));
            };
            return Err(Failure::NotFound(format!(
                "there is no user or group {wanted} that you may see"
            )));
        }
        Err(reason) => return Ok(Err(reason)),
    };
    Ok(fact(client.acl_info()).map(|rules| RightFacts {
        rules: rules.items,
        subjects,
        asked: !matches!(asked, Asked::All),
    }))
}
