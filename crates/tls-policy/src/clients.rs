//! Where clients need a certificate.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::did_you_mean;
use crate::nearest::nearest;

/// What is asked of a client at one door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    /// Nothing: a certificate is not asked for.
    None,
    /// A certificate is asked for; who has none may come in without a name.
    Optional,
    /// Who presents no certificate is turned away at the door (not in the handshake, which serves
    /// all doors): HTTP answers 401 and says why, a message is dropped.
    Required,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
        })
    }
}

/// The door of libprocess messages: what components say to each other.
pub const MESSAGES: &str = "messages";

/// All doors that can be named: [`MESSAGES`], and the realms of HTTP routes.
pub const DOORS: &[&str] = &[
    MESSAGES,
    "mesos-agent-executor",
    "mesos-agent-readonly",
    "mesos-agent-readwrite",
    "mesos-master-readonly",
    "mesos-master-readwrite",
    "mesos-master-scheduler",
];

/// What is asked of clients, door by door, on the one port that has all of them. The handshake
/// asks for a certificate if any door does; one that does not verify fails the handshake whatever
/// door it was meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// At doors that are not in `doors`.
    pub otherwise: Demand,
    /// At these doors, each one of [`DOORS`].
    pub doors: BTreeMap<String, Demand>,
}

impl ClientCertificates {
    /// The same at all doors.
    #[must_use]
    pub fn everywhere(demand: Demand) -> Self {
        Self { otherwise: demand, doors: BTreeMap::new() }
    }

    /// Reads `required,mesos-master-readonly=optional`: at most one demand for all doors that are
    /// not named, and demands at single doors. Returns the former as it was said. The error is a
    /// sentence for people.
    pub(crate) fn parse(text: &str) -> Result<(Option<Demand>, BTreeMap<String, Demand>), String> {
        let (mut otherwise, mut doors) = (None, BTreeMap::new());
        for element in text.split(',').map(str::trim) {
            let twice = match element.split_once('=') {
                None => otherwise.replace(demand(element)?).is_some(),
                Some((door, said)) => {
                    let door = door.trim();
                    if !DOORS.contains(&door) {
                        let near = did_you_mean(&nearest(door, DOORS.iter().copied()));
                        return Err(format!(
                            "`{door}` is no door{near} (doors: {})",
                            DOORS.join(", ")
                        ));
                    }
                    doors.insert(door.to_owned(), demand(said.trim())?).is_some()
                }
            };
            if twice {
                return Err(format!("`{element}` is said a second time"));
            }
        }
        Ok((otherwise, doors))
    }

    /// What is asked at `door`.
    #[must_use]
    pub fn at(&self, door: &str) -> Demand {
        self.doors.get(door).copied().unwrap_or(self.otherwise)
    }

    /// Whether the handshake asks for a certificate.
    #[must_use]
    pub fn asked(&self) -> bool {
        DOORS.iter().any(|door| self.at(door) != Demand::None)
    }
}

fn demand(word: &str) -> Result<Demand, String> {
    let demands = [Demand::None, Demand::Optional, Demand::Required];
    demands.into_iter().find(|demand| demand.to_string() == word).ok_or_else(|| {
        let near = did_you_mean(&nearest(word, ["none", "optional", "required"]));
        format!("`{word}` is not `none`, `optional` or `required`{near}")
    })
}
