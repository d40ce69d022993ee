//! Standard input of hooks.

use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks::event::{Kind, Known, Reason, Verdict, read, read_knowing};
use oneks_core::names::Names;
use opennebula::Vm;

use crate::keeps_secret;

/// The hooks and the calls that they are registered for, by the first byte of an input: `a` is the first.
pub(crate) const SOURCES: [(Kind, &str); 11] = [
    (Kind::Document, "one.document.allocate"),
    (Kind::Document, "one.document.update"),
    (Kind::Document, "one.document.delete"),
    (Kind::Document, "one.document.clone"),
    (Kind::Document, "one.document.chown"),
    (Kind::Document, "one.document.rename"),
    (Kind::VmState, ""),
    (Kind::VmUpdate, "one.vm.update"),
    (Kind::GuestExec, "one.internal.vmmonitor"),
    (Kind::Vrouter, "one.vrouter.allocate"),
    (Kind::Vrouter, "one.vrouter.delete"),
];

/// The payload of an event behind a byte that says which.
pub(crate) fn event(data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let (kind, call) = SOURCES[usize::from(first.wrapping_sub(b'a')) % SOURCES.len()];
    let verdict = verdict(kind, call, payload);
    let text = String::from_utf8_lossy(payload);
    // References, comments and the like can hide a number.
    if !text.contains(['&']) && !text.contains("<!") && !text.contains("<?") {
        for id in named(&verdict) {
            assert!(text.contains(&id.to_string()), "{id} stands nowhere: {verdict:?}");
        }
    }
    keeps_secret(&text, &format!("{verdict:?}"));
    if kind == Kind::VmState {
        ours_is_not_dropped(&text, &verdict);
    }
}

/// The verdict on a payload; however it comes in, it is the same.
pub(crate) fn verdict(kind: Kind, call: &str, payload: &[u8]) -> Verdict {
    let input = [call.as_bytes(), b" ", STANDARD.encode(payload).as_bytes()].concat();
    let whole = read(kind, input.as_slice());
    let size = payload.len() * 7 % 61 + 1;
    assert_eq!(read(kind, Pieces(&input, size)), whole, "in pieces of {size}");
    check(&whole);
    let unknown = read_knowing(kind, input.as_slice(), NOTHING);
    let dropped = matches!(unknown, Verdict::Drop(Reason::NotOurs | Reason::NotKnown));
    assert!(unknown == whole || dropped, "{unknown:?} instead of {whole:?}");
    whole
}

/// A front-end that knows nothing.
const NOTHING: Known = Known {
    cluster: &|_| false,
    handle: &|_| false,
};

/// Anything at all on standard input.
pub(crate) fn stdin(data: &[u8]) {
    // The words in front say which hook it is for, as far as any hook looks at them.
    let word = String::from_utf8_lossy(data.split(u8::is_ascii_whitespace).next().unwrap_or_default());
    let source = SOURCES.iter().find(|(_, call)| *call == word);
    let kind = source.map_or(Kind::ALL[data.len() % Kind::ALL.len()], |(kind, _)| *kind);
    let (whole, pieces) = (read(kind, data), read(kind, Pieces(data, 7)));
    check(&whole);
    check(&pieces);
    // Where a payload stops being base64, it depends on the pieces how much of it is read before.
    let words: Vec<_> = data
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    if words.len() <= 2
        && words
            .last()
            .is_some_and(|payload| STANDARD.decode(payload).is_ok())
    {
        assert_eq!(whole, pieces);
    }
}

fn check(verdict: &Verdict) {
    let Verdict::Look { clusters, hints } = verdict else {
        return;
    };
    assert!(!clusters.is_empty() && clusters.len() <= 4, "{clusters:?}");
    for (i, cluster) in clusters.iter().enumerate() {
        assert!(!clusters[..i].contains(cluster), "twice: {clusters:?}");
    }
    assert!(hints.vms.len() <= 1);
}

fn named(verdict: &Verdict) -> Vec<u32> {
    match verdict {
        Verdict::Drop(_) => Vec::new(),
        Verdict::LookVm { vm: id }
        | Verdict::LookIfHandle { vm: id }
        | Verdict::LookIfKnown { cluster: id } => {
            vec![*id]
        }
        Verdict::LookHandle { vm, cluster, .. } => std::iter::once(*vm).chain(*cluster).collect(),
        Verdict::Look { clusters, hints } => clusters.iter().chain(&hints.vms).copied().collect(),
    }
}

/// A VM that carries our tag for whoever reads it whole is not somebody else's for the hook.
fn ours_is_not_dropped(text: &str, verdict: &Verdict) {
    // What oned writes: each element once, one text or one CDATA section in it, and keys in upper case.
    let plain = text.replace("><![CDATA[", ">").replace("]]></", "</");
    let usual = ["<!", "<?", "&"].iter().all(|odd| !plain.contains(odd))
        && text.matches("<USER_TEMPLATE").count() == 1
        && text.matches("<ONEKS").count() == 1
        && !text.contains("cluster_id")
        && text.len() < 8192;
    let vm = Vm::from_xml(text).ok().filter(|_| usual);
    let Some((vm, tag)) = vm.and_then(|vm| vm.oneks_tag().map(|tag| (vm, tag))) else {
        return;
    };
    // Of another name it is not counted as the cluster's.
    if tag.cluster_id <= i32::MAX.unsigned_abs() && Names::new(tag.cluster_id).owns(&vm.name) {
        let unknown = read_knowing(Kind::VmState, STANDARD.encode(text).as_bytes(), NOTHING);
        assert_eq!(unknown, *verdict, "with nothing known");
        let lost = [Reason::NotOurs, Reason::Unreadable, Reason::Empty].map(Verdict::Drop);
        assert!(
            !lost.contains(verdict),
            "{verdict:?} although it is of {}",
            tag.cluster_id
        );
    }
}

/// Gives out a few bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let end = buf.len().min(self.1);
        self.0.read(&mut buf[..end])
    }
}
