//! Configuration of the cloud controller, with a place for the credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks_driver::Cluster;
use oneks_driver::secret::ONE_AUTH_BASE64;
use serde_json::json;

use crate::names::Names;
use crate::quote;

/// Base64 of the configuration, whose end is the mark of the credential.
///
/// The credential is the last thing in the file, as a literal block, which carries any character as it is. The part
/// before it has a length that is a multiple of three, so that its base64 and that of the credential, written one
/// after the other, are the base64 of the whole.
pub fn base64(cluster: &Cluster, names: &Names) -> String {
    let mut text = prefix(cluster, names, 0);
    text = prefix(cluster, names, (3 - text.len() % 3) % 3);
    format!("{}{ONE_AUTH_BASE64}", STANDARD.encode(text))
}

fn prefix(cluster: &Cluster, names: &Names, padding: usize) -> String {
    let text = |text: &str| quote::yaml(&json!(text));
    format!(
        "opennebula:{}\n  publicNetwork:\n    name: {}\n  privateNetwork:\n    name: {}\n  virtualRouter:\n    \
         templateName: {}\n  endpoint:\n    ONE_XMLRPC: {}\n    ONE_AUTH: |2-\n      ",
        " ".repeat(padding),
        text(&cluster.placement.public.name),
        text(&cluster.placement.private.name),
        text(&names.load_balancer_template),
        text(&cluster.xmlrpc),
    )
}

#[cfg(test)]
mod tests {
    use oneks_driver::Role;
    use serde_json::Value;

    use super::*;
    use crate::context::sample;

    #[test]
    fn with_any_credential_it_is_the_base64_of_readable_yaml() {
        for name in ["private", "p", "pr", "pri", "a: \"b\" #c\u{85}é"] {
            let mut cluster = sample::cluster();
            cluster.placement.private.name = name.to_owned();
            let names = Names::new(&cluster, &sample::group(Role::ControlPlane));
            for credential in [
                "alice:0123abcd",
                "o:x",
                "we ird#\"':{}%@!|>é:ff",
                " leading:blank",
            ] {
                let text = base64(&cluster, &names).replace(ONE_AUTH_BASE64, &STANDARD.encode(credential));
                let text = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
                let read: Value = serde_saphyr::from_str(&text).unwrap();
                let read = &read["opennebula"];
                assert_eq!(read["endpoint"]["ONE_AUTH"], credential);
                assert_eq!(read["endpoint"]["ONE_XMLRPC"], cluster.xmlrpc);
                assert_eq!(read["privateNetwork"]["name"], name);
                assert_eq!(read["publicNetwork"]["name"], "public");
                assert_eq!(read["virtualRouter"]["templateName"], "oneks-24-lb");
            }
        }
    }
}
