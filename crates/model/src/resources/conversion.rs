//! What operations make of resources.

use super::{Reservation, Resource, Resources, Scalar, Value};

/// Why resources cannot be converted. The texts are the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// What is to be consumed is not there.
    #[error("{resources} does not contain {consumed}")]
    NotContained {
        /// What there is.
        resources: Resources,
        /// What was to be consumed.
        consumed: Resources,
    },
    /// A shared volume is to be destroyed of which there are more copies.
    #[error("Persistent volume {0} cannot be removed due to additional shared copies")]
    SharedCopies(Resource),
    /// The resource is not reserved, so nothing can be taken off or put on.
    #[error("Resource {0} is not reserved")]
    NotReserved(Resource),
    /// The resource is no persistent volume.
    #[error("Resource {0} is not a persistent volume")]
    NotAVolume(Resource),
    /// The amount is no scalar above zero and below the volume's size.
    #[error("Invalid size for persistent volume {0}")]
    Size(Resource),
    /// The volume belongs to a resource provider.
    #[error("Operation not supported for resource provider")]
    Provider,
}

/// What an operation takes and gives, one step after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    consumed: Resources,
    converted: Resources,
    /// The volume of which no copy may be left.
    gone: Option<Resource>,
}

impl Step {
    fn new(consumed: impl Into<Resources>, converted: impl Into<Resources>) -> Self {
        Self { consumed: consumed.into(), converted: converted.into(), gone: None }
    }
}

impl Conversion {
    /// The conversion of `consumed` into `converted`: what an agent or a provider reports of
    /// CREATE_DISK or DESTROY_DISK.
    #[must_use]
    pub fn of(consumed: Resources, converted: Resources) -> Self {
        Self(vec![Step::new(consumed, converted)])
    }

    /// RESERVE: each of `reserved` comes from the same with one reservation less.
    pub fn reserve(reserved: &Resources) -> Result<Self, ConversionError> {
        let step = |resource: &Resource| {
            if resource.is_unreserved() {
                return Err(ConversionError::NotReserved(resource.clone()));
            }
            Ok(Step::new(resource.pop_reservation(), resource.clone()))
        };
        reserved.iter().map(step).collect::<Result<_, _>>().map(Self)
    }

    /// RESERVE with a source: `source`, however reserved, becomes `reserved`.
    #[must_use]
    pub fn re_reserve(source: &Resources, reserved: &Resources) -> Self {
        Self::of(source.clone(), reserved.clone())
    }

    /// UNRESERVE: each of `reserved` loses its innermost reservation.
    pub fn unreserve(reserved: &Resources) -> Result<Self, ConversionError> {
        let step = |resource: &Resource| {
            if resource.is_unreserved() {
                return Err(ConversionError::NotReserved(resource.clone()));
            }
            Ok(Step::new(resource.clone(), resource.pop_reservation()))
        };
        reserved.iter().map(step).collect::<Result<_, _>>().map(Self)
    }

    /// CREATE: each of `volumes` comes from the disk space beneath it.
    pub fn create(volumes: &Resources) -> Result<Self, ConversionError> {
        let step = |volume: &Resource| {
            volume_only(volume)?;
            Ok(Step::new(volume.without_volume(), volume.clone()))
        };
        volumes.iter().map(step).collect::<Result<_, _>>().map(Self)
    }

    /// DESTROY: each of `volumes` becomes the disk space beneath it. A shared volume of which
    /// there are more copies than given is not destroyed.
    pub fn destroy(volumes: &Resources) -> Result<Self, ConversionError> {
        let step = |volume: &Resource| {
            volume_only(volume)?;
            Ok(Step {
                gone: Some(volume.clone()),
                ..Step::new(volume.clone(), volume.without_volume())
            })
        };
        volumes.iter().map(step).collect::<Result<_, _>>().map(Self)
    }

    /// GROW_VOLUME: `volume` and the disk space `addition` become one volume.
    pub fn grow_volume(volume: &Resource, addition: &Resource) -> Result<Self, ConversionError> {
        let (size, more) = (volume_size(volume)?, size_of(addition)?);
        let consumed = Resources::from_iter([volume.clone(), addition.clone()]);
        let grown = volume.with_value(Value::Scalar(size.plus(more)));
        Ok(Self::of(consumed, grown.into()))
    }

    /// SHRINK_VOLUME: `subtract` of `volume` becomes disk space again. Something must be left.
    pub fn shrink_volume(volume: &Resource, subtract: Scalar) -> Result<Self, ConversionError> {
        let size = volume_size(volume)?;
        if subtract.is_zero() || subtract >= size {
            return Err(ConversionError::Size(volume.clone()));
        }
        let shrunk = volume.with_value(Value::Scalar(size.minus(subtract)));
        let freed = volume.without_volume().with_value(Value::Scalar(subtract));
        Ok(Self::of(volume.clone().into(), Resources::from_iter([shrunk, freed])))
    }

    /// All that it takes; what one step gives and the next takes is in both.
    #[must_use]
    pub fn consumed(&self) -> Resources {
        self.sum(|step| &step.consumed)
    }

    /// All that it gives; what one step gives and the next takes is in both.
    #[must_use]
    pub fn converted(&self) -> Resources {
        self.sum(|step| &step.converted)
    }

    fn sum(&self, part: impl Fn(&Step) -> &Resources) -> Resources {
        self.0.iter().flat_map(|step| part(step).iter().cloned()).collect()
    }

    /// The same of resources allocated to nobody, as an agent's total is.
    #[must_use]
    pub fn unallocated(&self) -> Self {
        let step = |step: &Step| Step {
            consumed: step.consumed.unallocated(),
            converted: step.converted.unallocated(),
            gone: step.gone.as_ref().map(Resource::unallocated),
        };
        Self(self.0.iter().map(step).collect())
    }
}

fn volume_only(volume: &Resource) -> Result<(), ConversionError> {
    if volume.is_persistent_volume() {
        Ok(())
    } else {
        Err(ConversionError::NotAVolume(volume.clone()))
    }
}

fn size_of(resource: &Resource) -> Result<Scalar, ConversionError> {
    match resource.value {
        Value::Scalar(size) if !size.is_zero() => Ok(size),
        _ => Err(ConversionError::Size(resource.clone())),
    }
}

fn volume_size(volume: &Resource) -> Result<Scalar, ConversionError> {
    volume_only(volume)?;
    if volume.provider.is_some() {
        return Err(ConversionError::Provider);
    }
    size_of(volume)
}

impl Resources {
    /// What `conversion` makes of these resources. They are as they were if it fails.
    pub fn apply(&self, conversion: &Conversion) -> Result<Self, ConversionError> {
        let mut result = self.clone();
        for step in &conversion.0 {
            if !result.contains(&step.consumed) {
                let consumed = step.consumed.clone();
                return Err(ConversionError::NotContained { resources: result, consumed });
            }
            result.subtract_all(&step.consumed);
            result.add_all(&step.converted);
            if let Some(volume) = &step.gone
                && result.iter().any(|resource| resource == volume)
            {
                return Err(ConversionError::SharedCopies(volume.clone()));
            }
        }
        Ok(result)
    }

    /// The total of an agent whose configuration states `self` and that remembers
    /// `checkpointed`: each of these takes the place of what it was made from.
    pub fn with_checkpointed(&self, checkpointed: &Self) -> Result<Self, CheckpointedError> {
        let mut total = self.clone();
        for resource in checkpointed {
            if !resource.needs_checkpointing() {
                return Err(CheckpointedError::Unexpected(resource.clone()));
            }
            let stripped = Self::from(resource.stripped());
            if !total.contains(&stripped) {
                return Err(CheckpointedError::Incompatible { total, stripped });
            }
            total.subtract_all(&stripped);
            total.add(resource.clone());
        }
        Ok(total)
    }

    /// The same with `reservation` as a further layer on each.
    #[must_use]
    pub fn push_reservation(&self, reservation: &Reservation) -> Self {
        self.iter().map(|resource| resource.push_reservation(reservation.clone())).collect()
    }

    /// The same, each without its innermost reservation.
    #[must_use]
    pub fn pop_reservation(&self) -> Self {
        self.iter().map(Resource::pop_reservation).collect()
    }
}

/// Why an agent's resources and what it remembers do not go together. The texts are the
/// original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointedError {
    /// A resource that is neither dynamically reserved nor a volume, or is a provider's.
    #[error("Unexpected checkpointed resources {0}")]
    Unexpected(Resource),
    /// The configuration no longer states what a remembered resource was made from.
    #[error("Incompatible agent resources: {total} does not contain {stripped}")]
    Incompatible {
        /// What there is.
        total: Resources,
        /// What the remembered resource was made from.
        stripped: Resources,
    },
}

#[cfg(test)]
#[path = "conversion_tests.rs"]
mod tests;
