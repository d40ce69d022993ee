//! Recorded answers with something cut out or put in: an error at worst.

use opennebula::objects::{
    Acl, Cluster, Datastore, Document, Group, Hook, Host, Image, MarketApp, RaftStatus, User, Vm, VmGroup,
    VmTemplate, Vnet, Vrouter,
};
use opennebula::{Template, xmlrpc};
use proptest::prelude::*;

use crate::fixtures::exchange;

/// Reads the text as everything that there is.
fn read(text: &str) {
    let _ = (
        Acl::from_xml(text),
        Cluster::from_xml(text),
        Datastore::from_xml(text),
        Document::from_xml(text),
    );
    let _ = (
        Group::from_xml(text),
        Hook::from_xml(text),
        Host::from_xml(text),
        Image::from_xml(text),
    );
    let _ = (
        MarketApp::from_xml(text),
        RaftStatus::from_xml(text),
        User::from_xml(text),
        Vm::from_xml(text),
    );
    let _ = (
        VmGroup::from_xml(text),
        VmTemplate::from_xml(text),
        Vnet::from_xml(text),
        Vrouter::from_xml(text),
    );
    let _ = (
        Template::parse(text),
        xmlrpc::decode_response(text),
        xmlrpc::decode_call(text),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_panics(
        number in prop::sample::select(vec![4u32, 5, 7, 25, 61, 75, 78, 99, 107, 124, 235, 242]),
        start in 0.0..1.0,
        length in 0usize..60,
        noise in prop_oneof!["[<>&;/A-Z\\]\\[!0-9]{0,12}", any::<String>()],
    ) {
        let text: Vec<char> = exchange(number).text().chars().collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let start = (start * text.len() as f64) as usize;
        let end = (start + length).min(text.len());
        let damaged: String = text[..start].iter().copied().chain(noise.chars()).chain(text[end..].iter().copied()).collect();
        read(&damaged);
        read(&noise);
    }
}
