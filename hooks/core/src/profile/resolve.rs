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
                let value = whole(value);
                input.check(&value)?;
                self.check_count(input, &value)?;
                Ok(Some(value))
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

/// Writes 2.0 as 2, so that equal values are equal texts: nodes must not be replaced for a difference in spelling.
fn whole(value: &Value) -> Value {
    match value.as_f64() {
        #[allow(clippy::cast_possible_truncation)] // the guard excludes what does not fit
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() < 9e15 => {
            (number as i64).into()
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Catalog;
    use super::*;

    fn family(role: Role, max: u32) -> Family {
        let (folder, file) = match role {
            Role::ControlPlane => ("controlplanes", "controlplane.conf"),
            Role::NodeGroup => ("nodegroups", "nodegroup.conf"),
        };
        let text = format!(
            "name: Test
description: A family
supported_k8s_versions: [v1.34.2]
user_inputs:
  - {{ name: count, type: number, mandatory: true, match: {{ type: number, values: {{ min: 0, max: {max} }} }} }}
  - {{ name: memory, type: number, mandatory: true, match: {{ type: number, values: {{ min: 2048 }} }} }}
  - {{ name: zone, type: string, match: {{ type: list, values: [a, b] }} }}
  - {{ name: zones, type: list(string), default: [a], match: {{ type: list, values: [a, b] }} }}
  - {{ name: fast, type: bool }}
  - {{ name: more, type: map }}
flavours:
  fixed: {{ override_defaults: false, defaults: {{ memory: 4096 }} }}
  free: {{ defaults: {{ count: 3, memory: 4096 }} }}
"
        );
        let (catalog, errors) = Catalog::parse(&BTreeMap::from([(format!("{folder}/test/{file}"), text)]));
        assert_eq!(errors, []);
        catalog.family(role, "test").unwrap().clone()
    }

    fn map(values: &Value) -> BTreeMap<String, Value> {
        values.as_object().unwrap().clone().into_iter().collect()
    }

    #[test]
    fn what_is_not_given_comes_from_flavour_and_input() {
        let family = family(Role::NodeGroup, 9);
        for (flavour, given, wanted) in [
            (
                "free",
                json!({}),
                json!({"count": 3, "memory": 4096, "zones": ["a"]}),
            ),
            (
                "free",
                json!({"count": 0, "memory": 8192, "zone": "b", "fast": true, "more": {"x": 1}}),
                json!({"count": 0, "memory": 8192, "zone": "b", "zones": ["a"], "fast": true, "more": {"x": 1}}),
            ),
            (
                "fixed",
                json!({"count": 2.0, "memory": 4096.0, "zone": null}),
                json!({"count": 2, "memory": 4096, "zones": ["a"]}),
            ),
        ] {
            assert_eq!(family.resolve(flavour, &map(&given), "g"), Ok(map(&wanted)));
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named_by_path() {
        let family = family(Role::NodeGroup, 9);
        for (flavour, given, wanted) in [
            (
                "big",
                json!({}),
                vec![(
                    "flavour",
                    "\"test\" has no flavour \"big\"; choose one of fixed, free",
                )],
            ),
            (
                "fixed",
                json!({}),
                vec![("user_inputs_values.count", "a value is missing")],
            ),
            (
                "fixed",
                json!({"count": 1, "memory": 8192}),
                vec![(
                    "user_inputs_values.memory",
                    "flavour \"fixed\" fixes it at 4096; choose another flavour",
                )],
            ),
            (
                "free",
                json!({"count": -1}),
                vec![("user_inputs_values.count", "-1 is less than 0")],
            ),
            (
                "free",
                json!({"count": 10}),
                vec![("user_inputs_values.count", "10 is more than 9")],
            ),
            (
                "free",
                json!({"count": 1.5}),
                vec![(
                    "user_inputs_values.count",
                    "must be a whole number of nodes, not 1.5",
                )],
            ),
            (
                "free",
                json!({"count": "3"}),
                vec![("user_inputs_values.count", "must be a number, not \"3\"")],
            ),
            (
                "free",
                json!({"zone": "c", "zones": ["a", "c"], "fast": "yes", "more": [], "memory": 1, "disk": 5}),
                vec![
                    (
                        "user_inputs_values.disk",
                        "there is no such input; choose one of count, memory, zone, zones, fast, more",
                    ),
                    ("user_inputs_values.memory", "1 is less than 2048"),
                    ("user_inputs_values.zone", "\"c\" is not one of \"a\", \"b\""),
                    ("user_inputs_values.zones", "\"c\" is not one of \"a\", \"b\""),
                    ("user_inputs_values.fast", "must be true or false, not \"yes\""),
                    ("user_inputs_values.more", "must be a map, not []"),
                ],
            ),
        ] {
            let errors = family
                .resolve(flavour, &map(&given), "node_groups[0]")
                .unwrap_err();
            let errors: Vec<_> = errors.into_iter().map(|e| (e.path, e.message)).collect();
            let wanted: Vec<_> = wanted
                .into_iter()
                .map(|(path, message)| (format!("node_groups[0].{path}"), message.to_owned()))
                .collect();
            assert_eq!(errors, wanted);
        }
    }

    #[test]
    fn a_control_plane_has_an_odd_number_of_nodes_up_to_its_limit() {
        for (max, count, ok) in [
            (9, 1, true),
            (9, 3, true),
            (9, 7, true),
            (9, 2, false),
            (9, 0, false),
            (5, 7, false),
        ] {
            let family = family(Role::ControlPlane, max);
            let given = BTreeMap::from([("count".to_owned(), json!(count))]);
            assert_eq!(
                family.resolve("free", &given, "control_plane").is_ok(),
                ok,
                "{count} of {max}"
            );
        }
        let mut unlimited = family(Role::ControlPlane, 9);
        unlimited.user_inputs[0].limits = None;
        let given = BTreeMap::from([("count".to_owned(), json!(7))]);
        assert!(unlimited.resolve("free", &given, "control_plane").is_err());
    }

    #[test]
    fn text_is_read_by_the_type_of_the_input() {
        let family = family(Role::NodeGroup, 9);
        for (name, text, wanted) in [
            ("count", " 3 ", Ok(json!(3))),
            ("count", "three", Err("must be a number, not \"three\"")),
            ("count", "10", Err("10 is more than 9")),
            ("zone", "a", Ok(json!("a"))),
            ("zone", "1", Err("\"1\" is not one of \"a\", \"b\"")),
            ("zones", "[\"a\", \"b\"]", Ok(json!(["a", "b"]))),
            ("fast", "YES", Ok(json!(true))),
            ("fast", "false", Ok(json!(false))),
            ("fast", "1", Err("must be true or false, not 1")),
        ] {
            let read = family.input(name).unwrap().parse(text);
            assert_eq!(read, wanted.map_err(ToOwned::to_owned), "{name} {text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_keeps_every_limit(
            count in prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from), (0..12).prop_map(Value::from)],
            memory in prop_oneof![any::<i32>().prop_map(Value::from), any::<String>().prop_map(Value::from), Just(json!(4096))],
            role in prop_oneof![Just(Role::ControlPlane), Just(Role::NodeGroup)],
            flavour in prop_oneof![Just("fixed"), Just("free")],
        ) {
            let given = BTreeMap::from([("count".to_owned(), count), ("memory".to_owned(), memory)]);
            match family(role, 9).resolve(flavour, &given, "g") {
                Ok(values) => {
                    let count = values["count"].as_u64().unwrap();
                    prop_assert!(count <= 9);
                    prop_assert!(role == Role::NodeGroup || count % 2 == 1);
                    let memory = values["memory"].as_f64().unwrap();
                    prop_assert!(memory >= 2048.0);
                    prop_assert!(flavour == "free" || (memory - 4096.0).abs() < f64::EPSILON);
                }
                Err(errors) => prop_assert!(!errors.is_empty()),
            }
        }
    }
}
