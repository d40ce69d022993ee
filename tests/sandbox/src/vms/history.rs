//! Where a VM has been, and what was done to it there.

use crate::acl::Caller;
use crate::xml::Xml;

/// A record. Times are epoch seconds, 0 for not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Place in the list.
    pub seq: u32,
    /// Host.
    pub host: u32,
    /// Host's name.
    pub host_name: String,
    /// Cluster.
    pub cluster: u32,
    /// System datastore.
    pub datastore: u32,
    /// Beginning of the record.
    pub stime: u64,
    /// End of the record.
    pub etime: u64,
    /// PROLOG.
    pub prolog: (u64, u64),
    /// Running.
    pub running: (u64, u64),
    /// EPILOG.
    pub epilog: (u64, u64),
    /// The action that ended it, by oned's numbers.
    pub action: Action,
    /// Who asked for that action.
    pub by: Option<(u32, u32, i64)>,
}

/// Actions that history knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// None.
    None = 0,
    /// undeploy.
    Undeploy = 5,
    /// undeploy-hard.
    UndeployHard = 6,
    /// stop.
    Stop = 9,
    /// suspend.
    Suspend = 10,
    /// resume.
    Resume = 11,
    /// delete by recovery.
    Delete = 13,
    /// delete-recreate by recovery.
    DeleteRecreate = 14,
    /// poweroff.
    Poweroff = 19,
    /// poweroff-hard.
    PoweroffHard = 20,
    /// attachnic.
    NicAttach = 23,
    /// detachnic.
    NicDetach = 24,
    /// terminate.
    Terminate = 27,
    /// terminate-hard.
    TerminateHard = 28,
    /// updateconf.
    Updateconf = 33,
    /// Found out by monitoring.
    Monitor = 44,
    /// exec.
    Exec = 61,
    /// cancelexec.
    ExecCancel = 63,
}

impl History {
    pub(crate) fn new(seq: u32, host: u32, host_name: String, cluster: u32, now: u64) -> Self {
        Self {
            seq,
            host,
            host_name,
            cluster,
            datastore: 0,
            stime: now,
            etime: 0,
            prolog: (now, 0),
            running: (0, 0),
            epilog: (0, 0),
            action: Action::None,
            by: None,
        }
    }

    /// The next record, on the same host.
    pub(crate) fn next(&self, now: u64) -> Self {
        Self {
            seq: self.seq + 1,
            prolog: (0, 0),
            running: (now, 0),
            ..Self::new(0, self.host, self.host_name.clone(), self.cluster, now)
        }
    }

    pub(crate) fn set_action(&mut self, action: Action, caller: Option<&Caller>) {
        self.action = action;
        self.by = caller.map(|caller| (caller.uid, caller.gid, caller.request_id));
    }

    pub(crate) fn write(&self, vm: u32, xml: &mut Xml) {
        xml.open("HISTORY");
        xml.field("OID", vm);
        xml.field("SEQ", self.seq);
        xml.field("HOSTNAME", &self.host_name);
        xml.field("HID", self.host);
        xml.field("CID", self.cluster);
        xml.field("STIME", self.stime);
        xml.field("ETIME", self.etime);
        xml.cdata("VM_MAD", "dummy");
        xml.cdata("TM_MAD", "dummy");
        xml.field("DS_ID", self.datastore);
        xml.field("PLAN_ID", -1);
        xml.field("ACTION_ID", 0);
        for (names, (start, end)) in [
            (("PSTIME", "PETIME"), self.prolog),
            (("RSTIME", "RETIME"), self.running),
            (("ESTIME", "EETIME"), self.epilog),
        ] {
            xml.field(names.0, start);
            xml.field(names.1, end);
        }
        xml.field("ACTION", self.action as u8);
        let by = self.by.map_or((-1, -1, -1), |(uid, gid, request)| {
            (i64::from(uid), i64::from(gid), request)
        });
        xml.field("UID", by.0);
        xml.field("GID", by.1);
        xml.field("REQUEST_ID", by.2);
        xml.close("HISTORY");
    }

    pub(crate) fn write_short(&self, vm: u32, xml: &mut Xml) {
        xml.open("HISTORY");
        xml.field("OID", vm);
        xml.field("SEQ", self.seq);
        xml.cdata("HOSTNAME", &self.host_name);
        xml.field("HID", self.host);
        xml.field("CID", self.cluster);
        xml.field("DS_ID", self.datastore);
        xml.cdata("VM_MAD", "dummy");
        xml.cdata("TM_MAD", "dummy");
        xml.cdata("ACTION", self.action as u8);
        xml.close("HISTORY");
    }
}
