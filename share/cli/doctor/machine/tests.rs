use super::super::facts::About;
use super::*;
use crate::verdict::Verdict::{self, Failed, Ok as Good, Unknown, Warning};

fn hidden<T>() -> Fact<T> {
    Err("needs oneadmin: the file may not be read".to_owned())
}

fn file(path: &str, access: Access, uid: u32, mode: u32) -> FileFact {
    FileFact {
        path: PathBuf::from(path),
        access,
        about: Ok(Some(About { uid, mode })),
    }
}

fn missing(path: &str, access: Access) -> FileFact {
    FileFact {
        path: PathBuf::from(path),
        access,
        about: Ok(None),
    }
}

fn check(cases: Vec<(Finding, Verdict, &str, &str)>) {
    for (finding, verdict, found, mend) in cases {
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(
            finding.found.contains(found),
            "{finding:?} does not say {found:?}"
        );
        let offered = finding.mend.clone().unwrap_or_default();
        assert!(offered.contains(mend), "{finding:?} does not offer {mend:?}");
        assert_eq!(verdict > Unknown, finding.mend.is_some(), "{finding:?}");
    }
}

#[test]
fn files_belong_to_the_right_user_only() {
    let auth = |uid, mode| file("/var/lib/one/.one/oneks_auth", Access::Own, uid, mode);
    let program = |mode| vec![file("/h/vm_state", Access::Programs, 0, mode)];
    let me = &Ok(9869);
    check(vec![
        (credential(&auth(9869, 0o600), me, &Ok(())), Good, "accepted", ""),
        (
            credential(&auth(9869, 0o640), me, &Ok(())),
            Failed,
            "mode 640",
            "chmod 600 /var/lib/one/.one/oneks_auth",
        ),
        (
            credential(&auth(0, 0o600), me, &Ok(())),
            Failed,
            "user 0",
            "chown oneadmin: ",
        ),
        (
            credential(&auth(9869, 0o600), me, &Err("refused".into())),
            Failed,
            "not accepted: refused",
            "oneuser show serveradmin",
        ),
        (
            credential(&auth(9869, 0o600), me, &hidden()),
            Unknown,
            "oneadmin",
            "",
        ),
        (
            credential(
                &missing("/var/lib/one/.one/oneks_auth", Access::Own),
                me,
                &hidden(),
            ),
            Failed,
            "there is no",
            "cp -p /var/lib/one/.one/sunstone_auth /var/lib/one/.one/oneks_auth",
        ),
        (
            credential(
                &FileFact {
                    path: "/x".into(),
                    access: Access::Own,
                    about: hidden(),
                },
                me,
                &hidden(),
            ),
            Unknown,
            "oneadmin",
            "",
        ),
        (files(&program(0o755), me), Good, "right", ""),
        (
            files(&program(0o644), me),
            Failed,
            "can't be executed",
            "chmod 755 /h/vm_state",
        ),
        (
            files(&program(0o777), me),
            Failed,
            "written by others",
            "chmod go-w",
        ),
        (
            files(&[missing("/h/sweep", Access::Programs)], me),
            Failed,
            "missing",
            "install",
        ),
        (
            files(&[missing("/var/log/one/oneks.log", Access::Own)], me),
            Good,
            "",
            "",
        ),
        (
            files(&[file("/l/7.lock", Access::Own, 0, 0o600)], me),
            Failed,
            "belongs to user 0",
            "chown oneadmin: /l/7.lock",
        ),
        (
            files(
                &[file("/etc/one/oneks.conf", Access::Configuration, 0, 0o666)],
                me,
            ),
            Failed,
            "written by others",
            "chmod 640",
        ),
        (
            files(
                &[
                    file("/l/7.lock", Access::Own, 0, 0o600),
                    file("/l/8.lock", Access::Own, 0, 0o600),
                ],
                me,
            ),
            Failed,
            "and 1 more",
            "",
        ),
        (
            files(
                &[FileFact {
                    path: "/x".into(),
                    access: Access::Own,
                    about: hidden(),
                }],
                me,
            ),
            Unknown,
            "oneadmin",
            "",
        ),
    ]);
}

#[test]
fn what_is_installed_answers() {
    let info = Info {
        name: "capone".into(),
        version: "1.0".into(),
        capabilities: oneks_driver::Capabilities::default(),
    };
    check(vec![
        (configuration(&Ok(Config::default())), Good, "understood", ""),
        (
            configuration(&Err("oneks.conf:3: x".into())),
            Failed,
            "oneks.conf:3",
            "correct the line",
        ),
        (drivers(&[("capone".into(), Ok(info))]), Good, "capone 1.0", ""),
        (
            drivers(&[("own".into(), Err("no answer".into()))]),
            Failed,
            "own: no answer",
            "info",
        ),
        (drivers(&[]), Failed, "none", "install"),
        (profiles(&[], 2), Good, "2 families", ""),
        (profiles(&[], 0), Failed, "none", "install"),
        (
            profiles(&["a:1: b".into(), "c".into()], 2),
            Failed,
            "a:1: b, and 1 more",
            "profile check",
        ),
        (clock(&Ok(true)), Good, "synchronised", ""),
        (clock(&Ok(false)), Warning, "not synchronised", "timedatectl"),
        (clock(&hidden()), Unknown, "oneadmin", ""),
    ]);
}

#[test]
fn the_sweep_is_seen_by_its_mark_or_its_timer() {
    let timer = |installed, active| Ok(Timer { installed, active });
    let none = || Err("systemctl: not found".to_owned());
    let enable = "systemctl enable --now opennebula-ks-sweep.timer";
    check(vec![
        (
            sweep(&timer(true, true), &Ok(Some(950)), 1000),
            Good,
            "50 s ago",
            "",
        ),
        (sweep(&none(), &Ok(Some(950)), 1000), Good, "50 s ago", ""),
        (sweep(&timer(true, true), &hidden(), 1000), Good, "active", ""),
        (
            sweep(&timer(true, true), &Ok(Some(10)), 1000),
            Warning,
            "990 s ago",
            "journalctl",
        ),
        (
            sweep(&timer(true, true), &Ok(None), 1000),
            Warning,
            "never ran",
            "journalctl",
        ),
        (
            sweep(&timer(true, false), &Ok(None), 1000),
            Failed,
            "not active",
            enable,
        ),
        (
            sweep(&timer(false, false), &Ok(Some(10)), 1000),
            Failed,
            "not installed",
            enable,
        ),
        (sweep(&none(), &Ok(None), 1000), Failed, "never ran", enable),
        (sweep(&none(), &hidden(), 1000), Unknown, "systemctl", ""),
    ]);
}

#[test]
fn the_proxy_needs_both_ports_unless_vms_reach_opennebula_directly() {
    let path = || PathBuf::from("/var/lib/one/remotes/etc/vnm/OpenNebulaNetwork.conf");
    let entry =
        |port: u16| format!("- :service_port: {port}\n  :remote_addr: 10.11.12.13\n  :remote_port: {port}\n");
    let both = format!(":tproxy_debug_level: 2\n:tproxy:\n{}{}", entry(5030), entry(2633));
    let one = format!(":tproxy:\n{}", entry(5030));
    let narrow = format!("{both}  :networks: [0]\n");
    let proxied = &Ok("http://169.254.16.9:2633/RPC2".to_owned());
    let direct = &Ok("https://one.example.org/RPC2".to_owned());
    let with = |text: &str| (path(), Ok(text.to_owned()));
    check(vec![
        (tproxy(&with(&both), proxied), Good, "5030", ""),
        (tproxy(&with(&one), direct), Good, "", ""),
        (
            tproxy(&with(&one), proxied),
            Failed,
            "no entry for 2633",
            ":service_port: 2633",
        ),
        (
            tproxy(&with("# nothing\n:vxlan_mtu: 1500\n"), proxied),
            Failed,
            "5030 and 2633",
            "onehost sync -f",
        ),
        (tproxy(&with(""), direct), Failed, "5030", ":tproxy:"),
        (
            tproxy(&with(&narrow), proxied),
            Warning,
            "some networks",
            ":networks:",
        ),
        (tproxy(&with(":tproxy: ["), proxied), Failed, "no YAML", "correct"),
        (tproxy(&(path(), hidden()), proxied), Unknown, "oneadmin", ""),
    ]);
}
