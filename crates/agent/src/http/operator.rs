//! The operator API: `POST /api/v1`.

use endpoints::call::{absent, read, reply};
use endpoints::common::{all_metrics, list_files, read_file};
use endpoints::media::{self, Media};
use endpoints::refusal::Refusal;
use endpoints::reply::{Answer, Reply};
use endpoints::request::Request;
use endpoints::route::Pending;
use endpoints::verbosity;
use wire::Limits;
use wire::json::Style;
use wire::v1;
use wire::v1::agent::call::Type;
use wire::v1::agent::response::{self, Type as Kind};
use wire::v1::agent::{Call, Response};

use super::{Agent, Shared};
use crate::views::containers;

/// The word in texts of failed validations.
const KIND: &str = "agent";

pub(super) fn call(agent: Shared, request: Request) -> Pending {
    Box::pin(async move {
        let call: Call = read(&request, &Limits::default())?;
        let asked = validate(call)?;
        let media = media::accept(&request.headers)?;
        answer(agent, asked, media).await
    })
}

/// A call that has what its type requires.
enum Asked {
    /// Answered from memory.
    Read(Type),
    Containers,
    LogLevel(u32, std::time::Duration),
    ListFiles(String),
    ReadFile {
        path: String,
        offset: u64,
        length: Option<u64>,
    },
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
        | Type::GetState
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetAgent
        | Type::GetResourceProviders => Ok(Asked::Read(kind)),
        Type::GetContainers => Ok(Asked::Containers),
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
        other => Err(not_offered(other)),
    }
}

/// Understood, and not done: better said than pretended.
fn not_offered(kind: Type) -> Refusal {
    Refusal::not_implemented(format!("{} is not offered by this agent", kind.as_str_name()))
}

async fn answer(agent: Shared, asked: Asked, media: Media) -> Answer {
    match asked {
        Asked::Read(kind) => {
            let task = move || respond(&agent, kind, media);
            tokio::task::spawn_blocking(task)
                .await
                .map_err(|e| Refusal::internal(format!("answering {}: {e}", kind.as_str_name())))?
        }
        Asked::Containers => {
            let snapshot = agent.snapshots.load_full();
            let all = containers(&snapshot, &agent.containerizer, |_, _, _| true).await;
            let containers = all.iter().map(crate::views::Measured::to_call).collect();
            let response = Response {
                r#type: Some(Kind::GetContainers.into()),
                get_containers: Some(response::GetContainers { containers }),
                ..Default::default()
            };
            Ok(reply(media, &response, Style::V1))
        }
        Asked::LogLevel(level, duration) => {
            verbosity::set(level, duration);
            Ok(Reply::Done)
        }
        Asked::ListFiles(path) => {
            let file_infos = list_files(&agent, &path).await?;
            let response = Response {
                r#type: Some(Kind::ListFiles.into()),
                list_files: Some(response::ListFiles { file_infos }),
                ..Default::default()
            };
            Ok(reply(media, &response, Style::V1))
        }
        Asked::ReadFile { path, offset, length } => {
            let chunk = read_file(&agent, &path, offset, length).await?;
            let response = Response {
                r#type: Some(Kind::ReadFile.into()),
                read_file: Some(response::ReadFile { size: chunk.size, data: chunk.data.into() }),
                ..Default::default()
            };
            Ok(reply(media, &response, Style::V1))
        }
    }
}

/// The answers from memory. Some are written by hand in the original, which shows in their JSON.
fn respond(agent: &Agent, kind: Type, media: Media) -> Answer {
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
            let flags = agent.program.flags.iter().map(flag).collect();
            response.get_flags = Some(response::GetFlags { flags });
            (Kind::GetFlags, Style::V1)
        }
        Type::GetVersion => {
            let build = &agent.program.build;
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
            let metrics = all_metrics(agent).into_iter().map(metric).collect();
            response.get_metrics = Some(response::GetMetrics { metrics });
            (Kind::GetMetrics, Style::V1)
        }
        Type::GetLoggingLevel => {
            response.get_logging_level =
                Some(response::GetLoggingLevel { level: verbosity::level() });
            (Kind::GetLoggingLevel, Style::V1)
        }
        Type::GetState => {
            response.get_state = Some(agent.view(|view| view.get_state()));
            (Kind::GetState, Style::AGENT_READ)
        }
        Type::GetFrameworks => {
            response.get_frameworks = Some(agent.view(|view| view.get_frameworks()));
            (Kind::GetFrameworks, Style::AGENT_READ)
        }
        Type::GetExecutors => {
            response.get_executors = Some(agent.view(|view| view.get_executors()));
            (Kind::GetExecutors, Style::AGENT_READ)
        }
        Type::GetTasks => {
            response.get_tasks = Some(agent.view(|view| view.get_tasks()));
            (Kind::GetTasks, Style::AGENT_READ)
        }
        Type::GetAgent => {
            response.get_agent = Some(agent.view(|view| view.get_agent()));
            (Kind::GetAgent, Style::V1)
        }
        Type::GetOperations => {
            response.get_operations = Some(agent.view(|view| view.get_operations()));
            (Kind::GetOperations, Style::V1)
        }
        // There are none of these, and no call that would make one.
        Type::GetResourceProviders => {
            response.get_resource_providers = Some(response::GetResourceProviders::default());
            (Kind::GetResourceProviders, Style::V1)
        }
        other => return Err(not_offered(other)),
    };
    response.r#type = Some(kind.into());
    Ok(reply(media, &response, style))
}
