//! Containers whose agent went away.

use alcazar_agent::containerizer::Containerizer as _;

use crate::fixture::{Place, await_end, has_ended, id, launch, line_of, pid, run};

/// Starts a container with a containerizer that then is gone, as the agent's would be.
fn leave_behind(place: &Place, container: &str, text: &str) -> (u32, String) {
    run(async {
        let containerizer = place.containerizer();
        let launched = launch(&containerizer, place.shell(container, text)).await;
        (launched.pid, line_of(&place.sandbox(container).join("stdout")).await)
    })
}

pub(crate) fn a_container_survives_its_agent() {
    let place = Place::new();
    let (first, program) = leave_behind(&place, "c", "echo $$; while :; do sleep 1000; done");
    assert!(!has_ended(pid(&program)));
    run(async {
        let containerizer = place.containerizer();
        containerizer.recover(vec![place.recovered("c", first)]).await.unwrap();
        let status = containerizer.status(&id("c")).await.unwrap();
        assert_eq!(status.executor_pid, Some(first));
        assert!(!has_ended(pid(&program)));
        containerizer.destroy(&id("c")).await;
        assert!(has_ended(pid(&program)));
        assert!(containerizer.wait(&id("c")).await.is_some());
        assert_eq!(place.records(), 0);
    });
}

pub(crate) fn nothing_survives_a_recovered_container_that_is_killed() {
    let place = Place::new();
    let sandbox = place.sandbox("c").display().to_string();
    // A program whose child does not die with it.
    let text = format!(
        "export MESOS_DIRECTORY={sandbox}; sh -c 'echo $$; while :; do sleep 1000; done'; :"
    );
    let (first, child) = leave_behind(&place, "c", &text);
    run(async {
        let containerizer = place.containerizer();
        containerizer.recover(vec![place.recovered("c", first)]).await.unwrap();
        let first = pid(&first.to_string());
        rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
        containerizer.wait(&id("c")).await.unwrap();
        assert!(has_ended(pid(&child)));
    });
}

pub(crate) fn a_container_that_ended_meanwhile_has_ended() {
    let place = Place::new();
    let (first, program) = leave_behind(&place, "c", "mkfifo go; echo $$; read x < go");
    std::fs::write(place.sandbox("c").join("go"), "\n").unwrap();
    await_end(pid(&program));
    await_end(pid(&first.to_string()));
    run(async {
        let containerizer = place.containerizer();
        let never_ran = {
            let mut recovered = place.recovered("d", first);
            recovered.pid = None;
            recovered
        };
        containerizer.recover(vec![place.recovered("c", first), never_ran]).await.unwrap();
        for container in ["c", "d"] {
            let termination = containerizer.wait(&id(container)).await.unwrap();
            assert_eq!(termination.status, None);
            assert_eq!(containerizer.status(&id(container)).await, None);
        }
        assert_eq!(place.records(), 0);
    });
}

pub(crate) fn a_container_that_nobody_knows_is_ended() {
    let place = Place::new();
    let (first, program) = leave_behind(&place, "c", "echo $$; while :; do sleep 1000; done");
    run(async {
        let containerizer = place.containerizer();
        // The first process cannot do what it is asked, and so takes its time to end.
        let stopped = pid(&first.to_string());
        rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
        containerizer.recover(Vec::new()).await.unwrap();
        assert!(!has_ended(stopped), "the recovery waits for nobody");
        assert_eq!(place.records(), 1);
        containerizer.destroy(&id("c")).await;
        assert!(has_ended(pid(&program)));
        assert!(has_ended(pid(&first.to_string())));
        assert_eq!(place.records(), 0);
    });
}
