//! Virtual machines in outline, for looking at all that a cloud has.

use super::read::{self, Element, Head, ObjectError};
use super::state::{LcmState, VmState};
use super::tag::Tag;
use crate::template::Template;
use crate::xml::Parser;

/// What a `VM` is and what its owner and guest say of it, without what oned decided: capacity, disks, addresses and hosts
/// are most of it.
#[derive(Clone, Debug, PartialEq)]
pub struct VmOutline {
    /// Id.
    pub id: u32,
    /// Owner.
    pub uid: u32,
    /// Name. Not unique.
    pub name: String,
    /// State.
    pub state: VmState,
    /// What it is doing, if it is active.
    pub lcm_state: LcmState,
    /// What the owner and the guest may change.
    pub user_template: Template,
}

impl VmOutline {
    /// The mark of the Kubernetes cluster that the VM claims to belong to.
    pub fn oneks_tag(&self) -> Option<Tag> {
        Tag::of(&self.user_template)
    }
}

impl Element for VmOutline {
    const NAME: &'static str = "VM";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut state, mut lcm_state) = (None, None);
        let mut user_template = Template::new();
        while let Some(name) = parser.child()? {
            match &*name {
                "STATE" => state = Some(VmState::from_number(read::number(parser, "STATE")?)),
                "LCM_STATE" => lcm_state = Some(LcmState::from_number(read::number(parser, "LCM_STATE")?)),
                "USER_TEMPLATE" => user_template = Template::from_element(parser)?,
                known @ ("ID" | "UID" | "NAME") => head.element(known, parser)?,
                _ => parser.skip()?,
            }
        }
        let head = head.take();
        let missing = |field| ObjectError::Missing {
            object: Self::NAME,
            field,
        };
        Ok(Self {
            id: head.id(Self::NAME)?,
            uid: head.uid(Self::NAME)?,
            name: head.name,
            state: state.ok_or(missing("STATE"))?,
            lcm_state: lcm_state.ok_or(missing("LCM_STATE"))?,
            user_template,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pool, Vm, read_pool};
    use super::*;

    #[test]
    fn an_outline_says_what_the_whole_says() {
        let xml = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/opennebula-7.5/rpc/070-one.vmpool.infoextended.response.xml"
        ));
        let crate::xmlrpc::Response::Success { value } = crate::xmlrpc::decode_response(xml).unwrap() else {
            panic!("the call failed");
        };
        let whole: Pool<Vm> = read_pool(value.as_str().unwrap()).unwrap();
        let outlines: Pool<VmOutline> = read_pool(value.as_str().unwrap()).unwrap();
        assert!(!whole.items.is_empty() && whole.broken == outlines.broken);
        for (vm, outline) in whole.items.iter().zip(&outlines.items) {
            assert_eq!(
                (vm.id, vm.uid, &vm.name, vm.state, vm.lcm_state),
                (
                    outline.id,
                    outline.uid,
                    &outline.name,
                    outline.state,
                    outline.lcm_state
                )
            );
            assert_eq!(vm.user_template, outline.user_template);
        }
        assert_eq!(whole.items.len(), outlines.items.len());
    }

    #[test]
    fn what_decisions_hang_on_must_be_there() {
        let vm =
            |inner: &str| read_pool::<VmOutline>(&format!("<VM_POOL><VM>{inner}</VM></VM_POOL>")).unwrap();
        let full = "<ID>7</ID><UID>2</UID><STATE>3</STATE><LCM_STATE>3</LCM_STATE>";
        assert_eq!(vm(full).items.len(), 1);
        for part in ["<UID>2</UID>", "<STATE>3</STATE>", "<LCM_STATE>3</LCM_STATE>"] {
            assert_eq!(
                vm(&full.replace(part, "")).broken.first().unwrap().0,
                Some(7),
                "{part}"
            );
        }
    }
}
