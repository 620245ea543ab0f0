//! What every SASL mechanism must hold, to be asked of each implementation by its tests: those of
//! this crate, and those that come from elsewhere.
//!
//! Those of HTTP have a suite of their own, [`http`]. A [`Case`] says what is examined; [`check`] asks everything. The parts are public too, for
//! those who want to know which one fails.

pub mod http;

use std::fmt;
use std::sync::Arc;

use crate::sasl::offer::Authenticators;
use crate::sasl::{
    Accepted, Authenticatee, Channel, ClientExchange, Nonce, Refused, ServerExchange, ServerProof,
    ServerStep,
};

/// Longer exchanges are taken for endless ones.
const MOST_STEPS: usize = 20;

/// A mechanism on a server and its clients.
#[derive(Clone, Debug)]
pub struct Case {
    /// The server; it offers all of them that fit its channel.
    pub server: Authenticators,
    /// The connection as the server sees it.
    pub server_channel: Channel,
    /// The connection as the client sees it.
    pub client_channel: Channel,
    /// The client that the server knows.
    pub client: Arc<dyn Authenticatee>,
    /// Its principal.
    pub principal: String,
    /// One that says that it is the same, with another secret, where there are secrets.
    pub impostor: Option<Arc<dyn Authenticatee>>,
    /// One that the server does not know. Its name is as long as that of the principal.
    pub stranger: Option<Arc<dyn Authenticatee>>,
    /// Whether only the connection protects what is said, so that it may be said again there, and
    /// nowhere else.
    pub rests_on_channel: bool,
    /// Whether the proof is about this very connection.
    pub binds_channel: bool,
    /// Whether the server proves itself.
    pub is_mutual: bool,
}

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{mechanism}: {rule}: {what}")]
pub struct Violation {
    /// The mechanism.
    pub mechanism: String,
    /// The rule.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

/// What was said, alternately by client and server; the client begins.
pub type Transcript = Vec<Vec<u8>>;

/// How an exchange went.
#[derive(Debug)]
pub struct Run {
    /// What was said.
    pub said: Transcript,
    /// How often the server said something before it said whether the client is right.
    pub unjudged: usize,
    /// What the server made of it; nothing if the client gave up before.
    pub server: Option<ServerEnd>,
    /// What the client thinks when it is told that the server is satisfied, whether or not it is.
    pub client: Result<ServerProof, String>,
}

/// How it ended for the server.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerEnd {
    /// It knows who the client is.
    Completed(Accepted),
    /// It knows that the client is not who it says.
    Refused(Refused),
    /// It did not understand the client.
    Malformed(String),
}

impl ServerEnd {
    const fn word(&self) -> &'static str {
        match self {
            Self::Completed(_) => "completed",
            Self::Refused(_) => "refused",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// Asks everything.
///
/// # Errors
/// The first rule that does not hold.
pub fn check(case: &Case) -> Result<(), Violation> {
    completes(case)?;
    is_not_offered_where_it_is_not_safe(case)?;
    wrong_secrets_are_refused(case)?;
    nobody_learns_the_verdict_before_it_is_judged(case)?;
    strangers_look_like_impostors(case)?;
    no_flipped_bit_authenticates(case)?;
    no_shortened_message_authenticates(case)?;
    no_replay_authenticates(case)?;
    no_garbage_authenticates(case)?;
    other_channels_do_not_authenticate(case)
}

/// The client comes in, as itself, and both have the same key.
///
/// # Errors
/// If it does not.
pub fn completes(case: &Case) -> Result<(), Violation> {
    let rule = "a client with the right secret comes in";
    let run = case.run(&*case.client, 1, |_, _| {});
    let Some(ServerEnd::Completed(accepted)) = &run.server else {
        return case.violation(rule, &run);
    };
    let Ok(proof) = &run.client else { return case.violation(rule, &run) };
    let same = accepted.proved.principal.value() == Some(&*case.principal)
        && accepted.proved.method.as_str() == case.client.mechanism()
        && accepted.key == proof.key
        && proof.mutual == case.is_mutual;
    if same { Ok(()) } else { case.violation(rule, &run) }
}

/// What rests on the channel is neither offered nor used nor completed in plaintext, and what is
/// about the channel not where there is nothing to bind to.
///
/// # Errors
/// If it is.
pub fn is_not_offered_where_it_is_not_safe(case: &Case) -> Result<(), Violation> {
    let rule = "it is not offered where it is not safe";
    if !(case.rests_on_channel || case.binds_channel) {
        return Ok(());
    }
    let plaintext = Channel::default();
    let unbound = Channel { binding: None, ..case.server_channel.clone() };
    for (applies, channel) in [(true, plaintext), (case.binds_channel, unbound)] {
        if !applies {
            continue;
        }
        let case = Case {
            server_channel: channel.clone(),
            client_channel: channel.clone(),
            ..case.clone()
        };
        let offered = case.server.offered(&channel);
        if offered.iter().any(|name| name == case.client.mechanism()) {
            return case.violation(rule, &"offered");
        }
        if case.client.is_usable(&channel) {
            return case.violation(rule, &"used");
        }
        let run = case.run(&*case.client, 1, |_, _| {});
        if matches!(run.server, Some(ServerEnd::Completed(_))) {
            return case.violation(rule, &run);
        }
    }
    Ok(())
}

/// A wrong secret is refused, which is what makes a client stop, and not an error.
///
/// # Errors
/// If it is not.
pub fn wrong_secrets_are_refused(case: &Case) -> Result<(), Violation> {
    let rule = "a wrong secret is refused";
    for client in case.impostor.iter().chain(&case.stranger) {
        let run = case.run(&**client, 1, |_, _| {});
        if !matches!(run.server, Some(ServerEnd::Refused(_))) {
            return case.violation(rule, &run);
        }
    }
    Ok(())
}

/// A server says [`ServerStep::Continue`] to a client with a wrong secret for as long as to one
/// with the right secret, and as much: what only one of them hears could not be withheld from who
/// guesses.
///
/// # Errors
/// If there is a difference.
pub fn nobody_learns_the_verdict_before_it_is_judged(case: &Case) -> Result<(), Violation> {
    let rule = "nobody learns the verdict before it is judged";
    let before = |run: &Run| -> Vec<usize> {
        run.said.iter().skip(1).step_by(2).take(run.unjudged).map(Vec::len).collect()
    };
    let right = case.run(&*case.client, 1, |_, _| {});
    for client in case.impostor.iter().chain(&case.stranger) {
        let wrong = case.run(&**client, 1, |_, _| {});
        if before(&right) != before(&wrong) {
            return case.violation(rule, &(right, wrong));
        }
    }
    Ok(())
}

/// Who is unknown hears as much, at the same point, as who is known and has a wrong secret; and
/// hears it again the next time.
///
/// # Errors
/// If there is a difference.
pub fn strangers_look_like_impostors(case: &Case) -> Result<(), Violation> {
    let rule = "a stranger looks like somebody with a wrong secret";
    let (Some(impostor), Some(stranger)) = (&case.impostor, &case.stranger) else {
        return Ok(());
    };
    let shape = |run: &Run| {
        let lengths: Vec<usize> = run.said.iter().skip(1).step_by(2).map(Vec::len).collect();
        (lengths, run.server.as_ref().map(ServerEnd::word))
    };
    let known = case.run(&**impostor, 1, |_, _| {});
    let unknown = case.run(&**stranger, 1, |_, _| {});
    if shape(&known) != shape(&unknown) {
        return case.violation(rule, &(known, unknown));
    }
    for client in [impostor, stranger] {
        let (once, again) = (case.run(&**client, 1, |_, _| {}), case.run(&**client, 1, |_, _| {}));
        if once.said != again.said {
            return case.violation(rule, &(once, again));
        }
    }
    Ok(())
}

/// Whatever bit is changed on the way, in whatever direction: the server is not satisfied, and the
/// client does not take it for proved.
///
/// # Errors
/// If they are.
pub fn no_flipped_bit_authenticates(case: &Case) -> Result<(), Violation> {
    let rule = "a flipped bit never authenticates";
    let said = case.run(&*case.client, 1, |_, _| {}).said;
    for (n, message) in said.iter().enumerate() {
        for bit in 0..message.len() * 8 {
            let run = case.run(&*case.client, 1, |at, message| {
                if at == n
                    && let Some(byte) = message.get_mut(bit / 8)
                {
                    *byte ^= 1 << (bit % 8);
                }
            });
            if run.is_fooled() {
                let what = format!("bit {bit} of message {n}: {run:?}");
                return case.violation(rule, &what);
            }
        }
    }
    Ok(())
}

/// Nor does a message of which a part is missing, or that is longer.
///
/// # Errors
/// If it does.
pub fn no_shortened_message_authenticates(case: &Case) -> Result<(), Violation> {
    let rule = "a shortened message never authenticates";
    let said = case.run(&*case.client, 1, |_, _| {}).said;
    for (n, message) in said.iter().enumerate() {
        for length in 0..message.len() {
            let run = case.run(&*case.client, 1, |at, message| {
                if at == n {
                    message.truncate(length);
                }
            });
            if run.is_fooled() {
                let what = format!("{length} bytes of message {n}: {run:?}");
                return case.violation(rule, &what);
            }
        }
    }
    Ok(())
}

/// What was once said by the client does not satisfy a server a second time, nor does what was
/// once said by the server satisfy a client.
///
/// # Errors
/// If it does.
pub fn no_replay_authenticates(case: &Case) -> Result<(), Violation> {
    let rule = "a replay never authenticates";
    let recorded = case.run(&*case.client, 1, |_, _| {}).said;
    let plaintext = Case { server_channel: Channel::default(), ..case.clone() };
    let case = if case.rests_on_channel { &plaintext } else { case };
    if let Some(mut server) = case.server_exchange(&*case.client, 2) {
        for message in recorded.iter().step_by(2) {
            match server.step(message) {
                ServerStep::Continue(_) => {}
                ServerStep::Confirm { principal, .. } => {
                    return case.violation(rule, &principal);
                }
                ServerStep::Completed(accepted) => return case.violation(rule, &accepted),
                ServerStep::Refused(_) | ServerStep::Malformed(_) => break,
            }
        }
    }
    let mut client = case.client_exchange(&*case.client, 2);
    if client.start().is_err() {
        return Ok(());
    }
    for message in recorded.iter().skip(1).step_by(2) {
        if client.step(message).is_err() {
            break;
        }
    }
    match client.completed() {
        Ok(proof) if proof.mutual => case.violation(rule, &proof),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Nor does anything else that is no proof, whenever it comes; and nobody panics.
///
/// # Errors
/// If it does.
pub fn no_garbage_authenticates(case: &Case) -> Result<(), Violation> {
    let rule = "garbage never authenticates";
    let long = vec![b'a'; 1 << 17];
    let garbage: [&[u8]; 14] = [
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\0",
        b" ",
        b",",
        b",,",
        b"=",
        b"n,,n=,r=",
        b"n,,",
        b"v=",
        b"\xff\xfe\xfd",
        b"r=,s=,i=",
        &long,
    ];
    let length = case.run(&*case.client, 1, |_, _| {}).said.len();
    // An empty message may be what is to be said; then it is no garbage.
    for n in 0..length {
        for garbage in garbage {
            let mut changed = false;
            let run = case.run(&*case.client, 1, |at, message| {
                if at == n && message != garbage {
                    changed = true;
                    *message = garbage.to_vec();
                }
            });
            let asked_first = n == 0 && garbage.is_empty();
            // At the end the client has the server's proof, whatever becomes of its last word.
            let fooled = match n + 1 == length {
                true => matches!(run.server, Some(ServerEnd::Completed(_))),
                false => run.is_fooled(),
            };
            if changed && !asked_first && fooled {
                let shown = garbage.get(..garbage.len().min(20));
                let what = format!("{shown:?} as message {n}: {run:?}");
                return case.violation(rule, &what);
            }
        }
    }
    Ok(())
}

/// With different bindings at the two ends, which is what somebody in between has, nobody comes
/// in.
///
/// # Errors
/// If somebody does.
pub fn other_channels_do_not_authenticate(case: &Case) -> Result<(), Violation> {
    let rule = "nobody in between comes in";
    if !case.binds_channel {
        return Ok(());
    }
    let binding = case.client_channel.binding.map(|mut binding| {
        binding[31] ^= 1;
        binding
    });
    let client_channel = Channel { binding, ..case.client_channel.clone() };
    let case = Case { client_channel, ..case.clone() };
    let run = case.run(&*case.client, 1, |_, _| {});
    if run.is_fooled() { case.violation(rule, &run) } else { Ok(()) }
}

impl Run {
    /// Whether the server is satisfied, or the client takes it for proved.
    fn is_fooled(&self) -> bool {
        matches!(self.server, Some(ServerEnd::Completed(_)))
            || self.client.as_ref().is_ok_and(|proof| proof.mutual)
    }
}

impl Case {
    /// Runs an exchange of `client` with the server; `meddle` may change each message on its way.
    /// With the same `number` both ends draw the same random bits.
    pub fn run(
        &self,
        client: &dyn Authenticatee,
        number: u8,
        mut meddle: impl FnMut(usize, &mut Vec<u8>),
    ) -> Run {
        let mut said = Transcript::new();
        let mut ours = self.client_exchange(client, number);
        let Some(mut theirs) = self.server_exchange(client, number) else {
            let client = ours.completed().map_err(|error| error.to_string());
            return Run { said, unjudged: 0, server: None, client };
        };
        let mut message = match ours.start() {
            Ok(message) => message,
            Err(error) => {
                let client = Err(error.to_string());
                return Run { said, unjudged: 0, server: None, client };
            }
        };
        let mut server = None;
        let (mut unjudged, mut judged) = (0, false);
        while said.len() < MOST_STEPS {
            meddle(said.len(), &mut message);
            said.push(message.clone());
            let mut answer = match theirs.step(&message) {
                ServerStep::Continue(answer) => {
                    unjudged += usize::from(!judged);
                    answer
                }
                ServerStep::Confirm { data, .. } => {
                    judged = true;
                    data
                }
                ServerStep::Completed(accepted) => {
                    server = Some(ServerEnd::Completed(accepted));
                    break;
                }
                ServerStep::Refused(refused) => {
                    server = Some(ServerEnd::Refused(refused));
                    break;
                }
                ServerStep::Malformed(text) => {
                    server = Some(ServerEnd::Malformed(text));
                    break;
                }
            };
            meddle(said.len(), &mut answer);
            said.push(answer.clone());
            match ours.step(&answer) {
                Ok(next) => message = next,
                Err(error) => {
                    let client = Err(error.to_string());
                    return Run { said, unjudged, server, client };
                }
            }
        }
        let client = ours.completed().map_err(|error| error.to_string());
        Run { said, unjudged, server, client }
    }

    fn client_exchange(&self, client: &dyn Authenticatee, number: u8) -> Box<dyn ClientExchange> {
        let offered = self.server.offered(&self.client_channel);
        client.begin(&self.client_channel, &offered, Nonce([number; 24]))
    }

    fn server_exchange(
        &self,
        client: &dyn Authenticatee,
        number: u8,
    ) -> Option<Box<dyn ServerExchange>> {
        let offered = self.server.offered(&self.server_channel);
        let nonce = Nonce([number ^ 0x55; 24]);
        let server = self.server.get(client.mechanism())?;
        Some(server.begin(&self.server_channel, &offered, nonce))
    }

    fn violation(&self, rule: &'static str, what: &dyn fmt::Debug) -> Result<(), Violation> {
        let mechanism = self.client.mechanism().to_owned();
        Err(Violation { mechanism, rule, what: format!("{what:?}") })
    }
}
