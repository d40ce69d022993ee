//! Virtual machines with marks that nobody should believe.

use super::random::Random;

/// How many kinds there are.
const KINDS: usize = 14;

/// The text of the n-th. `victim` is somebody else's cluster, whose name its name is not.
pub fn machine(n: usize, victim: u32, random: &mut Random) -> String {
    let nobody = 100_000 + random.below(1_000_000);
    let tag = match n % KINDS {
        0 => "ONEKS=\"24\"".to_owned(),
        1 => "ONEKS=[CLUSTER_ID=\"\"]".to_owned(),
        2 => format!(
            "ONEKS=[CLUSTER_ID=\"{}\"]",
            random.of(&["-1", "x", "1e9", "0x18", "4294967296", "99999999999999999999"])
        ),
        3 => format!(
            "ONEKS=[CLUSTER_ID=\"{}\",GROUP_ID=\"{}\",TYPE=\"NODE\"]",
            i32::MAX,
            u32::MAX
        ),
        4 => format!("ONEKS=[CLUSTER_ID=\"{nobody}\",TYPE=\"CONTROL_PLANE\"]"),
        5 => format!("ONEKS=[GROUP_ID=\"{victim}000\",TYPE=\"NODE\"]"),
        6 => format!("ONEKS=[CLUSTER_ID=\"{victim}\",GROUP_ID=\"{victim}000\",TYPE=\"CONTROL_PLANE\"]"),
        7 => format!(
            "ONEKS=[CLUSTER_ID=\"{victim}\",GROUP_ID=\"{victim}001\",TYPE=\"NODE\"]\nONEKS=[CLUSTER_ID=\"{nobody}\"]"
        ),
        8 => format!("ONEKS=[CLUSTER_ID=\"{victim}\",TYPE=\"{}\"]", "X".repeat(5000)),
        9 => "ONEKS=[A=\"1\"]\nONEKS_STATE=\"READY\"\nREADY=\"YES\"".to_owned(),
        10 => format!("ONEKS_STATE=\"{}\"", "9".repeat(50_000)),
        11 => {
            format!("ONEKS=[CLUSTER_ID=\"{victim}\",GROUP_ID=\"7\",TYPE=\"SEED\"]\nONEKS_STATE=\"RUNNING\"")
        }
        12 => format!(
            "QEMU_GA_EXEC=[COMMAND=\"/bin/sh -s oneks:{victim}:probe-{victim}000-aa:1\",STATUS=\"DONE\"]"
        ),
        _ => "# nothing at all".to_owned(),
    };
    // Some bear the name of a cluster of nobody, none that of the victim.
    let name = match random.below(4) {
        0 => format!("oneks-{nobody}-x"),
        1 => format!("oneks-{nobody}"),
        2 => format!("xoneks-{victim}-seed"),
        _ => format!("vm {n} \u{e9}"),
    };
    format!("NAME=\"{name}\"\nCPU=1\nMEMORY=64\n{tag}\n")
}
