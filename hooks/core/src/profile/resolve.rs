//! From what a user asked for to the values of all inputs.

use std::collections::BTreeMap;

use oneks_driver::{Invalid, Role};
use serde_json::Value;

use super::family::{Family, Flavour, one_of};
use super::input::{InputMatch, UserInput, same};

/// Most control-plane nodes unless the profile's `count` has a greater `max`: etcd gets slower with each member.
const CONTROL_PLANE_NODES: u32 = 5;

impl Family {
    /// The values of all inputs for this flavour: the user's, else the flavour's, else the input's own default.
    ///
    /// Inputs that are not mandatory and have no value are left out. `path` is that of the group in the
    /// specification, such as `node_groups[0]`.
    ///
    /// # Errors
    /// Everything that is wrong: unknown flavour or input, missing or wrong values, presets that may not be changed.
    pub fn resolve(
        &self,
        flavour: &str,
        values: &BTreeMap<String, Value>,
        path: &str,
    ) -> Result<BTreeMap<String, Value>, Vec<Invalid>> {
        let Some(preset) = self.flavours.get(flavour) else {
            let known: Vec<_> = self
                .flavours_in_order()
                .iter()
                .map(|(n, _)| (*n).to_owned())
                .collect();
            return Err(vec![Invalid {
                path: format!("{path}.flavour"),
                message: format!("{:?} has no flavour {flavour:?}; {}", self.family, one_of(&known)),
            }]);
        };
        let mut errors = Vec::new();
        let mut invalid = |name: &str, message: String| {
            errors.push(Invalid {
                path: format!("{path}.user_inputs_values.{name}"),
                message,
            });
        };
        for name in values.keys().filter(|name| self.input(name).is_none()) {
            let known: Vec<_> = self.user_inputs.iter().map(|i| i.name.clone()).collect();
            invalid(name, format!("there is no such input; {}", one_of(&known)));
        }
        let mut resolved = BTreeMap::new();
        for input in &self.user_inputs {
            match self.value(input, flavour, preset, values.get(&input.name)) {
                Ok(Some(value)) => drop(resolved.insert(input.name.clone(), value)),
                Ok(None) => {}
                Err(message) => invalid(&input.name, message),
            }
        }
        if errors.is_empty() {
            Ok(resolved)
        } else {
            Err(errors)
        }
    }

    pub(super) fn input(&self, name: &str) -> Option<&UserInput> {
        self.user_inputs.iter().find(|input| input.name == name)
    }

    fn value(
        &self,
        input: &UserInput,
        flavour: &str,
        preset: &Flavour,
        given: Option<&Value>,
    ) -> Result<Option<Value>, String> {
        let given = given.filter(|v| !v.is_null());
        let fixed = preset.defaults.get(&input.name);
        if let (Some(given), Some(fixed)) = (given, fixed)
            && !preset.override_defaults
            && !same(given, fixed)
        {
            return Err(format!(
                "flavour {flavour:?} fixes it at {fixed}; choose another flavour"
            ));
        }
        match given.or(fixed).or(input.default.as_ref()) {
            Some(value) => {
                input.check(value)?;
                self.check_count(input, value)?;
                Ok(Some(value.clone()))
            }
            None if input.mandatory => Err("a value is missing".to_owned()),
            None => Ok(None),
        }
    }

    /// `count` is the number of nodes, and that of a control plane must give etcd a majority.
    pub(super) fn check_count(&self, input: &UserInput, value: &Value) -> Result<(), String> {
        if input.name != "count" {
            return Ok(());
        }
        let Some(count) = value.as_u64().and_then(|n| u32::try_from(n).ok()) else {
            return Err(format!("must be a whole number of nodes, not {value}"));
        };
        if self.role == Role::NodeGroup {
            return Ok(());
        }
        let raised = match &input.limits {
            Some(InputMatch::Number { values }) => values.max.map(|max| max.0),
            _ => None,
        };
        if count % 2 == 0 {
            return Err(format!(
                "{count} nodes give etcd no more safety than one node less; choose an odd number"
            ));
        }
        if count > CONTROL_PLANE_NODES && raised.is_none() {
            return Err(format!("{count} is more than {CONTROL_PLANE_NODES}"));
        }
        Ok(())
    }
}
