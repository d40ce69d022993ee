//! Quotas of users and groups.
//!
//! oned reads a quota as a sparse list: what has neither limit nor use is not there.

use super::read::ObjectError;
use crate::template::{Template, vector_value};
use crate::xml::Parser;

/// All quotas of a user or a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quotas {
    /// VMs and what they use.
    pub vms: Vec<VmQuota>,
    /// Leases, by network.
    pub networks: Vec<NetworkQuota>,
    /// Images and space, by datastore.
    pub datastores: Vec<DatastoreQuota>,
    /// Running VMs, by image.
    pub images: Vec<ImageQuota>,
}

/// One limited thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quota {
    /// How much of it is allowed.
    pub limit: Limit,
    /// How much of it is in use.
    pub used: f64,
}

/// How much of something is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Limit {
    /// What the defaults of the cloud say; no limit if they say nothing.
    #[default]
    Default,
    /// Any amount.
    Unlimited,
    /// No more than this.
    Max(f64),
}

/// `VM_QUOTA/VM`: VMs as such, and their capacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VmQuota {
    /// The OpenNebula clusters that it counts for, as oned lists them; empty for all.
    pub cluster_ids: String,
    /// Number of VMs.
    pub vms: Quota,
    /// CPU shares.
    pub cpu: Quota,
    /// Memory in MiB.
    pub memory: Quota,
    /// Number of running VMs.
    pub running_vms: Quota,
    /// CPU shares of running VMs.
    pub running_cpu: Quota,
    /// Memory of running VMs in MiB.
    pub running_memory: Quota,
    /// Space on system datastores in MiB.
    pub system_disk_size: Quota,
}

/// `NETWORK_QUOTA/NETWORK`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkQuota {
    /// Id of the network.
    pub id: u32,
    /// Number of leases.
    pub leases: Quota,
}

/// `DATASTORE_QUOTA/DATASTORE`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatastoreQuota {
    /// Id of the datastore.
    pub id: u32,
    /// Number of images.
    pub images: Quota,
    /// Space in MiB.
    pub size: Quota,
}

/// `IMAGE_QUOTA/IMAGE`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageQuota {
    /// Id of the image.
    pub id: u32,
    /// Number of running VMs with it.
    pub rvms: Quota,
}

impl Quota {
    /// How much may still be used, `None` for any amount. `default` is the limit that stands for [`Limit::Default`].
    pub fn left(self, default: Limit) -> Option<f64> {
        let limit = if self.limit == Limit::Default {
            default
        } else {
            self.limit
        };
        match limit {
            Limit::Default | Limit::Unlimited => None,
            Limit::Max(max) => Some((max - self.used).max(0.0)),
        }
    }
}

impl Quotas {
    pub(super) fn read(parser: &mut Parser<'_>) -> Result<Self, ObjectError> {
        let mut quotas = Self::default();
        while let Some(name) = parser.child()? {
            if !quotas.element(&name, parser)? {
                parser.skip()?;
            }
        }
        Ok(quotas)
    }

    /// Reads the open element if it is a quota. Whether it is.
    pub(super) fn element(&mut self, name: &str, parser: &mut Parser<'_>) -> Result<bool, ObjectError> {
        match name {
            "VM_QUOTA" => {
                let all = Template::from_element(parser)?;
                self.vms = all.get_vectors("VM").map(VmQuota::new).collect();
            }
            "NETWORK_QUOTA" => {
                let all = Template::from_element(parser)?;
                let network = |of: &[(String, String)]| {
                    Some(NetworkQuota {
                        id: id(of)?,
                        leases: quota(of, "LEASES"),
                    })
                };
                self.networks = all.get_vectors("NETWORK").filter_map(network).collect();
            }
            "DATASTORE_QUOTA" => {
                let all = Template::from_element(parser)?;
                let datastore = |of: &[(String, String)]| {
                    Some(DatastoreQuota {
                        id: id(of)?,
                        images: quota(of, "IMAGES"),
                        size: quota(of, "SIZE"),
                    })
                };
                self.datastores = all.get_vectors("DATASTORE").filter_map(datastore).collect();
            }
            "IMAGE_QUOTA" => {
                let all = Template::from_element(parser)?;
                let image = |of: &[(String, String)]| {
                    Some(ImageQuota {
                        id: id(of)?,
                        rvms: quota(of, "RVMS"),
                    })
                };
                self.images = all.get_vectors("IMAGE").filter_map(image).collect();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl VmQuota {
    fn new(of: &[(String, String)]) -> Self {
        Self {
            cluster_ids: vector_value(of, "CLUSTER_IDS").unwrap_or_default().to_owned(),
            vms: quota(of, "VMS"),
            cpu: quota(of, "CPU"),
            memory: quota(of, "MEMORY"),
            running_vms: quota(of, "RUNNING_VMS"),
            running_cpu: quota(of, "RUNNING_CPU"),
            running_memory: quota(of, "RUNNING_MEMORY"),
            system_disk_size: quota(of, "SYSTEM_DISK_SIZE"),
        }
    }
}

fn id(of: &[(String, String)]) -> Option<u32> {
    vector_value(of, "ID")?.parse().ok()
}

fn quota(of: &[(String, String)], name: &str) -> Quota {
    let number = |name: &str| vector_value(of, name).and_then(|text| text.parse::<f64>().ok());
    let limit = match number(name) {
        // -1 is the default, -2 no limit.
        Some(limit) if limit >= 0.0 => Limit::Max(limit),
        Some(limit) if limit <= -2.0 => Limit::Unlimited,
        None | Some(_) => Limit::Default,
    };
    Quota {
        limit,
        used: number(&format!("{name}_USED")).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_what_is_left() {
        let pairs: Vec<(String, String)> =
            [("VMS", "2"), ("VMS_USED", "1.5"), ("CPU", "-1"), ("MEMORY", "-2")]
                .map(|(key, text)| (key.to_owned(), text.to_owned()))
                .into();
        let quota = VmQuota::new(&pairs);
        assert_eq!(
            quota.vms,
            Quota {
                limit: Limit::Max(2.0),
                used: 1.5
            }
        );
        assert_eq!(quota.vms.left(Limit::Max(9.0)), Some(0.5));
        assert_eq!(quota.cpu.left(Limit::Max(9.0)), Some(9.0));
        assert_eq!(quota.cpu.left(Limit::Default), None);
        assert_eq!(
            (quota.memory.limit, quota.memory.left(Limit::Max(9.0))),
            (Limit::Unlimited, None)
        );
        assert_eq!(quota.running_vms, Quota::default());
    }
}
