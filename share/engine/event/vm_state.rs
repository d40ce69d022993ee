//! A virtual machine changed its state.

use std::io::Read;

use crate::gate::Hints;

use super::xml::{Damaged, Token, Xml};
use super::{Reason, Verdict, id};

/// Most tags of one VM that are looked at.
const TAGS: usize = 4;

pub(super) fn look<R: Read>(mut xml: Xml<R>) -> Verdict {
    read(&mut xml).unwrap_or(Verdict::Drop(Reason::Unreadable))
}

/// Reads as far as the end of `USER_TEMPLATE`; what follows is history.
fn read<R: Read>(xml: &mut Xml<R>) -> Result<Verdict, Damaged> {
    let mut vm = None;
    let mut clusters = Vec::new();
    // Which of USER_TEMPLATE and ONEKS are open, at depth 2 and 3.
    let (mut in_user_template, mut in_tag) = (false, false);
    loop {
        let field = match xml.next()? {
            Token::Open("VM") => Field::Vm,
            Token::Open("ID") => Field::Id,
            Token::Open("USER_TEMPLATE") => Field::UserTemplate,
            Token::Open("ONEKS") => Field::Tag,
            Token::Open("CLUSTER_ID") => Field::ClusterId,
            Token::Open(_) => Field::Other,
            Token::Close => Field::Close,
            Token::Text(_) => continue,
            Token::End => return Err(Damaged),
        };
        match (xml.depth(), field) {
            (1, Field::Vm) => {}
            (1, _) if vm.is_none() => return Err(Damaged),
            (2, Field::Id) => vm = id(&xml.text(64)?.ok_or(Damaged)?),
            (2, Field::UserTemplate) => in_user_template = true,
            (3, Field::Tag) => in_tag = in_user_template,
            (4, Field::ClusterId) if in_tag => {
                let cluster = xml.text(64)?.and_then(|text| id(&text));
                if clusters.len() < TAGS && cluster.is_some_and(|cluster| !clusters.contains(&cluster)) {
                    clusters.extend(cluster);
                }
            }
            (2, Field::Close) => in_tag = false,
            (1, Field::Close) if in_user_template => break,
            (0, Field::Close) => break,
            _ => {}
        }
    }
    if clusters.is_empty() {
        return Ok(Verdict::Drop(Reason::NotOurs));
    }
    Ok(Verdict::Look {
        clusters,
        hints: vm.map_or_else(Hints::none, Hints::vm),
    })
}

enum Field {
    Vm,
    Id,
    UserTemplate,
    Tag,
    ClusterId,
    Other,
    Close,
}
