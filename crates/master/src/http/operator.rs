//! The operator API: `POST /api/v1`.

use std::sync::Arc;

use authz::Permit;
use authz::action::SetLogLevel;
use endpoints::call::{absent, encode, read, reply};
use endpoints::common::{all_metrics, list_files, read_file};
use endpoints::document::Document;
use endpoints::media::{self, Media};
use endpoints::refusal::Refusal;
use endpoints::reply::{Answer, Reply};
use endpoints::request::Request;
use endpoints::rope::Weaver;
use endpoints::route::Pending;
use endpoints::stream::frame;
use endpoints::verbosity;
use wire::Limits;
use wire::json::Style;
use wire::v1;
use wire::v1::master::call::Type;
use wire::v1::master::response::{self, Type as Kind};
use wire::v1::master::{Call, Response};

use super::change::Change;
use super::documents::{Shown, sees_all};
use super::{Master, Shared, permits, refused, stopping};
use crate::engine::effect::Accepted;
use crate::engine::event::{Event, OperatorCommand};
use crate::views::{Large, heartbeat};

/// The word in texts of failed validations.
const KIND: &str = "master";

pub(super) fn call(master: Shared, request: Request) -> Pending {
    Box::pin(async move {
        let call: Call = read(&request, &Limits::default())?;
        let asked = validate(call)?;
        let media = media::accept(&request.headers)?;
        answer(master, &request, asked, media).await
    })
}

/// A call that has what its type requires.
enum Asked {
    /// Answered from memory.
    Read(Type),
    ListFiles(String),
    ReadFile {
        path: String,
        offset: u64,
        length: Option<u64>,
    },
    Change(Change),
    LogLevel(u32, std::time::Duration),
    /// One of the large answers.
    Large(Large),
    Roles,
    Subscribe,
}

fn validate(call: Call) -> Result<Asked, Refusal> {
    // An unknown type was dropped by the reader, so unset and unknown are one.
    let kind = call.r#type.and_then(|n| Type::try_from(n).ok());
    let kind = kind.ok_or_else(|| absent(KIND, "type"))?;
    match kind {
        Type::Unknown => Err(Refusal::unknown_call()),
        Type::GetMetrics => match call.get_metrics {
            Some(_) => Ok(Asked::Read(kind)),
            None => Err(absent(KIND, "get_metrics")),
        },
        Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetLoggingLevel
        | Type::GetOperations
        | Type::GetWeights
        | Type::GetMaster
        | Type::GetMaintenanceStatus
        | Type::GetMaintenanceSchedule
        | Type::GetQuota => Ok(Asked::Read(kind)),
        Type::GetRoles => Ok(Asked::Roles),
        Type::GetState => Ok(Asked::Large(Large::State)),
        Type::GetAgents => Ok(Asked::Large(Large::Agents)),
        Type::GetFrameworks => Ok(Asked::Large(Large::Frameworks)),
        Type::GetExecutors => Ok(Asked::Large(Large::Executors)),
        Type::GetTasks => Ok(Asked::Large(Large::Tasks)),
        Type::Subscribe => Ok(Asked::Subscribe),
        Type::SetLoggingLevel => {
            let set = call.set_logging_level.ok_or_else(|| absent(KIND, "set_logging_level"))?;
            let nanoseconds = u64::try_from(set.duration.nanoseconds).unwrap_or(0);
            Ok(Asked::LogLevel(set.level, std::time::Duration::from_nanos(nanoseconds)))
        }
        Type::ListFiles => {
            let list = call.list_files.ok_or_else(|| absent(KIND, "list_files"))?;
            Ok(Asked::ListFiles(list.path))
        }
        Type::ReadFile => {
            let read = call.read_file.ok_or_else(|| absent(KIND, "read_file"))?;
            Ok(Asked::ReadFile { path: read.path, offset: read.offset, length: read.length })
        }
        other => match Change::of_call(other, call)? {
            Some(change) => Ok(Asked::Change(change)),
            None => Err(not_offered(other)),
        },
    }
}

/// Understood, and not done: better said than pretended.
fn not_offered(kind: Type) -> Refusal {
    Refusal::not_implemented(format!("{} is not offered by this master", kind.as_str_name()))
}

async fn answer(master: Shared, request: &Request, asked: Asked, media: Media) -> Answer {
    match asked {
        Asked::Large(what) => shared(&master, request, Shown::Large(what, media), media).await,
        Asked::Roles => shared(&master, request, Shown::GetRoles(media), media).await,
        // What is small and at hand does not wait behind what is large.
        Asked::Read(
            kind @ (Type::GetHealth
            | Type::GetFlags
            | Type::GetVersion
            | Type::GetLoggingLevel
            | Type::GetMaster),
        ) => respond(&master, &request.caller, kind, media),
        Asked::Read(kind) => {
            let (caller, answering) = (request.caller.clone(), Arc::clone(&master));
            master.workers.run(move || respond(&answering, &caller, kind, media)).await?
        }
        Asked::ListFiles(path) => {
            let file_infos = list_files(&master, &path).await?;
            let list_files = Some(response::ListFiles { file_infos });
            Ok(message(media, Kind::ListFiles, Response { list_files, ..Default::default() }))
        }
        Asked::ReadFile { path, offset, length } => {
            let chunk = read_file(&master, &path, offset, length).await?;
            let read_file = Some(response::ReadFile { size: chunk.size, data: chunk.data.into() });
            Ok(message(media, Kind::ReadFile, Response { read_file, ..Default::default() }))
        }
        Asked::LogLevel(level, duration) => {
            let _: Permit<SetLogLevel> = permits::permit(&master, &request.caller, [()])?;
            verbosity::set(level, duration);
            Ok(Reply::Done)
        }
        Asked::Change(change) => change.make(&master, &request.caller).await,
        Asked::Subscribe => subscribe(master, request, media).await,
    }
}

/// Answers with what all callers share who see everything; others get their own.
async fn shared(master: &Shared, request: &Request, shown: Shown, media: Media) -> Answer {
    let document = if sees_all(&master.sight(&request.caller)) {
        let packed = media::accepts_gzip(&request.headers);
        master.documents.get(master, shown, packed).await?
    } else {
        let (caller, answering) = (request.caller.clone(), Arc::clone(master));
        let render = move || answering.view(&caller, |view| shown.render(view));
        Arc::new(Document::new(master.workers.run(render).await?))
    };
    Ok(Reply::Document { media, document, conditional: false })
}

/// Opens a stream of events, which begins with all there is.
async fn subscribe(master: Shared, request: &Request, media: Media) -> Answer {
    let caller = &request.caller;
    if !sees_all(&master.sight(caller)) {
        // Events are rendered once, for all subscribers.
        return Err(Refusal::forbidden_because("Events are for those who may see everything"));
    }
    let name = caller.principal().map_or_else(|| caller.address().ip().to_string(), str::to_owned);
    let opening = master.operators.open(name, media, &master.snapshots).await;
    let (opening, watched) = opening.map_err(|why| Refusal::unavailable(why.to_string()))?;
    let watching = Arc::clone(&master);
    tokio::spawn(async move { watching.operators.watch(watched).await });
    let (rendering, snapshot) = (Arc::clone(&master), Arc::clone(&opening.snapshot));
    let render = move || {
        let interval = rendering.operators.heartbeat_interval().as_secs_f64();
        rendering.view_of(&snapshot).subscribed(interval, media)
    };
    let subscribed = master.workers.run(render).await?;
    let mut records = Weaver::default();
    records.text(format!("{}\n", subscribed.len()).as_bytes());
    records.rope(&subscribed);
    records.text(&frame(&encode(media, &heartbeat(), Style::V1)));
    let records = opening.greet(records.finish().iter().collect());
    Ok(Reply::Stream { media, headers: Vec::new(), records })
}

/// Hands a command to the engine and answers as it says.
pub(super) async fn command(master: &Arc<Master>, command: OperatorCommand) -> Answer {
    let answer = master.inbox.ask(|request| Event::Operator { request, command }).await;
    match answer.map_err(stopping)? {
        Ok(Accepted::Done) => Ok(Reply::Done),
        Ok(Accepted::Accepted) => Ok(Reply::Accepted),
        Err(refusal) => Err(refused(&refusal)),
    }
}

/// A response as the generic writer prints it.
fn message(media: Media, kind: Kind, mut response: Response) -> Reply {
    response.r#type = Some(kind as i32);
    reply(media, &response, Style::V1)
}

/// The answers from memory.
fn respond(
    master: &Master,
    caller: &endpoints::access::Caller,
    kind: Type,
    media: Media,
) -> Answer {
    let mut response = Response::default();
    let (kind, style) = match kind {
        Type::GetHealth => {
            response.get_health = Some(response::GetHealth { healthy: true });
            (Kind::GetHealth, Style::V1)
        }
        Type::GetFlags => {
            let flag = |(name, value): (&String, &String)| v1::Flag {
                name: name.clone(),
                value: Some(value.clone()),
            };
            let flags = master.program.flags.iter().map(flag).collect();
            response.get_flags = Some(response::GetFlags { flags });
            (Kind::GetFlags, Style::V1)
        }
        Type::GetVersion => {
            let build = &master.program.build;
            response.get_version = Some(response::GetVersion {
                version_info: v1::VersionInfo {
                    version: build.version.clone(),
                    build_date: Some(build.date.clone()),
                    build_time: Some(build.time),
                    build_user: Some(build.user.clone()),
                    git_sha: build.git_sha.clone(),
                    git_branch: build.git_branch.clone(),
                    git_tag: build.git_tag.clone(),
                },
            });
            (Kind::GetVersion, Style::V1)
        }
        Type::GetMetrics => {
            let metric = |(name, value)| v1::Metric { name, value: Some(value) };
            let metrics = all_metrics(master).into_iter().map(metric).collect();
            response.get_metrics = Some(response::GetMetrics { metrics });
            (Kind::GetMetrics, Style::V1)
        }
        Type::GetLoggingLevel => {
            response.get_logging_level =
                Some(response::GetLoggingLevel { level: verbosity::level() });
            (Kind::GetLoggingLevel, Style::V1)
        }
        state => return master.view(caller, |view| respond_state(view, state, media)),
    };
    response.r#type = Some(kind as i32);
    Ok(reply(media, &response, style))
}

/// The small answers from the snapshot.
fn respond_state(view: crate::views::View<'_>, kind: Type, media: Media) -> Answer {
    let mut response = Response::default();
    let (kind, style) = match kind {
        Type::GetOperations => {
            response.get_operations = Some(view.get_operations());
            (Kind::GetOperations, Style::V1)
        }
        Type::GetMaster => {
            response.get_master = Some(view.get_master());
            (Kind::GetMaster, Style::V1)
        }
        Type::GetWeights => {
            let weight_infos = view.weights();
            response.get_weights =
                (!weight_infos.is_empty()).then_some(response::GetWeights { weight_infos });
            (Kind::GetWeights, Style::V1)
        }
        Type::GetQuota => {
            response.get_quota = Some(response::GetQuota { status: view.quota_status() });
            (Kind::GetQuota, Style::V1)
        }
        Type::GetMaintenanceStatus => {
            let status = view.maintenance_status();
            response.get_maintenance_status = Some(response::GetMaintenanceStatus { status });
            (Kind::GetMaintenanceStatus, Style::V1)
        }
        Type::GetMaintenanceSchedule => {
            let schedule = view.schedule();
            response.get_maintenance_schedule = Some(response::GetMaintenanceSchedule { schedule });
            (Kind::GetMaintenanceSchedule, Style::V1)
        }
        other => return Err(not_offered(other)),
    };
    response.r#type = Some(kind as i32);
    Ok(reply(media, &response, style))
}
