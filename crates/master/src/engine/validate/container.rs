//! Commands and containers, of tasks and of executors.

use wire::v1;

pub(super) fn command(command: &v1::CommandInfo) -> Result<(), String> {
    let Some(environment) = &command.environment else { return Ok(()) };
    environment.variables.iter().try_for_each(variable)
}

fn variable(variable: &v1::environment::Variable) -> Result<(), String> {
    use v1::environment::variable::Type;
    let name = &variable.name;
    match variable.r#type() {
        Type::Value if variable.value.is_none() => {
            Err(format!("Environment variable '{name}' of type 'VALUE' must have a value set"))
        }
        Type::Value if variable.secret.is_some() => {
            Err(format!("Environment variable '{name}' of type 'VALUE' must not have a secret set"))
        }
        Type::Value => Ok(()),
        Type::Secret => {
            let Some(secret) = &variable.secret else {
                return Err(format!(
                    "Environment variable '{name}' of type 'SECRET' must have a secret set"
                ));
            };
            if variable.value.is_some() {
                return Err(format!(
                    "Environment variable '{name}' of type 'SECRET' must not have a value set"
                ));
            }
            self::secret(secret).map_err(|error| {
                format!("Environment variable '{name}' specifies an invalid secret: {error}")
            })?;
            if secret.value.as_ref().is_some_and(|value| value.data.contains(&0)) {
                return Err(format!(
                    "Environment variable '{name}' specifies a secret containing null bytes, \
                     which is not allowed in the environment"
                ));
            }
            Ok(())
        }
        Type::Unknown => Err("Environment variable of type 'UNKNOWN' is not allowed".to_owned()),
    }
}

fn secret(secret: &v1::Secret) -> Result<(), String> {
    use v1::secret::Type;
    match (secret.r#type(), &secret.reference, &secret.value) {
        (Type::Reference, None, _) => {
            Err("Secret of type REFERENCE must have the 'reference' field set".to_owned())
        }
        (Type::Reference, Some(reference), Some(_)) => Err(format!(
            "Secret '{}' of type REFERENCE must not have the 'value' field set",
            reference.name
        )),
        (Type::Value, _, None) => {
            Err("Secret of type VALUE must have the 'value' field set".to_owned())
        }
        (Type::Value, Some(_), Some(_)) => {
            Err("Secret of type VALUE must not have the 'reference' field set".to_owned())
        }
        _ => Ok(()),
    }
}

pub(super) fn container(container: &v1::ContainerInfo) -> Result<(), String> {
    for volume in &container.volumes {
        self::volume(volume).map_err(|error| format!("Invalid volume: {error}"))?;
    }
    if container.r#type() != v1::container_info::Type::Docker {
        return Ok(());
    }
    let Some(docker) = &container.docker else {
        return Err("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned());
    };
    if docker.parameters.iter().any(|parameter| parameter.key == "name") {
        return Err("Parameter in DockerInfo must not be 'name'".to_owned());
    }
    Ok(())
}

fn volume(volume: &v1::Volume) -> Result<(), String> {
    let given = [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err("Only one of them should be set: 'host_path', 'image' and 'source'".to_owned());
    }
    if let Some(source) = &volume.source {
        self::source(source)?;
    }
    // The original leaves these two to the agent.
    if volume.container_path.is_empty() {
        return Err("'container_path' is empty".to_owned());
    }
    if climbs(&volume.container_path) {
        return Err(format!("'container_path' {} contains '..'", volume.container_path));
    }
    Ok(())
}

fn climbs(path: &str) -> bool {
    path.split('/').any(|component| component == "..")
}

fn source(source: &v1::volume::Source) -> Result<(), String> {
    use v1::volume::source::Type;
    let (set, text) = match source.r#type() {
        Type::DockerVolume => (
            source.docker_volume.is_some(),
            "'source.docker_volume' is not set for DOCKER_VOLUME volume",
        ),
        Type::HostPath => {
            (source.host_path.is_some(), "'source.host_path' is not set for HOST_PATH volume")
        }
        Type::SandboxPath => (
            source.sandbox_path.is_some(),
            "'source.sandbox_path' is not set for SANDBOX_PATH volume",
        ),
        Type::Secret => (source.secret.is_some(), "'source.secret' is not set for SECRET volume"),
        Type::CsiVolume => {
            let volume = source.csi_volume.as_ref();
            if volume.is_some_and(|volume| volume.static_provisioning.is_none()) {
                return Err(
                    "'source.csi_volume.static_provisioning' is not set for CSI volume".to_owned()
                );
            }
            (volume.is_some(), "'source.csi_volume' is not set for CSI volume")
        }
        Type::Unknown => return Err("'source.type' is unknown".to_owned()),
    };
    if !set {
        return Err(text.to_owned());
    }
    if source.sandbox_path.as_ref().is_some_and(|sandbox| climbs(&sandbox.path)) {
        return Err("'source.sandbox_path.path' contains '..'".to_owned());
    }
    Ok(())
}

/// What a container says of `share_cgroups`, if it says anything.
pub(super) fn share_cgroups(container: Option<&v1::ContainerInfo>) -> Option<bool> {
    container?.linux_info.as_ref()?.share_cgroups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_one_source_and_stays_in_its_place() {
        use v1::volume::source::{SandboxPath, Type};
        let host = v1::Volume {
            container_path: "data".into(),
            host_path: Some("/srv".into()),
            ..v1::Volume::default()
        };
        assert_eq!(volume(&host), Ok(()));
        let neither = v1::Volume { host_path: None, ..host.clone() };
        let both = v1::Volume { source: Some(Default::default()), ..host.clone() };
        for wrong in [neither, both] {
            assert!(volume(&wrong).unwrap_err().starts_with("Only one of them should be set"));
        }
        let up = v1::Volume { container_path: "a/../..".into(), ..host.clone() };
        assert!(volume(&up).unwrap_err().contains("'..'"));

        let of = |kind: Type| {
            let mut source = v1::volume::Source::default();
            source.set_type(kind);
            source
        };
        assert_eq!(source(&of(Type::Unknown)), Err("'source.type' is unknown".into()));
        assert_eq!(
            source(&of(Type::SandboxPath)),
            Err("'source.sandbox_path' is not set for SANDBOX_PATH volume".into())
        );
        let sandbox = |path: &str| v1::volume::Source {
            sandbox_path: Some(SandboxPath { path: path.into(), ..SandboxPath::default() }),
            ..of(Type::SandboxPath)
        };
        assert_eq!(source(&sandbox("cache")), Ok(()));
        assert!(source(&sandbox("../cache")).is_err());
    }

    #[test]
    fn a_secret_is_what_its_type_says_and_holds_no_null_bytes_in_an_environment() {
        use v1::environment::variable::Type as Kind;
        use v1::secret::{Reference, Type, Value};
        let value = |data: &'static [u8]| Some(Value { data: data.into() });
        let reference = || Some(Reference { name: "db".into(), key: None });
        let of = |kind: Type, reference, value| {
            let mut secret = v1::Secret { reference, value, ..v1::Secret::default() };
            secret.set_type(kind);
            secret
        };
        let said = |secret: v1::Secret| {
            let mut variable = v1::environment::Variable {
                name: "A".into(),
                secret: Some(secret),
                ..v1::environment::Variable::default()
            };
            variable.set_type(Kind::Secret);
            super::variable(&variable)
        };
        assert_eq!(said(of(Type::Reference, reference(), None)), Ok(()));
        assert_eq!(said(of(Type::Value, None, value(b"x"))), Ok(()));
        for (secret, text) in [
            (of(Type::Reference, None, None), "must have the 'reference' field set"),
            (of(Type::Reference, reference(), value(b"x")), "must not have the 'value' field set"),
            (of(Type::Value, None, None), "must have the 'value' field set"),
            (of(Type::Value, reference(), value(b"x")), "must not have the 'reference' field set"),
            (of(Type::Value, None, value(b"a\0b")), "null bytes"),
        ] {
            let error = said(secret).unwrap_err();
            assert!(error.contains(text), "{error}");
            assert!(!error.contains('\0'), "a secret is not repeated");
        }
    }
}
