//! Executors' tokens: leases that the agent keeps (`authentication.md` §18, row A11).
//!
//! - A token stands for one container, from before its launch to its end, when it is revoked.
//! - That of an executor of ours is good for a limited time. When half of it is over the answer to
//!   a call carries the next one, and the first use of that one is the end of the one before. If
//!   the connection breaks, the time is at least what an executor may take to come back.
//! - That of a framework's executor, whose library cannot change it, is good as long as the
//!   executor is subscribed, and then as long as it may take to come back.
//!
//! Only digests are kept; they are on disk before anybody is told the token.

use std::collections::BTreeMap;
use std::time::Duration;

use authn::jwt::Lifetime;
use model::id::{ContainerId, ExecutorId, FrameworkId};
use model::principal::Principal;
use model::time::Timestamp;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::event::{Record, TokenDigest};
use super::timers::Timer;
use crate::containerizer::ExecutorToken;

/// What is kept of a token that expired, so that it is known that there was one: no token has this
/// digest.
const NOBODYS: TokenDigest = TokenDigest([0; 32]);

/// What is kept of a token.
pub(crate) fn digest(bearer: &str) -> TokenDigest {
    TokenDigest(Sha256::digest(bearer.as_bytes()).into())
}

impl Engine {
    /// Makes a token for a container. With `expires` it carries when it is over, if it carries
    /// anything.
    pub(super) fn make_token(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        container: &ContainerId,
        expires: bool,
    ) -> ExecutorToken {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        let random = hexadecimal(&bytes);
        let Some(issuer) = &self.rules.tokens.issuer else { return ExecutorToken::new(random) };
        let mut claims = BTreeMap::from([
            ("fid".to_owned(), framework.to_string()),
            ("eid".to_owned(), executor.to_string()),
            ("cid".to_owned(), container.to_string()),
        ]);
        let lifetime = expires.then(|| {
            // So that no two are the same.
            claims.insert("jti".to_owned(), random.clone());
            let issued = self.now.wall;
            // The lease that is kept here ends before: see `await_return`.
            let longest = self.token_lifetime() + self.rules.recovery_timeout;
            let expires = Timestamp::new(issued.since_epoch().saturating_add(longest));
            Lifetime { issued, expires }
        });
        let issued = Principal::new(None, claims)
            .and_then(|principal| issuer.issue(&principal, lifetime).ok())
            .and_then(|token| String::from_utf8(token.expose().to_vec()).ok());
        // Nothing above fails: there are claims, no name, and a JWT is ASCII.
        ExecutorToken::new(issued.unwrap_or(random))
    }

    /// A new executor has at least the time to subscribe.
    pub(super) fn token_lifetime(&self) -> Duration {
        self.rules.tokens.lifetime.max(self.rules.executor_registration_timeout)
    }

    /// Enters a token. One that `expires` does so after its lifetime.
    pub(super) fn enter_token(
        &mut self,
        token: TokenDigest,
        container: ContainerId,
        expires: bool,
    ) {
        self.state.tokens.insert(token, container);
        if expires {
            let until = self.now.monotonic + self.token_lifetime();
            self.timers.set(Timer::Lease(token), until);
        }
    }

    pub(super) fn revoke_token(&mut self, token: TokenDigest) {
        self.state.tokens.remove(&token);
        self.timers.cancel(&Timer::Lease(token));
    }

    /// A token's time is over.
    pub(super) fn lease_over(&mut self, token: TokenDigest) {
        if let Some(container) = self.state.tokens.remove(&token) {
            self.state.counters.executor_tokens_expired += 1;
            self.warn(format!("A token of container {container} expired"));
            self.forget_expired(&container, token);
        }
    }

    /// What expired does not live again with the next run of the agent.
    fn forget_expired(&mut self, container: &ContainerId, token: TokenDigest) {
        let Some((framework, id)) = self.containers.get(container).cloned() else { return };
        let Some(executor) = self.executor_mut(&framework, &id) else { return };
        if executor.next_token == Some(token) {
            executor.next_token = None;
        }
        if executor.token == Some(token) {
            executor.token = Some(NOBODYS);
        }
        let (present, next) = (executor.token, executor.next_token);
        if let Some(present) = present {
            self.write_tokens(&framework, &id, present, next);
        }
    }

    /// An executor's stream ended, or it is expected back after a restart: its tokens last as
    /// long as that may take.
    pub(super) fn await_return(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let Some(executor) = self.executor(framework, id) else { return };
        let tokens = [executor.token, executor.next_token];
        let until = self.now.monotonic + self.rules.recovery_timeout;
        for token in tokens.into_iter().flatten() {
            // What expired stays so.
            if self.state.tokens.contains_key(&token) {
                let timer = Timer::Lease(token);
                let until = self.timers.at(&timer).map_or(until, |at| at.max(until));
                self.timers.set(timer, until);
            }
        }
    }

    /// An executor is subscribed: as long as it is, only tokens of its kind that can be renewed
    /// expire.
    pub(super) fn returned(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let Some(executor) = self.executor(framework, id) else { return };
        if executor.generated {
            return;
        }
        let tokens = [executor.token, executor.next_token];
        for token in tokens.into_iter().flatten() {
            self.timers.cancel(&Timer::Lease(token));
        }
    }

    /// An executor has made a call with this token. Returns what it is to use next, if it is time
    /// for that.
    pub(super) fn token_used(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        used: TokenDigest,
    ) -> Option<ExecutorToken> {
        self.adopt_next(framework, id, used);
        let lifetime = self.token_lifetime();
        let executor = self.executor(framework, id)?;
        let (Some(present), old_next) = (executor.token, executor.next_token) else { return None };
        let container = executor.container.clone();
        // Half of the time is over; one that was made and not used is repeated, since its answer
        // may be lost, but not with every call.
        let pause = if old_next.is_some() { lifetime / 16 } else { lifetime / 2 };
        let due = executor.token_made.is_none_or(|made| self.now.monotonic >= made + pause);
        if !executor.generated || !due {
            return None;
        }
        let token = self.make_token(framework, id, &container, true);
        let next = digest(token.expose());
        if let Some(old) = old_next {
            self.revoke_token(old);
        }
        self.enter_token(next, container, true);
        let now = self.now.monotonic;
        if let Some(executor) = self.executor_mut(framework, id) {
            executor.next_token = Some(next);
            executor.token_made = Some(now);
        }
        self.write_tokens(framework, id, present, Some(next));
        self.state.counters.executor_tokens_renewed += 1;
        Some(token)
    }

    /// The first use of a new token is the end of the old one.
    pub(super) fn adopt_next(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        used: TokenDigest,
    ) {
        let Some(executor) = self.executor_mut(framework, id) else { return };
        if executor.next_token != Some(used) {
            return;
        }
        executor.next_token = None;
        if let Some(old) = executor.token.replace(used) {
            self.revoke_token(old);
        }
        self.write_tokens(framework, id, used, None);
    }

    fn write_tokens(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        present: TokenDigest,
        next: Option<TokenDigest>,
    ) {
        let place = self
            .executor(framework, id)
            .filter(|executor| executor.checkpointed)
            .and_then(|executor| self.run_place(framework, executor));
        if let Some(place) = place {
            self.persist(Record::Tokens { place, present, next });
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
