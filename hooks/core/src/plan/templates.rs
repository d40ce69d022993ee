//! The VM templates of a group: made, kept as the driver wants them, and removed when nothing is made from them any more.

use oneks_driver::TemplateText;

use crate::action::Action;
use crate::fingerprint;
use crate::observed::Need;
use crate::plan::context::Context;
use crate::plan::work::{group_mut, wait};
use crate::status::{LastError, Status, Template};

/// Attribute of a VM template that carries the fingerprint of the text that it was made from.
pub const FINGERPRINT_ATTRIBUTE: &str = "ONEKS_FINGERPRINT";

/// Sees to it that VM templates exist with the right text. True if they do.
pub(super) fn ensure(
    context: &mut Context<'_>,
    status: &mut Status,
    group_id: u32,
    wanted: &[TemplateText],
) -> bool {
    let owner = context.desired.owner.uid;
    let mut done = true;
    for template in wanted {
        let print = fingerprint::of_text(&template.text);
        let text = format!(
            "{}\n{FINGERPRINT_ATTRIBUTE}=\"{print}\"\n",
            template.text.trim_end()
        );
        let Some(group) = group_mut(status, group_id) else {
            return false;
        };
        if group
            .templates
            .get(&template.name)
            .is_some_and(|t| t.fingerprint == print)
        {
            continue;
        }
        let Some(seen) = &context.observed.templates else {
            context.need(Need::Templates);
            return false;
        };
        let name = template.name.clone();
        let cluster = context.desired.document;
        match seen.iter().find(|t| t.uid == owner && t.name == name) {
            Some(t) if t.tag.as_ref().is_none_or(|tag| tag.cluster != cluster) => {
                let message = format!(
                    "VM template {} ({name}) bears a name that the cluster needs and is none of its own; rename or \
                     delete it",
                    t.id
                );
                taken(context, status, group_id, message);
                return false;
            }
            Some(t) if t.fingerprint.as_ref() == Some(&print) => {
                group.templates.insert(
                    name,
                    Template {
                        id: t.id,
                        fingerprint: print,
                    },
                );
            }
            Some(t) => {
                done = false;
                context.act(Action::UpdateTemplate { id: t.id, name, text });
            }
            None => {
                done = false;
                context.act(Action::CreateTemplate { name, text });
            }
        }
    }
    if !done && let Some(group) = group_mut(status, group_id) {
        wait(group, "making VM templates");
    }
    done
}

/// A name that the cluster needs is another object's.
fn taken(context: &mut Context<'_>, status: &mut Status, group_id: u32, message: String) {
    if let Some(group) = group_mut(status, group_id) {
        wait(group, message.clone());
    }
    context.blame(LastError {
        reason: "NameTaken".to_owned(),
        message,
        object: None,
        since: context.now,
    });
}

/// Removes VM templates that nothing is made from any more. True if they are gone.
pub(super) fn obsolete(
    context: &mut Context<'_>,
    status: &mut Status,
    group_id: u32,
    names: &[String],
) -> bool {
    if names.is_empty() {
        return true;
    }
    if !context.all_templates() {
        return false;
    }
    if let Some(group) = group_mut(status, group_id) {
        group.templates.retain(|name, _| !names.contains(name));
        wait(group, "removing VM templates");
    }
    let mut done = true;
    let templates = context.templates().into_iter();
    for template in templates.filter(|t| names.contains(&t.name)) {
        context.act(Action::DeleteTemplate {
            id: template.id,
            name: template.name.clone(),
        });
        done = false;
    }
    done
}
