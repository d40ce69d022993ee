//! The client against recorded traffic of a real OpenNebula: it sends what the recorded clients sent, and reads what
//! oned answered.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod events;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod unrecorded;
#[cfg(test)]
mod wire;
