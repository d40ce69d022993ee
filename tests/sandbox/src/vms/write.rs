//! VMs as XML: full, and shortened as in `one.vmpool.info`.

use opennebula::template::vector_value;

use super::Vm;
use crate::xml::Xml;

const SHORT_DISK: [&str; 11] = [
    "DISK_ID",
    "DATASTORE",
    "DATASTORE_ID",
    "IMAGE",
    "IMAGE_ID",
    "SIZE",
    "TYPE",
    "CLONE",
    "CLONE_TARGET",
    "LN_TARGET",
    "DISK_SNAPSHOT_TOTAL_SIZE",
];

const SHORT_NIC: [&str; 6] = ["IP", "MAC", "NETWORK", "NETWORK_ID", "NIC_ID", "SECURITY_GROUPS"];

const SHORT_USER_TEMPLATE: [&str; 8] = [
    "LABELS",
    "ERROR",
    "SCHED_MESSAGE",
    "SCHED_RANK",
    "SCHED_DS_RANK",
    "SCHED_REQUIREMENTS",
    "SCHED_DS_REQUIREMENTS",
    "USER_PRIORITY",
];

impl Vm {
    /// The whole VM, with all of its history or the last record.
    pub(crate) fn write_full(&self, xml: &mut Xml, last_record_only: bool) {
        let id = self.meta.id;
        xml.open("VM");
        self.meta.write_head(xml);
        self.meta.write_permissions(xml);
        xml.field("LAST_POLL", 0);
        xml.field("STATE", self.state as u8);
        xml.field("LCM_STATE", self.lcm_state as u8);
        xml.field("PREV_STATE", self.prev_state as u8);
        xml.field("PREV_LCM_STATE", self.prev_lcm_state as u8);
        xml.field("RESCHED", u8::from(self.resched));
        xml.field("STIME", self.stime);
        xml.field("ETIME", self.etime);
        xml.field("DEPLOY_ID", &self.deploy_id);
        self.meta.write_lock(xml);
        xml.field("MONITORING", "");
        xml.ids("SCHED_ACTIONS", &self.sched_actions);
        xml.template_with("TEMPLATE", &self.template, &self.sched_xml);
        xml.template("USER_TEMPLATE", &self.user_template);
        if self.history.is_empty() {
            xml.empty("HISTORY_RECORDS");
        } else {
            let first = if last_record_only {
                self.history.len() - 1
            } else {
                0
            };
            xml.open("HISTORY_RECORDS");
            for record in &self.history[first..] {
                record.write(id, xml);
            }
            xml.close("HISTORY_RECORDS");
        }
        xml.open("BACKUPS");
        xml.empty("BACKUP_CONFIG");
        xml.open("BACKUP_IDS");
        xml.close("BACKUP_IDS");
        xml.close("BACKUPS");
        xml.close("VM");
    }

    /// What `one.vmpool.info` shows: enough for lists and the scheduler.
    pub(crate) fn write_short(&self, xml: &mut Xml) {
        let id = self.meta.id;
        xml.open("VM");
        self.meta.write_head(xml);
        xml.field("LAST_POLL", 0);
        xml.field("STATE", self.state as u8);
        xml.field("LCM_STATE", self.lcm_state as u8);
        xml.field("RESCHED", u8::from(self.resched));
        xml.field("STIME", self.stime);
        xml.field("ETIME", self.etime);
        xml.field("DEPLOY_ID", &self.deploy_id);
        if let Some(lock) = self.meta.lock {
            xml.open("LOCK");
            xml.field("LOCKED", lock.level);
            xml.close("LOCK");
        }
        xml.open("TEMPLATE");
        for name in ["CPU", "MEMORY", "VCPU"] {
            xml.field(name, self.template.get(name).unwrap_or(""));
        }
        for (vector, keys) in [("DISK", &SHORT_DISK[..]), ("NIC", &SHORT_NIC[..])] {
            for pairs in self.template.get_vectors(vector) {
                xml.open(vector);
                for key in keys {
                    if let Some(text) = vector_value(pairs, key) {
                        xml.cdata(key, text);
                    }
                }
                xml.close(vector);
            }
        }
        if let Some(pairs) = self.template.get_vector("GRAPHICS") {
            xml.vector("GRAPHICS", pairs);
        }
        xml.close("TEMPLATE");
        xml.empty("MONITORING");
        if self.user_template.is_empty() {
            xml.empty("USER_TEMPLATE");
        } else {
            xml.open("USER_TEMPLATE");
            for name in SHORT_USER_TEMPLATE {
                if let Some(text) = self.user_template.get(name) {
                    xml.cdata(name, text);
                }
            }
            xml.close("USER_TEMPLATE");
        }
        match self.history.last() {
            Some(record) => {
                xml.open("HISTORY_RECORDS");
                record.write_short(id, xml);
                xml.close("HISTORY_RECORDS");
            }
            None => xml.empty("HISTORY_RECORDS"),
        }
        xml.close("VM");
    }
}
