//! What `mesos-execute` takes.

use crate::row::Default::{Required, Unset, Value};
use crate::row::Effect::{Honoured, NoEffectYet, Refused};
use crate::row::Kind::{Bool, Duration, Json, Set, String};
use crate::row::{JsonShape, Place, Program, Restricts, Row, Section, Sensitivity};

pub(super) const TASK: Section = Section {
    title: "Execute",
    programs: &[Program::Execute],
    place: Place::Flags,
    rows: &[
        Row::new("master", String, Required, Honoured, "Where the master is: `host:port`.")
            .sensitivity(Sensitivity::Url),
        Row::new(
            "task",
            Json(JsonShape::Object),
            Unset,
            Honoured,
            "The task as a `TaskInfo`. Not together with `--task_group`.",
        )
        .sensitivity(Sensitivity::Secret),
        Row::new(
            "task_group",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "Tasks that run together, as a `TaskGroupInfo`.",
        )
        .sensitivity(Sensitivity::Secret),
        Row::new(
            "name",
            String,
            Unset,
            Honoured,
            "The task's name and id. Needed unless `--task` or `--task_group`.",
        ),
        Row::new(
            "command",
            String,
            Unset,
            Honoured,
            "What to run. Needed with `--shell` unless `--task` or `--task_group`.",
        ),
        Row::new("shell", Bool, Value("true"), Honoured, "Whether the command is for a shell."),
        Row::new(
            "env",
            Json(JsonShape::Strings),
            Unset,
            Honoured,
            "The task's environment: `{\"name\": \"value\", …}`.",
        )
        .sensitivity(Sensitivity::Secret),
        Row::new("resources", String, Value("cpus:1;mem:128"), Honoured, "What the task needs."),
        Row::new("role", String, Value("*"), Honoured, "The role of the framework."),
        Row::new(
            "checkpoint",
            Bool,
            Value("false"),
            Honoured,
            "Let the task survive a restart of its agent.",
        ),
        Row::new("kill_after", Duration, Unset, Honoured, "Kill the task when it has run so long."),
        Row::new(
            "principal",
            String,
            Unset,
            Honoured,
            "Who the framework says it is, in `FrameworkInfo`; with `--secret` also who authenticates.",
        ),
        Row::new(
            "secret",
            String,
            Unset,
            Honoured,
            "What the principal authenticates with, by HTTP Basic.",
        )
        .sensitivity(Sensitivity::Secret),
        Row::new(
            "content_type",
            String,
            Value("protobuf"),
            Honoured,
            "How to talk to the master: `protobuf` or `json`.",
        ),
        Row::new(
            "containerizer",
            String,
            Value("mesos"),
            Refused(Restricts::Unless(&["mesos"])),
            "Who starts the container: `mesos` or `docker`.",
        ),
        Row::new(
            "docker_image",
            String,
            Unset,
            Refused(Restricts::Given),
            "The Docker image to run in.",
        ),
        Row::new(
            "appc_image",
            String,
            Unset,
            Refused(Restricts::Given),
            "The appc image to run in.",
        ),
        Row::new(
            "networks",
            String,
            Unset,
            Refused(Restricts::Given),
            "The networks to join, separated by commas.",
        ),
        Row::new(
            "volumes",
            Json(JsonShape::Array),
            Unset,
            Refused(Restricts::Given),
            "The volumes of the container.",
        ),
        Row::new(
            "effective_capabilities",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "The Linux capabilities that the task has.",
        ),
        Row::new(
            "bounding_capabilities",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "The Linux capabilities that the task may have at most.",
        ),
        Row::new(
            "rlimits",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "Limits of the task's process.",
        ),
        Row::new(
            "tty",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Give the task a terminal.",
        ),
        Row::new(
            "framework_capabilities",
            Set,
            Unset,
            Honoured,
            "What else the framework can do; `GPU_RESOURCES` only.",
        ),
        Row::new(
            "partition_aware",
            Bool,
            Value("true"),
            Honoured,
            "Let the task live on when its agent becomes unreachable.",
        ),
        Row::new(
            "package",
            String,
            Unset,
            Refused(Restricts::Given),
            "A file to put into HDFS and to fetch into the sandbox.",
        ),
        Row::new("overwrite", Bool, Value("false"), NoEffectYet, "Replace it in HDFS."),
        Row::new("hadoop", String, Value("hadoop"), NoEffectYet, "Hadoop's client program."),
        Row::new("hdfs", String, Value("localhost:9000"), NoEffectYet, "The address of HDFS."),
    ],
};
