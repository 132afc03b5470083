//! The JSON Schema of the shape, made from its types: `config/record.schema.json` is this, written down.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::{Amendment, Audit, Gap, Incident, Log, Mark, Record, Session, Transaction};

/// The schema of any record.
pub fn schema() -> Schema {
    schema_of::<Record>()
}

/// The schema of a type whose unknown values are absent.
pub fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().with_transform(RecursiveTransform(never_null)).into_generator().into_root_schema_for::<T>()
}

impl JsonSchema for Record {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Record".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Relayscope record",
            "description": "One record of the trace, shape 1. Unknown values are absent, never null; times are RFC 3339 UTC; durations are microseconds.",
            "oneOf": [
                generator.subschema_for::<Transaction>(),
                generator.subschema_for::<Session>(),
                generator.subschema_for::<Amendment>(),
                generator.subschema_for::<Gap>(),
                generator.subschema_for::<Mark>(),
                generator.subschema_for::<Log>(),
                generator.subschema_for::<Audit>(),
                generator.subschema_for::<Incident>(),
            ],
        })
    }
}

/// Takes `null` out of what schemars makes of an `Option`: unknown values are absent here.
fn never_null(schema: &mut Schema) {
    let is_null = |value: &Value| value.get("type").and_then(Value::as_str) == Some("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name.as_str() != Some("null"));
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| !is_null(choice));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.insert(key, value);
            }
        }
    }
}
