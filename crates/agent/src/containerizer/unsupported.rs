//! What a container may ask for and does not get here. It is refused by name: nobody shall
//! believe to be confined who is not.

use wire::v1::{ContainerInfo, container_info};

use super::LaunchError;

/// Refuses everything that running a plain process cannot give.
pub(super) fn check(container: &ContainerInfo) -> Result<(), LaunchError> {
    let linux = container.linux_info.as_ref();
    #[expect(deprecated, reason = "whoever still uses the old name asks for the same")]
    let capabilities = linux.is_some_and(|linux| {
        linux.capability_info.is_some()
            || linux.bounding_capabilities.is_some()
            || linux.effective_capabilities.is_some()
    });
    let asked = [
        (container.r#type() == container_info::Type::Docker, "Docker containers"),
        (container.docker.is_some(), "Docker containers"),
        (container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()), "container images"),
        (!container.volumes.is_empty(), "volumes"),
        (container.hostname.is_some(), "a hostname for the container"),
        (!container.network_infos.is_empty(), "networks for the container"),
        (container.rlimit_info.is_some(), "resource limits of processes"),
        (container.tty_info.is_some(), "terminals"),
        (capabilities, "Linux capabilities"),
        (linux.is_some_and(|linux| linux.seccomp.is_some()), "seccomp profiles"),
        (
            linux.is_some_and(|linux| {
                linux.ipc_mode.is_some()
                    || linux.shm_size.is_some()
                    // Asked to be alone; sharing is what happens anyway.
                    || linux.share_pid_namespace == Some(false)
            }),
            "namespaces of the container's own",
        ),
    ];
    match asked.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => {
            Err(LaunchError::Unsupported(format!("This agent does not support {what} yet")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use wire::v1;

    use super::*;

    #[test]
    fn what_is_not_given_is_refused_by_name() {
        let plain = ContainerInfo {
            r#type: container_info::Type::Mesos.into(),
            ..ContainerInfo::default()
        };
        check(&plain).unwrap();
        let docker = ContainerInfo { r#type: container_info::Type::Docker.into(), ..plain.clone() };
        let image = ContainerInfo {
            mesos: Some(container_info::MesosInfo { image: Some(v1::Image::default()) }),
            ..plain.clone()
        };
        let volumes = ContainerInfo { volumes: vec![v1::Volume::default()], ..plain.clone() };
        let capabilities = ContainerInfo {
            linux_info: Some(v1::LinuxInfo {
                effective_capabilities: Some(v1::CapabilityInfo::default()),
                ..v1::LinuxInfo::default()
            }),
            ..plain
        };
        for (asked, what) in [
            (docker, "Docker"),
            (image, "images"),
            (volumes, "volumes"),
            (capabilities, "capabilities"),
        ] {
            let error = check(&asked).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
