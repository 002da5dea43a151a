//! Numbers with a range. The schema uses the format `int32`, since the API server warns about
//! unsigned formats.

use std::num::NonZeroU16;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::error::ValueError;
use maglev_model as model;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Int<const MIN: i32, const MAX: i32>(i32);

/// A TCP or UDP port: 1 to 65535.
pub type Port = Int<1, 65535>;
/// A share of new flows relative to the other backends of a pool: 0 to 100.
pub type Weight = Int<0, 100>;
/// A number of consecutive probes: 1 to 100.
pub type Count = Int<1, 100>;
/// A share in percent: 1 to 100.
pub type Percent = Int<1, 100>;
/// A number of steps of a ramp: 2 to 20.
pub type RampSteps = Int<2, 20>;
/// A DSCP code point: 0 to 63.
pub type Dscp = Int<0, 63>;

impl<const MIN: i32, const MAX: i32> Int<MIN, MAX> {
    /// A number literal. In a `const` context a value that is not allowed is a compile error.
    pub const fn literal(value: i32) -> Self {
        assert!(value >= MIN && value <= MAX, "a number in range");
        Self(value)
    }

    /// The checked number.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl<const MIN: i32, const MAX: i32> TryFrom<i64> for Int<MIN, MAX> {
    type Error = ValueError;

    fn try_from(found: i64) -> Result<Self, Self::Error> {
        match i32::try_from(found) {
            Ok(value) if (MIN..=MAX).contains(&value) => Ok(Self(value)),
            _ => Err(ValueError::Range { found: found.to_string(), allowed: format!("from {MIN} to {MAX}") }),
        }
    }
}

impl<const MIN: i32, const MAX: i32> From<Int<MIN, MAX>> for i64 {
    fn from(number: Int<MIN, MAX>) -> Self {
        number.0.into()
    }
}

impl<const MIN: i32, const MAX: i32> JsonSchema for Int<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Int".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int32", "minimum": MIN, "maximum": MAX })
    }
}

impl From<Port> for NonZeroU16 {
    fn from(port: Port) -> Self {
        u16::try_from(port.0).ok().and_then(Self::new).expect("a port is from 1 to 65535")
    }
}

impl From<Weight> for model::vip::Weight {
    fn from(weight: Weight) -> Self {
        u8::try_from(weight.0).ok().and_then(Self::new).expect("a weight is from 0 to 100")
    }
}

impl From<Dscp> for model::vip::Dscp {
    fn from(dscp: Dscp) -> Self {
        u8::try_from(dscp.0).ok().and_then(Self::new).expect("a DSCP is from 0 to 63")
    }
}

impl From<Count> for u8 {
    fn from(count: Count) -> Self {
        Self::try_from(count.0).expect("a count is from 1 to 100")
    }
}

/// A power of two from 2^`FROM` to 2^`TO`; the schema lists the allowed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct PowerOfTwo<const FROM: u32, const TO: u32>(u32);

/// The number of buckets of the new-flow table of a VIP: a power of two from 256 to 32768.
pub type TableLength = PowerOfTwo<8, 15>;

impl<const FROM: u32, const TO: u32> PowerOfTwo<FROM, TO> {
    /// A number literal. In a `const` context a value that is not allowed is a compile error.
    pub const fn literal(value: u32) -> Self {
        assert!(value.is_power_of_two() && value >= 1 << FROM && value <= 1 << TO, "a power of two in range");
        Self(value)
    }

    /// The checked number.
    pub fn get(self) -> u32 {
        self.0
    }

    fn allowed() -> Vec<u32> {
        (FROM..=TO).map(|exponent| 1 << exponent).collect()
    }
}

impl<const FROM: u32, const TO: u32> TryFrom<i64> for PowerOfTwo<FROM, TO> {
    type Error = ValueError;

    fn try_from(found: i64) -> Result<Self, Self::Error> {
        match u32::try_from(found) {
            Ok(value) if Self::allowed().contains(&value) => Ok(Self(value)),
            _ => Err(ValueError::Range {
                found: found.to_string(),
                allowed: format!("a power of two from {} to {}", 1 << FROM, 1 << TO),
            }),
        }
    }
}

impl<const FROM: u32, const TO: u32> From<PowerOfTwo<FROM, TO>> for i64 {
    fn from(number: PowerOfTwo<FROM, TO>) -> Self {
        number.0.into()
    }
}

impl<const FROM: u32, const TO: u32> JsonSchema for PowerOfTwo<FROM, TO> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PowerOfTwo".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int32", "enum": Self::allowed() })
    }
}

impl From<TableLength> for model::vip::TableLength {
    fn from(length: TableLength) -> Self {
        Self::new(length.0).expect("a table length is a power of two from 256 to 32768")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn error_of_number_out_of_range_states_the_range() {
        assert_eq!(from_value::<Weight>(json!(100)).unwrap().get(), 100);
        let error = from_value::<Weight>(json!(200)).unwrap_err();
        assert_eq!(error.to_string(), "200 is not allowed: from 0 to 100");
        assert!(from_value::<Port>(json!(0)).is_err());
        assert!(from_value::<Port>(json!("80")).is_err());
        assert!(from_value::<Port>(json!(4_294_967_376_i64)).is_err(), "must not wrap to 80");
    }

    #[test]
    fn table_length_fits_the_dump_of_vpp() {
        assert_eq!(from_value::<TableLength>(json!(32768)).unwrap().get(), 32768);
        for bad in [0, 128, 1000, 65536, -256] {
            assert!(from_value::<TableLength>(json!(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn schema_values_convert_to_model_types() {
        for length in TableLength::allowed() {
            assert_eq!(u32::from(model::vip::TableLength::from(TableLength::literal(length)).get()), length);
        }
        for value in 0..=100 {
            assert_eq!(i32::from(model::vip::Weight::from(Weight::literal(value)).get()), value);
        }
        for value in 0..=63 {
            assert_eq!(i32::from(model::vip::Dscp::from(Dscp::literal(value)).get()), value);
        }
        assert_eq!(NonZeroU16::from(Port::literal(65535)).get(), 65535);
    }
}
