//! The book itself. Every question is one or two look-ups, however many sessions there are.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use libprocess::sender::{ConnectionId, SessionId};
use libprocess::upid::Upid;

use super::entry::Entry;
use super::{NotEstablished, Peer, SessionCaps};
use crate::seldom;

#[derive(Debug, Default)]
pub(super) struct Book {
    by_address: HashMap<SocketAddrV4, There>,
    per_ip: HashMap<Ipv4Addr, usize>,
    count: usize,
    /// Connections that are open now.
    open: HashSet<ConnectionId>,
    /// The sessions whose exchange took place on an open connection.
    by_exchange: HashMap<ConnectionId, HashMap<SessionId, Arc<Entry>>>,
}

#[cfg(test)]
impl Book {
    /// Whether what is counted is what is there, and nothing is left of what is not.
    pub(super) fn is_tidy(&self) -> bool {
        let there = |(_, there): (_, &There)| there.clients.len() + there.servers.len();
        self.by_address.iter().map(there).sum::<usize>() == self.count
            && self.per_ip.values().sum::<usize>() == self.count
            && self.by_address.iter().map(there).all(|count| count > 0)
            && self.by_exchange.keys().all(|connection| self.open.contains(connection))
            && self.by_exchange.values().all(|sessions| !sessions.is_empty())
    }
}

/// The sessions with the actors at one address.
#[derive(Debug, Default)]
struct There {
    /// By the id of the client's actor.
    clients: HashMap<String, Arc<Entry>>,
    /// By the id of our own actor.
    servers: HashMap<String, Arc<Entry>>,
}

impl There {
    fn of(&mut self, peer: &Peer) -> &mut HashMap<String, Arc<Entry>> {
        match peer {
            Peer::Client(_) => &mut self.clients,
            Peer::Server(_) => &mut self.servers,
        }
    }
}

/// By what an entry is found at its peer's address.
fn id(entry: &Entry) -> &str {
    match &entry.established.peer {
        Peer::Client(client) => &client.id,
        Peer::Server(_) => &entry.established.ours.id,
    }
}

fn address(entry: &Entry) -> SocketAddrV4 {
    entry.established.peer.upid().address
}

impl Book {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn enter(
        &mut self,
        entry: Arc<Entry>,
        caps: SessionCaps,
    ) -> Result<(), NotEstablished> {
        if self.with(entry.established.peer.upid()).is_some_and(|old| {
            old.established.principal != entry.established.principal
                && !old.is_disconnected()
                && !old.is_exchange(&entry.established.channel)
        }) {
            return Err(NotEstablished::Occupied);
        }
        self.take(&entry);
        let ip = *address(&entry).ip();
        let at_ip = |book: &Self| book.per_ip.get(&ip).copied().unwrap_or(0);
        if at_ip(self) >= caps.per_address {
            self.forget_disconnected(|entry| *address(entry).ip() == ip);
        } else if self.count >= caps.all {
            self.forget_disconnected(|_| true);
        }
        if at_ip(self) >= caps.per_address || self.count >= caps.all {
            return Err(NotEstablished::TooMany);
        }
        let exchange = entry.established.channel.connection;
        if self.open.contains(&exchange) {
            let sessions = self.by_exchange.entry(exchange).or_default();
            sessions.insert(entry.session.id, Arc::clone(&entry));
        } else {
            entry.disconnect();
        }
        let there = self.by_address.entry(address(&entry)).or_default();
        there.of(&entry.established.peer).insert(id(&entry).to_owned(), entry);
        self.count += 1;
        *self.per_ip.entry(ip).or_default() += 1;
        Ok(())
    }

    /// Ends the sessions with an actor. They stay in the book, so that the actor, which may believe
    /// in them still, hears our next message (see [`Self::to`]), until others take their places.
    pub(super) fn end(&mut self, peer: &Upid) -> Option<Arc<Entry>> {
        let ended: Vec<_> = self.all_with(peer).cloned().collect();
        ended.iter().for_each(|entry| entry.end());
        ended.into_iter().next()
    }

    pub(super) fn with(&self, peer: &Upid) -> Option<Arc<Entry>> {
        self.all_with(peer).next().cloned()
    }

    fn all_with<'a>(&'a self, peer: &'a Upid) -> impl Iterator<Item = &'a Arc<Entry>> {
        let there = self.by_address.get(&peer.address).into_iter();
        let entries = there.flat_map(move |there| {
            let servers = there.servers.values();
            let servers = servers.filter(move |entry| entry.established.peer.upid() == peer);
            there.clients.get(&peer.id).into_iter().chain(servers)
        });
        entries.filter(|entry| !entry.is_over())
    }

    /// The session of messages from `claimed` to our actor `to`.
    pub(super) fn from(&self, claimed: &Upid, to: &str) -> Option<Arc<Entry>> {
        self.between(&claimed.id, claimed.address, to).filter(|entry| !entry.is_over())
    }

    /// The session of messages from our actor `from` to `to`, also when it is over for us: that we
    /// took part in it is true all the same, and the peer may not know yet that it has to
    /// authenticate again.
    pub(super) fn to(&self, from: &str, to: &Upid) -> Option<Arc<Entry>> {
        self.between(&to.id, to.address, from)
    }

    fn between(&self, theirs: &str, address: SocketAddrV4, ours: &str) -> Option<Arc<Entry>> {
        let there = self.by_address.get(&address)?;
        there.clients.get(theirs).or_else(|| there.servers.get(ours)).cloned()
    }

    pub(super) fn opened(&mut self, connection: ConnectionId) {
        self.open.insert(connection);
    }

    pub(super) fn ended(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
        let sessions = self.by_exchange.remove(&connection).unwrap_or_default();
        sessions.values().for_each(|entry| entry.disconnect());
    }

    /// Ends the session that has the place of this one.
    fn take(&mut self, entry: &Entry) {
        let Slot::Occupied(mut there) = self.by_address.entry(address(entry)) else { return };
        let Some(old) = there.get_mut().of(&entry.established.peer).remove(id(entry)) else {
            return;
        };
        if there.get().clients.is_empty() && there.get().servers.is_empty() {
            there.remove();
        }
        old.end();
        self.count -= 1;
        if let Slot::Occupied(mut at_ip) = self.per_ip.entry(*address(&old).ip()) {
            *at_ip.get_mut() -= 1;
            if *at_ip.get() == 0 {
                at_ip.remove();
            }
        }
        let exchange = old.established.channel.connection;
        if let Slot::Occupied(mut sessions) = self.by_exchange.entry(exchange) {
            sessions.get_mut().remove(&old.session.id);
            if sessions.get().is_empty() {
                sessions.remove();
            }
        }
    }

    /// Makes room: forgets sessions that are over, and ends those whose exchange's connection is
    /// gone.
    fn forget_disconnected(&mut self, which: impl Fn(&Entry) -> bool) {
        let all = self.by_address.values();
        let all = all.flat_map(|there| there.clients.values().chain(there.servers.values()));
        let gone = all.filter(|entry| which(entry) && (entry.is_over() || entry.is_disconnected()));
        let gone: Vec<_> = gone.cloned().collect();
        seldom!(warn, ended = gone.len(), "too many sessions: those without a connection end");
        gone.iter().for_each(|entry| self.take(entry));
    }
}
