//! Profiles: see below.
