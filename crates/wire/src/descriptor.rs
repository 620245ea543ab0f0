//! Tables that describe every message: what the JSON codec and the check pass walk along.
//!
//! They are written at build time from the same `.proto` sources as the types.

use prost::Message;

/// Which family of names JSON uses.
///
/// Both families have the same numbers and types on the wire; only the names differ (`slave_id`
/// and `agent_id`), so one Rust type serves both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The names of `mesos.*`: what the old endpoints (`/state`, `/slaves`, …) print.
    V0,
    /// The names of `mesos.v1.*`: what the v1 HTTP APIs speak.
    V1,
}

/// A message that has a descriptor: every generated type.
pub trait Described: Message + Default + 'static {
    /// The table of this message.
    const DESCRIPTOR: &'static MessageDescriptor;
    /// The full protobuf name by which components of a cluster call this message in libprocess
    /// paths: the v0 name where there is one (`mesos.internal.RegisterSlaveMessage`,
    /// `mesos.scheduler.Call`).
    const NAME: &'static str;
}

/// One message.
#[derive(Debug)]
pub struct MessageDescriptor {
    /// Its full name in our sources, the v1 name where there are two (`mesos.v1.AgentInfo`).
    pub name: &'static str,
    /// The full name of its v0 twin (`mesos.SlaveInfo`). `None` where name and twin are the same
    /// or v0 has its own type.
    pub v0_name: Option<&'static str>,
    /// Its fields in the order of declaration, which is the order of keys in JSON.
    pub fields: &'static [FieldDescriptor],
    /// By field number: the position in `fields` plus one, or 0.
    pub(crate) numbers: &'static [u8],
    /// The positions of required fields, as a bit set.
    pub(crate) required: u128,
    /// Whether maps occur in it, at any depth.
    pub(crate) has_maps: bool,
    /// Bytes that one decoded value occupies, without what it points to.
    pub size: usize,
}

impl MessageDescriptor {
    /// The position in `fields` of the field with this number.
    #[must_use]
    pub fn position(&self, number: u32) -> Option<usize> {
        let position = *self.numbers.get(usize::try_from(number).ok()?)?;
        usize::from(position).checked_sub(1)
    }

    /// The position in `fields` of the field with this name. A field that v1 dropped is found in
    /// both families: the original prints it in answers of the v1 API, too.
    #[must_use]
    pub fn position_of_name(&self, names: Names, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.label_in(names) == name)
    }

    /// The field with this name in either family of names, v1 first.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static FieldDescriptor> {
        let fields = self.fields;
        let position = self
            .position_of_name(Names::V1, name)
            .or_else(|| self.position_of_name(Names::V0, name))?;
        fields.get(position)
    }

    /// The names that this message's errors use: v1 for the messages of the v1 APIs, otherwise v0.
    #[must_use]
    pub fn natural_names(&self) -> Names {
        if self.name.starts_with("mesos.v1.") { Names::V1 } else { Names::V0 }
    }
}

/// Whether a field must, may or may repeatedly be present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// At most once.
    Optional,
    /// Exactly once; a message without it is refused.
    Required,
    /// Any number of times. A map is repeated, too.
    Repeated,
}

/// The type of a field. The protocol uses no others.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `double`
    Double,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
    /// `bool`
    Bool,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// An enum.
    Enum(&'static EnumDescriptor),
    /// A message.
    Message(&'static MessageDescriptor),
    /// A map from strings; the message is its entry, with `key` (1) and `value` (2).
    Map(&'static MessageDescriptor),
}

/// One field.
#[derive(Debug)]
pub struct FieldDescriptor {
    /// Its number on the wire.
    pub number: u32,
    /// Its name, and JSON key, in v1; `None` for what v1 does not have.
    pub v1_name: Option<&'static str>,
    /// Its name, and JSON key, in v0.
    pub v0_name: &'static str,
    /// How often it occurs.
    pub label: Label,
    /// What it holds.
    pub kind: Kind,
    /// The explicit default, as written in the `.proto` source without quotes.
    pub default: Option<&'static str>,
    /// What JSON prints where the field is unset: the explicit default of a field that is not
    /// deprecated, as a JSON token.
    pub default_json: Option<&'static str>,
    /// The `oneof` it is a member of.
    pub oneof: Option<&'static str>,
    /// Whether it is marked deprecated.
    pub deprecated: bool,
}

impl FieldDescriptor {
    /// The JSON key in the given family, `None` where that family lacks the field.
    #[must_use]
    pub fn name(&self, names: Names) -> Option<&'static str> {
        match names {
            Names::V0 => Some(self.v0_name),
            Names::V1 => self.v1_name,
        }
    }

    /// The name for an error text, whatever family has it.
    pub(crate) fn label_in(&self, names: Names) -> &'static str {
        self.name(names).unwrap_or(self.v0_name)
    }
}

/// One enum.
#[derive(Debug)]
pub struct EnumDescriptor {
    /// Its full name in our sources.
    pub name: &'static str,
    /// The full name of its v0 twin, if it has one.
    pub v0_name: Option<&'static str>,
    /// Its values in the order of declaration, aliases included.
    pub values: &'static [EnumValue],
    /// Positions in `values`, ascending by number, the first name of each number only.
    pub(crate) by_number: &'static [usize],
}

impl EnumDescriptor {
    /// The value with this number; the first declared one where several share it.
    #[must_use]
    pub fn by_number(&self, number: i32) -> Option<&'static EnumValue> {
        let found =
            self.by_number.binary_search_by_key(&number, |&at| self.values[at].number).ok()?;
        Some(&self.values[self.by_number[found]])
    }

    /// The value with this name.
    #[must_use]
    pub fn by_name(&self, names: Names, name: &str) -> Option<&'static EnumValue> {
        self.values.iter().find(|v| v.name(names) == name)
    }
}

/// One value of an enum.
#[derive(Debug)]
pub struct EnumValue {
    /// Its number on the wire.
    pub number: i32,
    /// Its name in v1.
    pub v1_name: &'static str,
    /// Its name in v0.
    pub v0_name: &'static str,
}

impl EnumValue {
    /// The name in the given family.
    #[must_use]
    pub fn name(&self, names: Names) -> &'static str {
        match names {
            Names::V0 => self.v0_name,
            Names::V1 => self.v1_name,
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));
