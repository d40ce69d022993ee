//! The driver `dummy`: the objects of a cluster, made of plain virtual machines without any guest.
//!
//! For clouds with the dummy hypervisor, and for tests: the seed is done as soon as it runs, a node is ready when its
//! VM runs, an upgrade replaces VMs one by one, and the kubeconfig leads nowhere.

mod bootstrap;
mod driver;
mod steps;
mod text;

fn main() -> std::io::Result<()> {
    oneks_driver::run(&driver::Dummy, std::io::stdin().lock(), std::io::stdout().lock())
}
