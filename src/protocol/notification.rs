//! What AWS tells a gateway of a tunnel that was opened for it.
//!
//! Is responsible for: reading that JSON, whoever sent it, and for saying what is wrong with it without
//! repeating any of it: a token can stand in every place of a broken one.
//!
//! Source: "Agent snippet" of the AWS IoT developer guide, and `aws.md`.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::ids::ServiceId;
use crate::config::{Region, is_access_token};
use crate::limits::{ACCESS_TOKEN_MAX, DECLARED_MAX, NOTIFICATION_MAX, SERVICE_ID_MAX};
use crate::secret::Secret;

/// A tunnel to be opened.
#[derive(Debug)]
pub struct Notification {
    /// Lets us in, once or with the same client token.
    pub access_token: Secret,
    /// The region of its service; none if only a token was handed over.
    pub region: Option<Region>,
    /// The tunnel's services; none if the notification does not name them.
    pub services: Option<heapless::Vec<ServiceId, DECLARED_MAX>>,
}

impl Notification {
    /// The tunnel that a payload tells of. Fields that are not known are passed over, so that AWS can add
    /// some. The token is copied once, into its [`Secret`]; the caller overwrites the payload itself.
    ///
    /// # Errors
    /// What is wrong with the payload, without a word of it.
    pub fn parse(payload: &[u8]) -> Result<Notification, PayloadError> {
        if payload.len() > NOTIFICATION_MAX {
            return Err(PayloadError::TooLong(payload.len()));
        }
        let text = std::str::from_utf8(payload)
            .map_err(|error| PayloadError::NotUtf8(error.valid_up_to()))?;
        let fields: Fields = serde_json::from_str(text).map_err(|error| {
            if error.is_data() {
                PayloadError::NotObject
            } else {
                // The library's own words can quote the text.
                PayloadError::NotJson(error.line(), error.column())
            }
        })?;
        fields.checked()
    }

    /// The tunnel of a bare access token, with nothing known of its region and services. White space around
    /// it is passed over.
    ///
    /// # Errors
    /// The text is no access token.
    pub fn of_token(text: &str) -> Result<Notification, PayloadError> {
        let token = text.trim_ascii();
        if !is_access_token(token) {
            return Err(PayloadError::Token(token.len()));
        }
        Ok(Notification {
            access_token: Secret::new(token.to_owned()),
            region: None,
            services: None,
        })
    }
}

/// Why a payload tells of no tunnel. It never holds a part of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// More bytes than [`NOTIFICATION_MAX`].
    TooLong(usize),
    /// Not UTF-8 from this byte on.
    NotUtf8(usize),
    /// Not JSON; line and column, from 1.
    NotJson(usize, usize),
    /// JSON, but no object.
    NotObject,
    /// A field that must be there is not.
    Missing(Field),
    /// A field stands there twice.
    Twice(Field),
    /// A field has another type; which.
    Type(Field, &'static str),
    /// No access token; its length in bytes.
    Token(usize),
    /// The token of the other side.
    Source,
    /// No mode that there is.
    Mode,
    /// No name of a region.
    Region,
    /// More services than [`DECLARED_MAX`].
    Services,
    /// A service, counted from 1, is no service ID.
    Service(usize),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LOOK: &str = "only AWS should write it: look who else does";
        match self {
            PayloadError::TooLong(bytes) => {
                write!(
                    f,
                    "it has {bytes} bytes, expected at most {NOTIFICATION_MAX}; {LOOK}"
                )
            }
            PayloadError::NotUtf8(at) => {
                write!(f, "its byte {} is not UTF-8, expected JSON; {LOOK}", at + 1)
            }
            PayloadError::NotJson(line, column) => write!(
                f,
                "it is not JSON from line {line}, column {column} on, expected one object and nothing behind it; {LOOK}"
            ),
            PayloadError::NotObject => write!(f, "it is JSON but not an object; {LOOK}"),
            PayloadError::Missing(field) => write!(
                f,
                "{field} is missing, expected the whole notification of AWS; hand over the JSON as it came"
            ),
            PayloadError::Twice(field) => {
                write!(f, "{field} stands there twice, expected it once; {LOOK}")
            }
            PayloadError::Type(field, found) => {
                write!(f, "{field} is {found}, expected {}; {LOOK}", field.kind())
            }
            PayloadError::Token(bytes) => write!(
                f,
                "the access token has {bytes} bytes (not shown), expected 1 to {ACCESS_TOKEN_MAX} printable ASCII \
                 characters without spaces; use the destination access token as AWS gave it"
            ),
            PayloadError::Source => write!(
                f,
                "clientMode is \"source\", expected \"destination\"; the source access token belongs to the \
                 engineer's side"
            ),
            PayloadError::Mode => write!(f, "clientMode is not \"destination\"; {LOOK}"),
            PayloadError::Region => {
                write!(
                    f,
                    "region is not the name of an AWS region, as in \"eu-central-1\"; {LOOK}"
                )
            }
            PayloadError::Services => {
                write!(
                    f,
                    "it names more than {DECLARED_MAX} services; open the tunnel with fewer"
                )
            }
            PayloadError::Service(number) => write!(
                f,
                "service {number} is no service ID, expected 1 to {SERVICE_ID_MAX} letters, digits, \":\", \"_\" \
                 and \"-\"; {LOOK}"
            ),
        }
    }
}

impl std::error::Error for PayloadError {}

/// A field that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `clientAccessToken`.
    Token,
    /// `clientMode`.
    Mode,
    /// `region`.
    Region,
    /// `services`.
    Services,
}

impl Field {
    fn of(name: &str) -> Option<Field> {
        match name {
            "clientAccessToken" => Some(Field::Token),
            "clientMode" => Some(Field::Mode),
            "region" => Some(Field::Region),
            "services" => Some(Field::Services),
            _ => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Field::Token | Field::Mode | Field::Region => "a string",
            Field::Services => "a list of strings",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Token => "clientAccessToken",
            Field::Mode => "clientMode",
            Field::Region => "region",
            Field::Services => "services",
        })
    }
}

/// The fields that we know, of whatever type they are.
#[derive(Default)]
struct Fields<'p> {
    token: Option<Value<'p>>,
    mode: Option<Value<'p>>,
    region: Option<Value<'p>>,
    services: Option<Value<'p>>,
    twice: Option<Field>,
}

impl<'p> Fields<'p> {
    fn slot(&mut self, field: Field) -> &mut Option<Value<'p>> {
        match field {
            Field::Token => &mut self.token,
            Field::Mode => &mut self.mode,
            Field::Region => &mut self.region,
            Field::Services => &mut self.services,
        }
    }

    fn checked(self) -> Result<Notification, PayloadError> {
        if let Some(field) = self.twice {
            return Err(PayloadError::Twice(field));
        }
        let mode = required(Field::Mode, self.mode)?;
        match mode.as_str() {
            "destination" => {}
            "source" => return Err(PayloadError::Source),
            _ => return Err(PayloadError::Mode),
        }
        let token = required(Field::Token, self.token)?;
        if !is_access_token(token.as_str()) {
            return Err(PayloadError::Token(token.as_str().len()));
        }
        let region = required(Field::Region, self.region)?;
        let region = Region::new(region.as_str()).ok_or(PayloadError::Region)?;
        Ok(Notification {
            access_token: token.into_secret(),
            region: Some(region),
            services: self.services.map(services).transpose()?.flatten(),
        })
    }
}

fn required(field: Field, value: Option<Value<'_>>) -> Result<Text<'_>, PayloadError> {
    match value.ok_or(PayloadError::Missing(field))? {
        Value::Text(text) => Ok(text),
        Value::List(_) => Err(PayloadError::Type(field, "a list")),
        Value::Other(found) => Err(PayloadError::Type(field, found)),
    }
}

/// The services of a list; none if it is empty. One that stands there twice is taken once.
fn services(
    value: Value<'_>,
) -> Result<Option<heapless::Vec<ServiceId, DECLARED_MAX>>, PayloadError> {
    let list = match value {
        Value::List(list) => list,
        Value::Text(_) => return Err(PayloadError::Type(Field::Services, "a string")),
        Value::Other(found) => return Err(PayloadError::Type(Field::Services, found)),
    };
    let mut services = heapless::Vec::new();
    for (index, item) in list.items.into_iter().enumerate() {
        let text = item.ok_or(PayloadError::Service(index + 1))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
        let service = ServiceId::new(text.as_str())
            .filter(|_| text.as_str().bytes().all(plain))
            .ok_or(PayloadError::Service(index + 1))?;
        if !services.contains(&service) {
            services.push(service).map_err(|_| PayloadError::Services)?;
        }
    }
    if list.more {
        return Err(PayloadError::Services);
    }
    Ok((!services.is_empty()).then_some(services))
}

/// The value of a field; a wrong type is an answer and no error, so that no error can quote it.
enum Value<'p> {
    Text(Text<'p>),
    List(Box<List<'p>>),
    Other(&'static str),
}

/// A string: in the payload as it stands there, or a copy of one with escapes in it.
enum Text<'p> {
    There(&'p str),
    Copy(Secret),
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Text::There(text) => text,
            Text::Copy(copy) => copy.expose(),
        }
    }

    fn into_secret(self) -> Secret {
        match self {
            Text::There(text) => Secret::new(text.to_owned()),
            Text::Copy(copy) => copy,
        }
    }
}

/// The first items of a list, each of which is a string or nothing.
#[derive(Default)]
struct List<'p> {
    items: heapless::Vec<Option<Text<'p>>, DECLARED_MAX>,
    more: bool,
}

impl<'p> Deserialize<'p> for Fields<'p> {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'p> Visitor<'p> for FieldsVisitor {
    type Value = Fields<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Fields<'p>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Value<'p>>()? {
            let field = match &key {
                Value::Text(name) => Field::of(name.as_str()),
                Value::List(_) | Value::Other(_) => None,
            };
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value()?;
            if fields.slot(field).replace(value).is_some() {
                fields.twice = Some(field);
            }
        }
        Ok(fields)
    }
}

impl<'p> Deserialize<'p> for Value<'p> {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor { keeps_lists: true })
    }
}

/// A value within a list: lists in it are passed over, or lists in lists in lists would keep one for each depth.
struct Item;

impl<'p> DeserializeSeed<'p> for Item {
    type Value = Value<'p>;

    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<Value<'p>, D::Error> {
        deserializer.deserialize_any(ValueVisitor { keeps_lists: false })
    }
}

struct ValueVisitor {
    keeps_lists: bool,
}

impl<'p> Visitor<'p> for ValueVisitor {
    type Value = Value<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'p str) -> Result<Value<'p>, E> {
        Ok(Value::Text(Text::There(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'p>, E> {
        Ok(Value::Text(Text::Copy(Secret::new(text.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Value<'p>, E> {
        Ok(Value::Other("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'p>, E> {
        Ok(Value::Other("true or false"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'p>, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'p>, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'p>, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Value<'p>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an object"))
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut seq: A) -> Result<Value<'p>, A::Error> {
        if !self.keeps_lists {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Other("a list"));
        }
        let mut list = Box::new(List::default());
        while !list.items.is_full() {
            let Some(item) = seq.next_element_seed(Item)? else {
                return Ok(Value::List(list));
            };
            let text = match item {
                Value::Text(text) => Some(text),
                Value::List(_) | Value::Other(_) => None,
            };
            // There is room; the loop has looked.
            list.more |= list.items.push(text).is_err();
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            list.more = true;
        }
        Ok(Value::List(list))
    }
}

#[cfg(test)]
mod tests;
