//! `oneks images import`.

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCandidates;
use opennebula::Client;
use opennebula::calls::{AccessChange, PermissionChange, PoolFilter, PoolRange, UpdateMode};
use opennebula::objects::{Datastore, Image, ImageState, MarketApp};
use opennebula::template::Template;

use crate::app::App;
use crate::complete;
use crate::failure::Failure;
use crate::{time, wait};
use oneks::orders::images::{Found, Purpose};

/// What OpenNebula's public marketplace has for each purpose.
const APPLIANCES: [(&str, Wanted); 3] = [
    ("seed", Wanted::Import("c3ecb387-e726-49fe-975d-fa39c6d40d05")),
    ("node", Wanted::Name("Ubuntu 22.04")),
    ("router", Wanted::Name("Service Virtual Router")),
];

/// An appliance of the public marketplace.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// By the id that the marketplace gives it everywhere.
    Import(&'static str),
    /// By its name.
    Name(&'static str),
}

/// What `images import` takes.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The datastore, by id or name
    #[arg(long, value_name = "ID", add = ArgValueCandidates::new(complete::datastores))]
    datastore: String,
    /// Only these purposes; all that are missing unless given
    #[arg(value_name = "PURPOSE")]
    purposes: Vec<String>,
    /// Where an image comes from: a path on the front-end, http:// or https://, app:NAME or app:ID of a marketplace,
    /// or image:ID for an image of the datastore that lacks only the mark
    #[arg(long, value_name = "PURPOSE=SOURCE", value_parser = source)]
    from: Vec<(String, Source)>,
    /// Import again what is there; new nodes are made of the new image
    #[arg(long)]
    again: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Wait until the images can be used
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this time
    #[arg(long, value_name = "TIME", value_parser = time::parse_length, default_value = "1h")]
    timeout: Duration,
    /// Time between two looks
    #[arg(long, value_name = "TIME", value_parser = time::parse_length, default_value = "5s", hide = true)]
    interval: Duration,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A file of the front-end, or an address.
    Path(String),
    /// An appliance, by id or name.
    App(String),
    /// An image of the same datastore.
    Image(u32),
}

fn source(text: &str) -> Result<(String, Source), String> {
    let (purpose, source) = text
        .split_once('=')
        .filter(|(purpose, source)| !purpose.is_empty() && !source.is_empty())
        .ok_or("expected PURPOSE=SOURCE, such as node=/var/tmp/node.qcow2")?;
    let source = if let Some(app) = source.strip_prefix("app:") {
        Source::App(app.to_owned())
    } else if let Some(id) = source.strip_prefix("image:") {
        Source::Image(id.parse().map_err(|_| format!("{id:?} is no id of an image"))?)
    } else if source.starts_with('/') || source.starts_with("http://") || source.starts_with("https://") {
        Source::Path(source.to_owned())
    } else {
        return Err(format!(
            "{source:?} is neither an absolute path nor http://, https://, app: or image:"
        ));
    };
    Ok((purpose.to_owned(), source))
}

/// One image to bring.
#[derive(Debug, Clone, PartialEq)]
struct Order {
    purpose: String,
    /// In words.
    from: String,
    /// The mark that it gets.
    mark: (String, String),
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    /// An image is made of this.
    Make(Template),
    /// An image gets the mark.
    Mark(u32),
}

/// What is known of the cloud.
struct Cloud<'a> {
    purposes: &'a [Purpose],
    datastore: &'a Datastore,
    images: &'a [Image],
    apps: &'a [MarketApp],
}

impl ImportArgs {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let purposes = super::purposes(app)?;
        let datastore = super::datastore(app, &self.datastore)?;
        let client = app.client()?;
        let images = super::all_images(&client)?;
        let apps = client
            .marketapppool_info(PoolFilter::All, PoolRange::default())?
            .items;
        let orders = self.orders(&Cloud {
            purposes: &purposes,
            datastore: &datastore,
            images: &images,
            apps: &apps,
        })?;
        if orders.is_empty() {
            return app.out.line(&format!(
                "datastore {} ({}) has all images already",
                datastore.id, datastore.name
            ));
        }
        let mut made = Vec::new();
        for order in &orders {
            if self.dry_run {
                app.out
                    .line(&format!("{}: would be taken from {}", order.purpose, order.from))?;
                continue;
            }
            let id = carry_out(&client, order, datastore.id)?;
            app.out
                .line(&format!("{}: image {id} from {}", order.purpose, order.from))?;
            made.push((order.purpose.clone(), id));
        }
        if self.wait {
            return self.wait(app, made);
        }
        Ok(())
    }

    /// What has to be done, or all that stands in the way of it.
    fn orders(&self, cloud: &Cloud<'_>) -> Result<Vec<Order>, Failure> {
        let names: Vec<&str> = cloud.purposes.iter().map(|p| p.name.as_str()).collect();
        let asked = self
            .purposes
            .iter()
            .chain(self.from.iter().map(|(purpose, _)| purpose));
        for purpose in asked {
            if !names.contains(&purpose.as_str()) {
                return Err(Failure::Usage(format!(
                    "no profile needs an image for {purpose}; there are {}",
                    names.join(", ")
                )));
            }
        }
        let (mut orders, mut wrong) = (Vec::new(), Vec::new());
        for purpose in cloud.purposes {
            let source = self
                .from
                .iter()
                .find(|(name, _)| *name == purpose.name)
                .map(|(_, s)| s);
            let wanted =
                source.is_some() || self.purposes.is_empty() || self.purposes.contains(&purpose.name);
            let there = !matches!(purpose.find(cloud.images, cloud.datastore.id), Found::Missing);
            if !wanted || there && !self.again {
                continue;
            }
            match order(purpose, source, cloud) {
                Ok(order) => orders.push(order),
                Err(reason) => wrong.push(format!("{}: {reason}", purpose.name)),
            }
        }
        if wrong.is_empty() {
            Ok(orders)
        } else {
            Err(Failure::Refused(format!(
                "nothing was imported, because not all can be:\n  {}",
                wrong.join("\n  ")
            )))
        }
    }

    fn wait(&self, app: &mut App, mut made: Vec<(String, u32)>) -> Result<(), Failure> {
        let begin = (app.pace.elapsed)();
        let client = app.client()?;
        loop {
            let mut pending = Vec::new();
            for (purpose, id) in made {
                let image = client.image_info(id, false)?;
                match image.state {
                    s if s.is_usable() => app.out.line(&format!("{purpose}: image {id} is ready"))?,
                    ImageState::Error => {
                        let reason = image
                            .template
                            .get("ERROR")
                            .unwrap_or("OpenNebula does not say why");
                        return Err(Failure::OperationFailed(format!(
                            "{purpose}: image {id}: {reason}"
                        )));
                    }
                    _ => pending.push((purpose, id)),
                }
            }
            if pending.is_empty() {
                return Ok(());
            }
            if (app.pace.elapsed)().saturating_sub(begin) >= self.timeout {
                let names: Vec<String> = pending.iter().map(|(p, id)| format!("{p} ({id})")).collect();
                return Err(Failure::TimedOut(format!(
                    "still on their way: {}; oneks images list shows when they are ready",
                    names.join(", ")
                )));
            }
            made = pending;
            (app.pace.sleep)(self.interval.max(wait::LEAST_PAUSE));
        }
    }
}

fn order(purpose: &Purpose, source: Option<&Source>, cloud: &Cloud<'_>) -> Result<Order, String> {
    // The name can't be set on an image that others may have named already, so another attribute is the mark.
    let mark = purpose.marks.iter().find(|m| m.attribute != "NAME").ok_or(
        "its profile recognises images by their name only; name the image so, or give the profile a mark",
    )?;
    let mark = (mark.attribute.clone(), mark.value.clone());
    let name = free_name(&purpose.name, cloud.images);
    let (from, what) = match source {
        Some(Source::Image(id)) => {
            let image = cloud.images.iter().find(|i| i.id == *id);
            let image = image.ok_or_else(|| format!("there is no image {id}"))?;
            if image.datastore_id != Some(cloud.datastore.id) {
                return Err(format!(
                    "image {id} is in datastore {}; bring it over with: oneimage clone {id} {name} --datastore {}",
                    image.datastore, cloud.datastore.id
                ));
            }
            (format!("image {id} ({})", image.name), What::Mark(*id))
        }
        Some(Source::Path(path)) => {
            let mut template = template(&name, &mark);
            template.set("PATH", path.as_str());
            (path.clone(), What::Make(template))
        }
        other => {
            let app = match other {
                Some(Source::App(wanted)) => find(cloud.apps, wanted)?,
                _ => appliance(&purpose.name, cloud.apps)?,
            };
            if !app.ready {
                return Err(format!("appliance {} ({}) is not ready", app.id, app.name));
            }
            let mut template = template(&name, &mark);
            template.set("FROM_APP", app.id.to_string());
            let from = format!("appliance {} ({}) of {}", app.id, app.name, app.marketplace);
            (from, What::Make(template))
        }
    };
    Ok(Order {
        purpose: purpose.name.clone(),
        from,
        mark,
        what,
    })
}

fn template(name: &str, mark: &(String, String)) -> Template {
    let mut template = Template::new();
    template.set("NAME", name);
    template.set("TYPE", "OS");
    template.set("PERSISTENT", "NO");
    template.set("DEV_PREFIX", "vd");
    template.set(&mark.0, mark.1.as_str());
    template
}

fn free_name(purpose: &str, images: &[Image]) -> String {
    let taken = |name: &str| images.iter().any(|i| i.name == name);
    let first = format!("oneks-{purpose}");
    if !taken(&first) {
        return first;
    }
    // One of so many names is free.
    (2..=images.len() + 2)
        .map(|n| format!("{first}-{n}"))
        .find(|name| !taken(name))
        .unwrap_or(first)
}

fn find<'a>(apps: &'a [MarketApp], wanted: &str) -> Result<&'a MarketApp, String> {
    let found: Vec<&MarketApp> = apps
        .iter()
        .filter(|a| a.name == wanted || a.id.to_string() == wanted)
        .collect();
    newest(&found)
        .ok_or_else(|| format!("no marketplace has an appliance {wanted}; onemarketapp list shows them"))
}

/// What the public marketplace has for a purpose.
fn appliance<'a>(purpose: &str, apps: &'a [MarketApp]) -> Result<&'a MarketApp, String> {
    let Some((_, wanted)) = APPLIANCES.iter().find(|(name, _)| *name == purpose) else {
        return Err(format!("say where it comes from: --from {purpose}=SOURCE"));
    };
    let (found, name): (Vec<&MarketApp>, &str) = match wanted {
        Wanted::Import(id) => (
            apps.iter()
                .filter(|a| a.template.get("IMPORT_ID") == Some(id))
                .collect(),
            id,
        ),
        Wanted::Name(name) => (apps.iter().filter(|a| a.name == *name).collect(), name),
    };
    newest(&found).ok_or_else(|| {
        let why = if apps.is_empty() {
            "no marketplace has appliances (is OpenNebula's public one enabled and monitored? onemarket list)"
        } else {
            "no marketplace has it"
        };
        format!("appliance {name:?}: {why}; otherwise give a file: --from {purpose}=/path/of/image.qcow2")
    })
}

fn newest<'a>(apps: &[&'a MarketApp]) -> Option<&'a MarketApp> {
    apps.iter().copied().max_by_key(|a| (a.ready, a.id))
}

fn carry_out(client: &Client, order: &Order, datastore: u32) -> Result<u32, Failure> {
    let text = |template: &Template| {
        template
            .to_text()
            .map_err(|e| Failure::Other(format!("{}: {e}", order.purpose)))
    };
    let id = match &order.what {
        What::Make(template) => {
            let id = client.image_allocate(&text(template)?, datastore, false)?;
            // What the appliance says of its format is not true of the copy, as OpenNebula's own export knows.
            let mut own = client.image_info(id, false)?.template;
            if own.remove("FORMAT") | own.remove("DRIVER") {
                client.image_update(id, &text(&own)?, UpdateMode::Replace)?;
            }
            id
        }
        What::Mark(id) => {
            let mut mark = Template::new();
            mark.set(&order.mark.0, order.mark.1.as_str());
            client.image_update(*id, &text(&mark)?, UpdateMode::Merge)?;
            *id
        }
    };
    let usable = AccessChange {
        r#use: Some(true),
        ..AccessChange::default()
    };
    let change = PermissionChange {
        group: usable,
        other: usable,
        ..PermissionChange::default()
    };
    client.image_chmod(id, change)?;
    Ok(id)
}
