//! The templates from which users make handles of clusters: installed once, and kept up to date with the profiles.

use oneks::handle::offer::{self, MARK, Offer, ROLE_VM, SERVICE, SERVICE_TEMPLATE, VM};
use oneks_core::handle::DRIVER;
use oneks_core::profile::Catalog;
use opennebula::Client;
use opennebula::calls::{AccessChange, PermissionChange, PoolFilter, PoolRange, UpdateMode};
use opennebula::objects::{Document, VmTemplate};
use opennebula::template::{AttributeValue, Template, json_for_cdata};
use serde_json::Value;

use crate::app::App;
use crate::failure::Failure;

/// Who may use the templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Nobody: they are removed.
    None,
    /// Who administers the cloud.
    Admins,
    /// Everybody.
    All,
    /// The members of a group, by name or id.
    Group(String),
}

impl Audience {
    /// Reads the option.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "admins" => Self::Admins,
            "all" => Self::All,
            _ => Self::Group(text.to_owned()),
        }
    }
}

/// What is to be done about the templates.
pub struct Templates<'a> {
    /// OpenNebula, as an administrator.
    pub client: &'a Client,
    /// Who that is.
    pub caller: u32,
    /// For whom; `None` leaves that as it is.
    pub audience: Option<Audience>,
    /// Which driver; `None` leaves that as it is.
    pub driver: Option<&'a str>,
    /// Only say it.
    pub dry_run: bool,
}

/// The templates that are there.
struct There {
    vm: Option<VmTemplate>,
    role: Option<VmTemplate>,
    service: Option<Document>,
}

impl Templates<'_> {
    /// Installs, updates or removes the templates, and says what was done.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let there = self.there()?;
        match &self.audience {
            Some(Audience::None) => self.remove(app, &there),
            None if there.vm.is_none() => Ok(()),
            audience => {
                let (catalog, errors) = oneks::catalog::load(&app.installation().profiles);
                if catalog.control_planes.is_empty() {
                    let reason = errors
                        .first()
                        .map_or_else(|| "none is there".to_owned(), ToString::to_string);
                    return Err(Failure::Other(format!(
                        "there are no profiles to offer: {reason}"
                    )));
                }
                let group = match audience {
                    Some(Audience::Group(name)) => Some(self.group(name)?),
                    _ => None,
                };
                self.install(app, &there, &catalog, group)
            }
        }
    }

    /// Templates that an administrator owns and that bear the mark: those of users are copies.
    fn there(&self) -> Result<There, Failure> {
        let owned = |uid: u32| uid == 0 || uid == self.caller;
        let all = PoolRange::default();
        let templates = self.client.templatepool_info(PoolFilter::All, all)?.items;
        let marked = |mark: &str| {
            let ours = |t: &&VmTemplate| owned(t.uid) && t.template.get(MARK) == Some(mark);
            templates.iter().find(ours).cloned()
        };
        let services = self
            .client
            .documentpool_info(PoolFilter::All, all, SERVICE_TEMPLATE)?;
        let ours = |d: &Document| owned(d.uid) && body(d).is_some_and(|body| body[MARK] == SERVICE);
        Ok(There {
            vm: marked(VM),
            role: marked(ROLE_VM),
            service: services.items.into_iter().find(ours),
        })
    }

    fn group(&self, text: &str) -> Result<u32, Failure> {
        let groups = self.client.grouppool_info()?.items;
        let found = groups.iter().find(|g| g.name == text || text.parse() == Ok(g.id));
        found.map(|g| g.id).ok_or_else(|| {
            Failure::NotFound(format!(
                "there is no group {text}; --handle takes a group, or one of all, admins, none"
            ))
        })
    }

    fn install(
        &self,
        app: &mut App,
        there: &There,
        catalog: &Catalog,
        group: Option<u32>,
    ) -> Result<(), Failure> {
        let offer: Offer = offer::offer().map_err(Failure::Other)?;
        let before = there.vm.as_ref().and_then(|t| t.template.get(DRIVER));
        let driver = self.driver.or(before).filter(|driver| *driver != "capone");
        let vm = offer.vm_template(catalog, driver);
        self.vm_template(app, there.vm.as_ref(), &vm, group)?;
        let role = offer.role_template(driver);
        let Some(role) = self.vm_template(app, there.role.as_ref(), &role, group)? else {
            return Ok(());
        };
        self.service_template(
            app,
            there.service.as_ref(),
            &offer.service_template(catalog, role),
            group,
        )
    }

    /// Returns the id, unless the template would have to be made and nothing is to be done.
    fn vm_template(
        &self,
        app: &mut App,
        there: Option<&VmTemplate>,
        wanted: &Template,
        group: Option<u32>,
    ) -> Result<Option<u32>, Failure> {
        let name = wanted.get("NAME").unwrap_or_default().to_owned();
        let what = format!("template {name:?}");
        let id = if let Some(there) = there {
            let mut content = wanted.clone();
            content.remove("NAME");
            if normal(&there.template) != normal(&content) {
                if !self.dry_run {
                    let text = content.to_text().map_err(|e| Failure::Other(e.to_string()))?;
                    self.client
                        .template_update(there.id, &text, UpdateMode::Replace)?;
                }
                self.say(app, "updated ", &what)?;
            }
            there.id
        } else {
            self.say(app, "created ", &what)?;
            if self.dry_run {
                return Ok(None);
            }
            let text = wanted.to_text().map_err(|e| Failure::Other(e.to_string()))?;
            self.client.template_allocate(&text)?
        };
        if !self.dry_run
            && let Some(change) = self.permissions()
        {
            if group.is_some() {
                self.client.template_chown(id, None, group)?;
            }
            self.client.template_chmod(id, change)?;
        }
        Ok(Some(id))
    }

    fn service_template(
        &self,
        app: &mut App,
        there: Option<&Document>,
        wanted: &Value,
        group: Option<u32>,
    ) -> Result<(), Failure> {
        let name = wanted["name"].as_str().unwrap_or_default();
        let what = format!("service template {name:?}");
        let mut template = Template::new();
        template.set("NAME", name);
        let id = if let Some(there) = there {
            let mut body = body(there).unwrap_or_default();
            if let Some(body) = body.as_object_mut() {
                // OneFlow's own.
                body.remove("registration_time");
            }
            if body != *wanted {
                if !self.dry_run {
                    template.set("BODY", json_for_cdata(wanted));
                    let text = template
                        .to_xml("TEMPLATE")
                        .map_err(|e| Failure::Other(e.to_string()))?;
                    self.client
                        .document_update(there.id, &text, UpdateMode::Replace)?;
                }
                self.say(app, "updated ", &what)?;
            }
            there.id
        } else {
            self.say(app, "created ", &what)?;
            if self.dry_run {
                return Ok(());
            }
            template.set("BODY", json_for_cdata(wanted));
            let text = template
                .to_xml("TEMPLATE")
                .map_err(|e| Failure::Other(e.to_string()))?;
            self.client.document_allocate(&text, SERVICE_TEMPLATE)?
        };
        if !self.dry_run
            && let Some(change) = self.permissions()
        {
            if group.is_some() {
                self.client.document_chown(id, None, group)?;
            }
            self.client.document_chmod(id, change)?;
        }
        Ok(())
    }

    fn permissions(&self) -> Option<PermissionChange> {
        let access = |may: bool| AccessChange {
            r#use: Some(may),
            manage: Some(false),
            admin: Some(false),
        };
        let (group, other) = match self.audience.as_ref()? {
            Audience::None => return None,
            Audience::Admins => (false, false),
            Audience::All => (true, true),
            Audience::Group(_) => (true, false),
        };
        Some(PermissionChange {
            owner: AccessChange {
                manage: Some(true),
                ..access(true)
            },
            group: access(group),
            other: access(other),
        })
    }

    fn remove(&self, app: &mut App, there: &There) -> Result<(), Failure> {
        if let Some(service) = &there.service {
            if !self.dry_run {
                self.client.document_delete(service.id)?;
            }
            self.say(app, "removed ", &format!("service template {:?}", service.name))?;
        }
        for template in [&there.role, &there.vm].into_iter().flatten() {
            if !self.dry_run {
                self.client.template_delete(template.id, false)?;
            }
            self.say(app, "removed ", &format!("template {:?}", template.name))?;
        }
        Ok(())
    }

    fn say(&self, app: &mut App, done: &str, what: &str) -> Result<(), Failure> {
        let would = if self.dry_run { "would be " } else { "" };
        app.out.line(&format!("{would}{done} {what}"))
    }
}

/// A template without the order of its attributes and values, which oned does not keep.
fn normal(template: &Template) -> Vec<(String, Vec<(String, String)>)> {
    let mut all: Vec<_> = template
        .iter()
        .map(|attribute| {
            let mut pairs = match &attribute.value {
                AttributeValue::Text(text) => vec![(String::new(), text.trim().to_owned())],
                AttributeValue::Vector(pairs) => pairs.clone(),
            };
            pairs.sort();
            (attribute.name.clone(), pairs)
        })
        .collect();
    all.sort();
    all
}

/// The JSON of a service template.
fn body(document: &Document) -> Option<Value> {
    serde_json::from_str(document.template.get("BODY")?).ok()
}
