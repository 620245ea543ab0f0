//! What the machine offers: as it was said, and the rest as it is found
//! (`master-agent-protocol.md` §12).

use std::path::Path;

use model::resources::{Ranges, Resource, Resources, Scalar, Value};
use model::role::Role;
use wire::json::{self, Names};
use wire::resources::Form;
use wire::v1::{self, value};
use wire::{Limits, resources};

const MEGABYTE: u64 = 1 << 20;
const GIGABYTE: u64 = 1 << 30;
/// What is offered where the machine does not say.
const FALLBACK_MEM: u64 = 1024;
/// Likewise.
const FALLBACK_DISK: u64 = 10_240;
/// The ports that are offered unless others are named.
const PORTS: (u64, u64) = (31_000, 32_000);

/// What was said about the machine, as text.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `--resources`: `name(role):value;…`, or a JSON array.
    pub resources: Option<String>,
    /// The role of resources that are given without one.
    pub default_role: Role,
    /// `--attributes`: `name:value;…`.
    pub attributes: Option<String>,
    /// `--domain`: JSON of a `DomainInfo`.
    pub domain: Option<String>,
}

/// Why the machine cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// `--attributes` cannot be read.
    #[error("--attributes: `{0}` is not of the form name:value")]
    Attribute(String),
    /// `--domain` cannot be read.
    #[error("--domain: {0}")]
    Domain(json::JsonError),
    /// The machine has more of something than a resource can state.
    #[error("the machine's resources: {0}")]
    Found(#[from] model::resources::ResourceError),
    /// `--resources` cannot be read.
    #[error("--resources: {0}")]
    Resources(#[from] resources::StatedError),
}

/// What an agent says about its machine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) resources: Vec<v1::Resource>,
    pub(super) attributes: Vec<v1::Attribute>,
    pub(super) domain: Option<v1::DomainInfo>,
}

impl Machine {
    /// Joins what was said with what is found.
    pub(super) fn describe(&self, work_dir: &Path) -> Result<Described, MachineError> {
        let text = self.resources.as_deref().unwrap_or_default();
        let stated = resources::parse_stated(text, &self.default_role)?;
        let mut all = stated.resources;
        let mut found = Resources::new();
        let mut add = |name: &str, value: Value| {
            // An explicit zero suppresses detection, and leaves no resource behind.
            if !stated.names.contains(name) {
                found.add(Resource::new(name, value));
            }
        };
        add("cpus", Value::Scalar(Scalar::from_f64(cpus() as f64)?));
        add("mem", Value::Scalar(Scalar::from_f64(memory() as f64)?));
        add("disk", Value::Scalar(Scalar::from_f64(disk(work_dir) as f64)?));
        add("ports", Value::Ranges(Ranges::new([PORTS])?));
        all.add_all(&found);
        Ok(Described {
            resources: resources::write(&all, Form::PostRefinement),
            attributes: attributes(self.attributes.as_deref().unwrap_or_default())?,
            domain: self
                .domain
                .as_deref()
                .map(|text| json::read(text.as_bytes(), Names::V1, &Limits::default()))
                .transpose()
                .map_err(MachineError::Domain)?,
        })
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Megabytes.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    let total = u64::from(info.mem_unit).saturating_mul(info.totalram);
    offered(total, 2 * GIGABYTE, GIGABYTE).unwrap_or(FALLBACK_MEM)
}

/// Megabytes.
fn disk(work_dir: &Path) -> u64 {
    let total = rustix::fs::statvfs(work_dir)
        .map(|stat| stat.f_blocks.saturating_mul(stat.f_frsize))
        .unwrap_or_default();
    offered(total, 10 * GIGABYTE, 5 * GIGABYTE).unwrap_or(FALLBACK_DISK)
}

/// What is offered of `total` bytes, in megabytes: all but `kept` from `enough` on, else half.
fn offered(total: u64, enough: u64, kept: u64) -> Option<u64> {
    let bytes = if total >= enough { total - kept } else { total / 2 };
    Some(bytes / MEGABYTE).filter(|megabytes| *megabytes > 0)
}

fn attributes(text: &str) -> Result<Vec<v1::Attribute>, MachineError> {
    let items = text.split([';', '\n']).map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let wrong = || MachineError::Attribute(item.to_owned());
            let (name, value) = item.split_once(':').ok_or_else(wrong)?;
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || value.is_empty() {
                return Err(wrong());
            }
            attribute(name, value).ok_or_else(wrong)
        })
        .collect()
}

/// A number, ranges in brackets, or text.
fn attribute(name: &str, value: &str) -> Option<v1::Attribute> {
    let mut attribute = v1::Attribute { name: name.to_owned(), ..Default::default() };
    if let Some(inner) = value.strip_prefix('[') {
        let ranges = inner.strip_suffix(']')?.split(',').map(|range| {
            let (begin, end) = range.trim().split_once('-')?;
            let (begin, end) = (begin.trim().parse().ok()?, end.trim().parse().ok()?);
            (begin <= end).then_some(value::Range { begin, end })
        });
        attribute.r#type = value::Type::Ranges.into();
        attribute.ranges = Some(value::Ranges { range: ranges.collect::<Option<_>>()? });
    } else if let Ok(number) = value.parse::<f64>()
        && number.is_finite()
    {
        attribute.r#type = value::Type::Scalar.into();
        attribute.scalar = Some(value::Scalar { value: number });
    } else {
        attribute.r#type = value::Type::Text.into();
        attribute.text = Some(value::Text { value: value.to_owned() });
    }
    Some(attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(resources: Option<&str>) -> Machine {
        Machine {
            resources: resources.map(str::to_owned),
            default_role: Role::any(),
            attributes: None,
            domain: None,
        }
    }

    fn names_of(machine: &Machine) -> Vec<String> {
        let described = machine.describe(Path::new("/")).unwrap();
        described.resources.iter().map(|r| r.name.clone()).collect()
    }

    #[test]
    fn what_is_not_named_is_found() {
        assert_eq!(names_of(&machine(None)), ["cpus", "mem", "disk", "ports"]);
        assert_eq!(names_of(&machine(Some("mem:64"))), ["mem", "cpus", "disk", "ports"]);
        assert_eq!(names_of(&machine(Some("cpus:0;mem:64;disk:0;ports:[1-2]"))), ["mem", "ports"]);
    }

    #[test]
    fn json_is_taken_as_well_as_text() {
        let json = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"role":"ops"}]"#;
        let described = machine(Some(json)).describe(Path::new("/")).unwrap();
        assert_eq!(described.resources[0].name, "cpus");
        assert_eq!(described.resources[0].reservations[0].role(), "ops");
        for bad in ["[{]", "cpus", "cpus:many", "cpus:-1"] {
            assert!(machine(Some(bad)).describe(Path::new("/")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_machine_keeps_a_part_for_itself() {
        assert_eq!(offered(2 * GIGABYTE, 2 * GIGABYTE, GIGABYTE), Some(1024));
        assert_eq!(offered(GIGABYTE, 2 * GIGABYTE, GIGABYTE), Some(512));
        assert_eq!(offered(0, 2 * GIGABYTE, GIGABYTE), None);
    }

    #[test]
    fn attributes_are_numbers_ranges_or_text() {
        let all = attributes("rack:r1; level:2.5 ;ports:[1-2, 5-6]").unwrap();
        assert_eq!(all[0].text.as_ref().unwrap().value, "r1");
        assert_eq!(all[1].scalar.as_ref().unwrap().value, 2.5);
        assert_eq!(all[2].ranges.as_ref().unwrap().range.len(), 2);
        for bad in ["rack", ":x", "rack:", "ports:[1", "ports:[2-1]", "ports:[a-b]"] {
            assert!(attributes(bad).is_err(), "{bad}");
        }
    }
}
