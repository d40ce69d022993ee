//! The driver `capone`: Kubernetes clusters by Cluster API, its provider for OpenNebula (CAPONE) and RKE2.
//!
//! A seed VM runs Cluster API, which makes the virtual router and the control plane; then the control plane takes
//! Cluster API over and owns itself. From then on everything is a script for one of its nodes. What is made is
//! described by the texts of the group's profile; this program only puts the values in and reads what comes back.

mod bootstrap;
mod cloud_config;
mod context;
mod driver;
mod kubeconfig;
mod names;
mod observe;
mod probe;
mod quote;
mod render;
mod rotate;
mod script;
mod settings;
mod steps;
mod validate;

fn main() -> std::io::Result<()> {
    oneks_driver::run(&driver::Capone, std::io::stdin().lock(), std::io::stdout().lock())
}
