//! Events of some size that are nobody's of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::recorded;

/// A recorded state event of a VM of somebody else, with disks put in until its XML has this many bytes.
pub fn vm(bytes: usize) -> Vec<u8> {
    let xml = decoded("018-vm-ACTIVE-RUNNING").replace("ONEKS", "OTHER");
    STANDARD.encode(grown(&xml, "</TEMPLATE>", bytes)).into_bytes()
}

/// The same of one that is pending: such a one could be a handle.
pub fn vm_pending(bytes: usize) -> Vec<u8> {
    let xml = String::from_utf8(STANDARD.decode(vm(bytes)).unwrap()).unwrap();
    let xml = xml.replacen("<STATE>3</STATE>", "<STATE>1</STATE>", 1).replacen(
        "<LCM_STATE>3</LCM_STATE>",
        "<LCM_STATE>0</LCM_STATE>",
        1,
    );
    STANDARD.encode(xml).into_bytes()
}

/// A recorded update of a document, turned into one that OneFlow makes of its services: a body replaces the old one.
pub fn document(bytes: usize) -> Vec<u8> {
    let xml = decoded("003-one.document.update");
    let old = "<STATUS><![CDATA[";
    let start = xml.find(old).unwrap();
    let end = xml.find("</STATUS>").unwrap() + "</STATUS>".len();
    let node =
        r#"{"deploy_id":17,"vm_info":{"VM":{"ID":"17","UID":"2","GID":"1","NAME":"role_0_(service_7)"}}},"#;
    let nodes = node.repeat(bytes.saturating_sub(xml.len()) / node.len());
    let body = format!("<BODY><![CDATA[{{\"nodes\":[{nodes}{{}}]}}]]></BODY>");
    let xml = xml
        .replace(&xml[start..end], &body)
        .replace("<VALUE>1</VALUE>", "<VALUE>0</VALUE>");
    [
        b"one.document.update ".to_vec(),
        STANDARD.encode(xml).into_bytes(),
    ]
    .concat()
}

fn decoded(name: &str) -> String {
    String::from_utf8(STANDARD.decode(recorded(name)).unwrap()).unwrap()
}

/// The XML with copies of its first disk put in front of a mark.
fn grown(xml: &str, before: &str, bytes: usize) -> String {
    let start = xml.find("<DISK>").unwrap();
    let end = xml.find("</DISK>").unwrap() + "</DISK>".len();
    let disk = &xml[start..end];
    let count = bytes.saturating_sub(xml.len()) / disk.len();
    xml.replacen(before, &format!("{}{before}", disk.repeat(count)), 1)
}
