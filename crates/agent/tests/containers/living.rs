//! Containers from launch to end.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use alcazar_agent::containerizer::{
    Containerizer as _, LaunchError, LaunchRequest, RunAs, VolumeLink,
};
use launch::exit::Exit;
use launch::material::{Material, VARIABLE};
use wire::v1;

use crate::fixture::{Place, exit, has_ended, id, launch, line_of, pid, run, run_to_end, secrets};

pub(crate) fn a_container_lives_and_ends() {
    run(async {
        let place = Place::new();
        let containerizer = place.containerizer();
        let request = place.shell("c", "echo out; echo err >&2; read x < go; exit 3");
        // A pipe that the program waits on, so that it is there while we look.
        let sandbox = request.sandbox.clone();
        let launching = containerizer.launch(with_pipe(request));
        let launched = launching.await.unwrap();
        assert_eq!(line_of(&sandbox.join("stdout")).await, "out");

        let written = std::fs::read_to_string(place.checkpoint("c")).unwrap();
        assert_eq!(written, launched.pid.to_string());
        let status = containerizer.status(&id("c")).await.unwrap();
        assert_eq!(status.executor_pid, Some(launched.pid));
        assert_eq!(status.network_infos[0].ip_addresses[0].ip_address(), "127.0.0.2");
        let usage = containerizer.usage(&id("c")).await.unwrap();
        assert!(usage.processes() >= 1 && usage.mem_rss_bytes() > 0, "{usage:?}");
        containerizer.update(&id("c"), Vec::new(), Vec::new()).await.unwrap();
        assert_eq!(place.records(), 1);

        std::fs::write(sandbox.join("go"), "\n").unwrap();
        let termination = containerizer.wait(&id("c")).await.unwrap();
        assert_eq!(exit(&termination), Some(Exit::Code(3)));
        assert_eq!(containerizer.wait(&id("c")).await, Some(termination), "asked again");
        assert_eq!(containerizer.status(&id("c")).await, None);
        assert_eq!(place.output("c", "stderr"), "err\n");
        assert_eq!(place.output("latest", "stdout"), "out\n");
        assert_eq!(place.records(), 0);
        assert!(has_ended(pid(&launched.pid.to_string())));
    });
}

/// The request with a program that first makes the pipe `go`.
/// A volume outlives the containers that use it.
pub(crate) fn a_volume_is_in_the_sandbox_and_stays_when_the_container_ends() {
    run(async {
        let place = Place::new();
        let volume = |name: &str| {
            let directory = place.sandbox("c").with_file_name(name);
            std::fs::create_dir_all(&directory).unwrap();
            VolumeLink { container_path: format!("mnt/{name}"), directory, shared: false }
        };
        let (first, second) = (volume("first"), volume("second"));
        let containerizer = place.containerizer();
        let mut request = place.shell("c", "echo kept > mnt/first/file; read x < go; ls mnt");
        request.volumes = vec![first.clone()];
        let sandbox = request.sandbox.clone();
        let launched = containerizer.launch(with_pipe(request)).await;
        launched.unwrap();
        // A later task of the same executor brings another one.
        let both = vec![first.clone(), second];
        containerizer.update(&id("c"), Vec::new(), both).await.unwrap();
        let mut broken = first.clone();
        broken.container_path = "../out".into();
        let error = containerizer.update(&id("c"), Vec::new(), vec![broken]).await.unwrap_err();
        assert!(error.to_string().contains("'../out'"), "{error}");
        std::fs::write(sandbox.join("go"), "\n").unwrap();
        containerizer.wait(&id("c")).await.unwrap();
        assert_eq!(place.output("c", "stdout"), "first\nsecond\n");
        assert_eq!(std::fs::read_to_string(first.directory.join("file")).unwrap(), "kept\n");

        let mut request = place.shell("d", "true");
        request.volumes = vec![VolumeLink { directory: "/no/such/volume".into(), ..first }];
        let error = containerizer.launch(request).await.unwrap_err();
        assert!(error.to_string().contains("'mnt/first'"), "{error}");
    });
}

fn with_pipe(mut request: LaunchRequest) -> LaunchRequest {
    if let Some(text) = request.command.arguments.last_mut() {
        *text = format!("mkfifo go; {text}");
    }
    request
}

pub(crate) fn a_shell_command_is_run_by_a_shell() {
    run(async {
        let place = Place::new();
        let mut request = place.request("c", &["x"]);
        request.command.shell = None;
        request.command.value = Some("exit $((1 + 4))".to_owned());
        let termination = run_to_end(&place.containerizer(), request).await.unwrap();
        assert_eq!(exit(&termination), Some(Exit::Code(5)));
    });
}

pub(crate) fn nothing_of_the_agent_is_inherited() {
    run(async {
        let place = Place::new();
        assert!(std::env::vars_os().count() > 1, "there is something to inherit");
        let left_open = rustix::io::dup(std::fs::File::open("/dev/null").unwrap()).unwrap();
        let mut request = place.request("c", &["/usr/bin/env"]);
        request.environment.insert("A".to_owned(), "a b".to_owned());
        let containerizer = place.containerizer();
        run_to_end(&containerizer, request).await.unwrap();
        assert_eq!(place.output("c", "stdout"), "A=a b\nPATH=/usr/bin:/bin\n");
        let look = "pwd; i=3; while [ $i -lt 256 ]; do \
                    [ -e /proc/$$/fd/$i ] && echo open: $i; i=$((i+1)); done";
        run_to_end(&containerizer, place.shell("d", look)).await.unwrap();
        drop(left_open);
        let sandbox = place.sandbox("d").canonicalize().unwrap();
        assert_eq!(place.output("d", "stdout"), format!("{}\n", sandbox.display()));
    });
}

pub(crate) fn the_material_is_on_standard_input_and_nowhere_else() {
    run(async {
        let place = Place::new();
        let mut request = place.shell("c", "cat > material; cat /proc/[0-9]*/environ > all; env");
        request.secrets = Some(secrets());
        let mut asked = request.clone();
        asked.container_id = id("d");
        asked.sandbox = place.sandbox("d");
        asked.pid_checkpoint = Some(place.checkpoint("d"));
        // The same, while another container's ancestors and stages are there to be looked at.
        let containerizer = place.containerizer();
        let (first, second) =
            tokio::join!(run_to_end(&containerizer, request), run_to_end(&containerizer, asked));
        for termination in [first.unwrap(), second.unwrap()] {
            assert_eq!(exit(&termination), Some(Exit::Code(0)));
        }
        let token = secrets().token.expose().to_owned();
        let material = std::fs::read(place.sandbox("c").join("material")).unwrap();
        let material = Material::decode(&material).unwrap();
        assert_eq!(material.token.expose(), token);
        assert_eq!(material.trust, secrets().trust);
        let output = place.output("c", "stdout");
        assert!(output.contains(&format!("{VARIABLE}=0\n")), "{output}");
        for container in ["c", "d"] {
            let all = std::fs::read(place.sandbox(container).join("all")).unwrap();
            assert!(!String::from_utf8_lossy(&all).contains(&token));
            assert!(!place.output(container, "stdout").contains(&token));
        }
        for file in walk(place.path()) {
            let bytes = std::fs::read(&file).unwrap();
            let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
            assert_eq!(found, file.ends_with("material"), "{}", file.display());
        }
    });
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(walk(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

/// Leaves a daemon behind, forked twice, in a session of its own, which writes its pid to
/// `daemon`.
const DAEMON: &str = "(setsid sh -c 'sh -c \"trap : TERM HUP INT; echo \\$\\$ > daemon; \
                      exec >&- 2>&-; while :; do sleep 1000; done\" &' &) ; ";

pub(crate) fn nothing_survives_a_destroyed_container() {
    run(async {
        let place = Place::new();
        let containerizer = place.containerizer();
        let text = format!("trap : TERM; {DAEMON} while :; do sleep 1000; done");
        let launched = launch(&containerizer, place.shell("c", &text)).await;
        let daemon = pid(&line_of(&place.sandbox("c").join("daemon")).await);
        assert!(!has_ended(daemon));
        containerizer.destroy(&id("c")).await;
        assert!(has_ended(daemon));
        assert!(has_ended(pid(&launched.pid.to_string())));
        let termination = containerizer.wait(&id("c")).await.unwrap();
        assert_eq!(exit(&termination), Some(Exit::Signal { number: 9, core_dumped: false }));
        containerizer.destroy(&id("c")).await;
    });
}

pub(crate) fn a_container_that_does_not_end_when_asked_is_killed() {
    run(async {
        let place = Place::new();
        let containerizer = place.containerizer();
        let text = format!("{DAEMON} while :; do sleep 1000; done");
        let launched = launch(&containerizer, place.shell("c", &text)).await;
        let daemon = pid(&line_of(&place.sandbox("c").join("daemon")).await);
        // The first process cannot do what it is asked.
        let first = pid(&launched.pid.to_string());
        rustix::process::kill_process(first, rustix::process::Signal::STOP).unwrap();
        containerizer.destroy(&id("c")).await;
        assert!(has_ended(daemon));
        assert!(has_ended(first));
    });
}

pub(crate) fn nothing_survives_a_killed_first_process() {
    run(async {
        let place = Place::new();
        let containerizer = place.containerizer();
        let mut request = place.shell("c", &format!("{DAEMON} while :; do sleep 1000; done"));
        let sandbox = request.sandbox.display().to_string();
        request.environment.insert("MESOS_SANDBOX".to_owned(), sandbox);
        let launched = launch(&containerizer, request).await;
        let daemon = pid(&line_of(&place.sandbox("c").join("daemon")).await);
        let first = pid(&launched.pid.to_string());
        rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
        let termination = containerizer.wait(&id("c")).await.unwrap();
        assert_eq!(exit(&termination), Some(Exit::Signal { number: 9, core_dumped: false }));
        assert!(has_ended(daemon));
    });
}

fn nobody() -> RunAs {
    RunAs::User("nobody".to_owned())
}

pub(crate) fn a_container_runs_as_its_user() {
    if !testkit::is_root() {
        testkit::skipped("only root can become another user");
        return;
    }
    run(async {
        let place = Place::new();
        let mut request =
            place.shell("c", "id -un; pwd; echo made > file; kill -9 $PPID; ls /root");
        request.run_as = nobody();
        let termination = run_to_end(&place.containerizer(), request).await.unwrap();
        assert_ne!(exit(&termination), Some(Exit::Code(0)));
        assert!(place.output("c", "stdout").starts_with("nobody\n"));
        assert!(place.output("c", "stderr").matches("denied").count() >= 1);
        let file = place.sandbox("c").join("file").metadata().unwrap();
        let sandbox = place.sandbox("c").metadata().unwrap();
        assert_ne!(file.uid(), 0);
        assert_eq!((file.uid(), file.gid()), (sandbox.uid(), sandbox.gid()));
        assert_eq!(sandbox.mode() & 0o777, 0o750);
    });
}

pub(crate) fn root_by_another_name_is_refused() {
    run(async {
        let place = Place::new();
        for name in ["root", "0", "no such user"] {
            let mut request = place.shell("c", "id > id");
            request.run_as = RunAs::User(name.to_owned());
            let error = run_to_end(&place.containerizer(), request).await.unwrap_err();
            assert!(matches!(&error, LaunchError::User { user, .. } if user == name), "{error}");
            assert!(!place.sandbox("c").exists());
        }
    });
}

pub(crate) fn a_user_that_cannot_reach_its_sandbox_is_told_which_directory() {
    if !testkit::is_root() {
        testkit::skipped("only root can become another user");
        return;
    }
    run(async {
        let place = Place::new();
        std::fs::set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
        let mut request = place.shell("c", "true");
        request.run_as = nobody();
        let error = run_to_end(&place.containerizer(), request).await.unwrap_err();
        let closed = place.path().canonicalize().unwrap();
        let expected = format!("cannot pass through '{}'", closed.display());
        assert!(error.to_string().contains(&expected), "{error}");
    });
}

pub(crate) fn what_is_not_supported_is_refused_before_anything_is_made() {
    run(async {
        let place = Place::new();
        let mut request = place.shell("c", "true");
        request.container = Some(v1::ContainerInfo {
            r#type: v1::container_info::Type::Docker.into(),
            ..v1::ContainerInfo::default()
        });
        let error = run_to_end(&place.containerizer(), request).await.unwrap_err();
        assert!(error.to_string().contains("does not support Docker"), "{error}");
        assert!(!place.sandbox("c").exists());
    });
}

pub(crate) fn a_program_that_is_not_there_ends_its_container() {
    run(async {
        let place = Place::new();
        let request = place.request("c", &["/no/such/program"]);
        let termination = run_to_end(&place.containerizer(), request).await.unwrap();
        assert_eq!(exit(&termination), Some(Exit::Code(127)));
        let errors = place.output("c", "stderr");
        assert!(errors.starts_with("Failed to execute '/no/such/program'"), "{errors}");
    });
}

pub(crate) fn strangers_are_unknown() {
    run(async {
        let containerizer = Place::new().containerizer();
        assert_eq!(containerizer.wait(&id("x")).await, None);
        assert_eq!(containerizer.status(&id("x")).await, None);
        assert!(containerizer.usage(&id("x")).await.is_none());
        assert!(containerizer.update(&id("x"), Vec::new(), Vec::new()).await.is_err());
        containerizer.destroy(&id("x")).await;
    });
}
