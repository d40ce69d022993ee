//! The command line of kubectl.

use std::collections::BTreeMap;

use super::super::kube::Store;
use super::super::kube::kinds::{self, Kind};
use super::super::kube::selector::Selector;
use super::Failure;

/// A parsed command line.
#[derive(Debug, Default)]
pub struct Args {
    /// First word, such as `get`.
    pub verb: String,
    /// Words that are no flags.
    pub words: Vec<String>,
    flags: BTreeMap<&'static str, Vec<String>>,
}

/// A resource that the command line names.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its name, or all of the kind.
    pub name: Option<String>,
}

/// Long name, one-letter name, and the value that the flag has without one; `None`: it needs a value.
const FLAGS: &[(&str, &str, Option<&str>)] = &[
    ("all", "", Some("true")),
    ("all-namespaces", "A", Some("true")),
    ("allow-missing-template-keys", "", Some("true")),
    ("cascade", "", Some("background")),
    ("chunk-size", "", None),
    ("client", "", Some("true")),
    ("context", "", None),
    ("current-replicas", "", None),
    ("dry-run", "", Some("unchanged")),
    ("field-manager", "", None),
    ("field-selector", "", None),
    ("filename", "f", None),
    ("flatten", "", Some("true")),
    ("for", "", None),
    ("force", "", Some("true")),
    ("force-conflicts", "", Some("true")),
    ("grace-period", "", None),
    ("ignore-not-found", "", Some("true")),
    ("kubeconfig", "", None),
    ("minify", "", Some("true")),
    ("namespace", "n", None),
    ("no-headers", "", Some("true")),
    ("now", "", Some("true")),
    ("output", "o", None),
    ("overwrite", "", Some("true")),
    ("patch", "p", None),
    ("patch-file", "", None),
    ("raw", "", None),
    ("replicas", "", None),
    ("request-timeout", "", None),
    ("selector", "l", None),
    ("server-side", "", Some("true")),
    ("show-labels", "", Some("true")),
    ("sort-by", "", None),
    ("subresource", "", None),
    ("timeout", "", None),
    ("type", "", None),
    ("v", "v", None),
    ("validate", "", Some("true")),
    ("wait", "", Some("true")),
];

impl Args {
    /// Reads the words behind `kubectl`.
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut args = Self::default();
        let mut rest = words.iter();
        let mut only_words = false;
        while let Some(word) = rest.next() {
            if word == "--" {
                only_words = true;
            } else if only_words || word == "-" || !word.starts_with('-') {
                if args.verb.is_empty() {
                    args.verb.clone_from(word);
                } else {
                    args.words.push(word.clone());
                }
            } else {
                args.flag(word, &mut rest)?;
            }
        }
        Ok(args)
    }

    /// The last value of a flag.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.flags.get(name)?.last().map(String::as_str)
    }

    /// All values of a flag.
    pub fn values(&self, name: &str) -> &[String] {
        self.flags.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a boolean flag is on.
    pub fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The namespace that the command works in.
    pub fn namespace(&self) -> &str {
        self.value("namespace").unwrap_or("default")
    }

    /// The label selector, if one was given.
    pub fn selector(&self) -> Result<Option<Selector>, Failure> {
        let Some(text) = self.value("selector") else {
            return Ok(None);
        };
        let selector = Selector::parse(text).ok_or_else(|| {
            Failure::usage(format!(
                "unable to parse requirement: found {text:?}, expected: a label selector"
            ))
        })?;
        Ok(Some(selector))
    }

    /// The resources that words name: `TYPE[,TYPE] [NAME…]` or `TYPE/NAME…`.
    pub fn targets(store: &Store, words: &[String]) -> Result<Vec<Target>, Failure> {
        let kind = |text: &str| {
            kinds::by_resource(text)
                .filter(|kind| store.serves(kind))
                .ok_or_else(|| Failure::usage(format!("the server doesn't have a resource type {text:?}")))
        };
        if words.iter().any(|word| word.contains('/')) {
            return words
                .iter()
                .map(|word| {
                    let (resource, name) = word.split_once('/').ok_or_else(|| {
                        Failure::usage(
                            "there is no need to specify a resource type as a separate argument when passing arguments \
                             in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl \
                             get resource resource/<resource_name>'",
                        )
                    })?;
                    Ok(Target { kind: kind(resource)?, name: Some(name.into()) })
                })
                .collect();
        }
        let Some((types, names)) = words.split_first() else {
            return Ok(Vec::new());
        };
        let mut targets = Vec::new();
        for resource in types.split(',') {
            let kind = kind(resource)?;
            if names.is_empty() {
                targets.push(Target { kind, name: None });
            }
            targets.extend(names.iter().map(|name| Target {
                kind,
                name: Some(name.clone()),
            }));
        }
        Ok(targets)
    }

    fn flag<'a>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'a String>) -> Result<(), Failure> {
        let unknown = |what: String| {
            Failure(format!(
                "error: unknown {what}\nSee 'kubectl {} --help' for usage.",
                self.verb
            ))
        };
        let (long, name, attached) = if let Some(body) = word.strip_prefix("--") {
            let (name, value) = body
                .split_once('=')
                .map_or((body, None), |(name, value)| (name, Some(value)));
            (true, name, value)
        } else {
            let body = &word[1..];
            let end = body.chars().next().map_or(0, char::len_utf8);
            let value = body[end..].strip_prefix('=').unwrap_or(&body[end..]);
            (false, &body[..end], (!value.is_empty()).then_some(value))
        };
        let found = FLAGS
            .iter()
            .find(|(full, short, _)| if long { *full == name } else { *short == name });
        let Some((full, _, implied)) = found else {
            return Err(if long {
                unknown(format!("flag: --{name}"))
            } else {
                unknown(format!("shorthand flag: {name:?} in {word}"))
            });
        };
        // `config view --raw` is a switch, `get --raw PATH` is not.
        let implied = if *full == "raw" && self.verb == "config" {
            Some("true")
        } else {
            *implied
        };
        let value = match (attached, implied) {
            (Some(value), _) | (None, Some(value)) => value.to_owned(),
            (None, None) => rest.next().cloned().ok_or_else(|| {
                Failure(format!(
                    "error: flag needs an argument: --{full}\nSee 'kubectl {} --help' for usage.",
                    self.verb
                ))
            })?,
        };
        self.flags.entry(full).or_default().push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Args {
        Args::parse(&shlex::split(line).unwrap()).unwrap()
    }

    #[test]
    fn flags_take_all_their_forms() {
        let args = parse("get md x -n kube-system -ojson --ignore-not-found -l a=b --selector=c=d");
        assert_eq!(args.verb, "get");
        assert_eq!(args.words, ["md", "x"]);
        assert_eq!(args.namespace(), "kube-system");
        assert_eq!(args.value("output"), Some("json"));
        assert!(args.is_set("ignore-not-found"));
        assert_eq!(args.values("selector"), ["a=b", "c=d"]);
        assert!(!parse("delete md x --wait=false").is_set("wait"));
        assert_eq!(parse("apply -f -").value("filename"), Some("-"));
        assert_eq!(parse("--kubeconfig /x get no").verb, "get");
        assert!(parse("config view --raw").is_set("raw"));
        assert_eq!(parse("get --raw /readyz").value("raw"), Some("/readyz"));
    }

    #[test]
    fn targets_take_both_forms() {
        let mut store = Store::new(1, 1);
        store.cluster_api = true;
        for (line, wanted) in [
            (
                "md a b",
                vec![("MachineDeployment", Some("a")), ("MachineDeployment", Some("b"))],
            ),
            (
                "md/a node/b",
                vec![("MachineDeployment", Some("a")), ("Node", Some("b"))],
            ),
            ("md,nodes", vec![("MachineDeployment", None), ("Node", None)]),
        ] {
            let words = shlex::split(line).unwrap();
            let targets = Args::targets(&store, &words).unwrap();
            let found: Vec<_> = targets
                .iter()
                .map(|target| (target.kind.kind, target.name.as_deref()))
                .collect();
            assert_eq!(found, wanted, "{line}");
        }
        assert!(Args::targets(&store, &["md".into(), "md/a".into()]).is_err());
    }
}
