//! The front-end's part in a group of front-ends.

use super::read::{self, Element, Head, ObjectError};
use crate::xml::Parser;

/// `RAFT`: what the front-end that answered is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// Id of the server in its zone, `None` on a single front-end.
    pub server_id: Option<u32>,
    /// Its part.
    pub state: RaftState,
    /// Term of the election.
    pub term: u64,
}

/// Part of a front-end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftState {
    /// The only one.
    Solo,
    /// Stands for election.
    Candidate,
    /// Follows a leader and changes nothing.
    Follower,
    /// The one that acts.
    Leader,
    /// A state that this crate does not know.
    Other(u32),
}

impl RaftStatus {
    /// Whether this front-end is the one that acts.
    pub fn acts(&self) -> bool {
        matches!(self.state, RaftState::Solo | RaftState::Leader)
    }
}

impl Element for RaftStatus {
    const NAME: &'static str = "RAFT";

    fn read(parser: &mut Parser<'_>, _: &mut Head) -> Result<Self, ObjectError> {
        let (mut server_id, mut state, mut term) = (None, None, 0);
        while let Some(name) = parser.child()? {
            match &*name {
                "SERVER_ID" => server_id = read::maybe(parser)?,
                "STATE" => state = Some(RaftState::from_number(read::number(parser, "STATE")?)),
                "TERM" => term = read::maybe(parser)?.unwrap_or_default(),
                _ => parser.skip()?,
            }
        }
        let state = state.ok_or(ObjectError::Missing {
            object: Self::NAME,
            field: "STATE",
        })?;
        Ok(Self {
            server_id,
            state,
            term,
        })
    }
}

impl RaftState {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Solo,
            1 => Self::Candidate,
            2 => Self::Follower,
            3 => Self::Leader,
            other => Self::Other(other),
        }
    }
}
