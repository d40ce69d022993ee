//! Documents as nobody should write them.

use opennebula::template::{Attribute, Template};

use super::random::Random;
use crate::plain_life::spec;

/// A document to allocate, and what a user does to it then.
pub struct Poison {
    /// Its template.
    pub text: String,
    /// Its type.
    pub kind: u32,
    /// Attributes that are merged into it afterwards.
    pub update: Option<String>,
    /// The level at which its owner locks it.
    pub lock: Option<u32>,
}

/// How many kinds there are.
pub const KINDS: usize = 24;

/// The n-th of them. `victim` is somebody else's cluster.
pub fn document(n: usize, victim: u32, random: &mut Random) -> Poison {
    let good = spec(1).to_string();
    let mut attributes = vec![Attribute::text("NAME", format!("p{n}"))];
    let mut poison = Poison {
        text: String::new(),
        kind: 120,
        update: None,
        lock: None,
    };
    let mut set = |name: &str, text: String| attributes.push(Attribute::text(name, carriable(&text)));
    match n % KINDS {
        0 => {}
        1 => set("SPEC", String::new()),
        2 => {
            let length = 1 + random.below(200);
            set("SPEC", random.text(length));
        }
        3 => set("SPEC", broken(random, &good)),
        4 => set("SPEC", "[".repeat(100 + random.below(20_000))),
        5 => set("SPEC", format!("{{\"description\":\"{}\"}}", "x".repeat(80_000))),
        6 => set(
            "SPEC",
            good.replace("\"v1.33.7\"", "\"v4294967296.99999999999.1\""),
        ),
        7 => set("SPEC", good.replace("\"id\":0", "\"id\":4294967295")),
        8 => set("SPEC", good.replace("\"dummy\"", "\"no_such_driver\"")),
        9 => set("SPEC", good.replace("small", &"é".repeat(2000))),
        10 => {
            let groups: Vec<_> = (0..150)
                .map(|i| {
                    format!(
                        "{{\"name\":\"g{i}\",\"flavour\":\"small\",\"labels\":{{\"{i}/{i}/{i}\":\"é\"}}}}"
                    )
                })
                .collect();
            set(
                "SPEC",
                good.replace(
                    "\"node_groups\":[",
                    &format!("\"node_groups\":[{},", groups.join(",")),
                ),
            );
        }
        11 => attributes.push(Attribute::vector("SPEC", [("A", "1"), ("B", "2")])),
        12 => {
            set("SPEC", "{".to_owned());
            set("SPEC", "}".to_owned());
        }
        13 => set("STATUS", format!("{{\"schema\":{}}}", 2 + random.below(1000))),
        14 => set(
            "STATUS",
            "{\"schema\":7,\"document\":1,\"conditions\":[],\"x\":{\"y\":[1]}}".to_owned(),
        ),
        15 => set("STATUS", format!("{{\"schema\":1,\"document\":{victim}}}")),
        16 => {
            let entries: Vec<_> = (0..600)
                .map(|i| format!("{{\"at\":{i},\"text\":\"e{i}\"}}"))
                .collect();
            let status = oneks_core::Status::new(victim).to_json();
            set(
                "STATUS",
                status.replace("\"history\":[]", &format!("\"history\":[{}]", entries.join(","))),
            );
            set("KUBECONFIG", "eA==".to_owned());
        }
        17 => set(
            "STATUS",
            format!("{}1{}", "{\"schema\":".repeat(5000), "}".repeat(5000)),
        ),
        18 => {
            set(
                "STATUS",
                random.damage(&oneks_core::Status::new(victim).to_json()),
            );
            set("SPEC", broken(random, &good));
        }
        19 => {
            for i in 0..300 {
                set(&format!("A{i}"), random.text(20));
            }
            attributes.push(Attribute::vector(
                "V",
                (0..300).map(|i| (format!("K{i}"), i.to_string())),
            ));
        }
        20 => {
            set("SPEC", "{}".to_owned());
            set("RECOVER", "r".repeat(30_000));
            set(
                "DELETE",
                random.of(&["NO", "MAYBE", "yes please", " "]).to_owned(),
            );
        }
        21 => {
            set("SPEC", "{}".to_owned());
            poison.lock = Some(1 + u32::try_from(random.below(4)).unwrap());
        }
        22 => {
            set("SPEC", good);
            set("BODY", "{}".to_owned());
            poison.kind = random.of(&[100, 101, 119, 121, 0]);
        }
        _ => {
            set("SPEC", "{}".to_owned());
            poison.update = Some(format!(
                "SPEC=\"{}\"\nSTATE=\"RUNNING\"\nENDPOINT=\"x\"",
                "9".repeat(40)
            ));
        }
    }
    let template: Template = attributes.into_iter().collect();
    poison.text = template.to_xml("TEMPLATE").unwrap();
    poison
}

/// A SPEC with damage that it does not survive. Some does no harm: what is left is a cluster.
fn broken(random: &mut Random, good: &str) -> String {
    loop {
        let text = random.damage(good);
        if oneks_core::Spec::parse(&carriable(&text)).is_err() {
            return text;
        }
    }
}

/// Without what neither OpenNebula nor XML lets through.
fn carriable(text: &str) -> String {
    text.replace("]]>", "]] >")
        .replace(|c: char| c.is_control() && c != '\n' && c != '\t', " ")
}
