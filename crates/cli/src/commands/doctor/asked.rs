//! What the daemons of a running cluster say about themselves.

use super::report::{Component, Found, Trouble};
use crate::client::Client;
use crate::commands::{list, text};

/// Asks the master and all agents for `target`; `silence`: what it means if the master knows no
/// such thing.
pub(super) async fn everybody(
    client: &mut Client,
    target: &str,
    silence: &str,
) -> anyhow::Result<Vec<Component>> {
    let found = match client.get_if_known(target).await? {
        None => Err(Trouble { what: "does not say", lines: vec![silence.to_owned()] }),
        Some(said) => Ok(Found(said)),
    };
    let mut components = vec![Component { name: client.master().to_owned(), found }];
    let agents = client.get("/slaves").await?;
    for agent in list(&agents, "slaves") {
        let place = text(&agent, "pid").split_once('@').map_or("", |(_, place)| place);
        let Some((host, port)) =
            place.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))
        else {
            continue;
        };
        let found = client.get_from_agent((host, port), target).await;
        let found = found.map(Found).map_err(|error| Trouble {
            what: "does not answer",
            lines: vec![format!("{error:#}")],
        });
        components.push(Component { name: format!("agent at {place}"), found });
    }
    Ok(components)
}
