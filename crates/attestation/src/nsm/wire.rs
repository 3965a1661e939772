//! The CBOR of messages: what AWS's driver makes of its enums. Fields are taken in any order, absent
//! optional ones are none, and unknown ones are checked for form and passed over, as the driver does.

use std::collections::BTreeSet;

use super::WireError;
use super::message::{NsmDigest, NsmErrorCode, NsmRequest, NsmResponse};
use crate::cbor::{CborError, Reader, Writer};

impl NsmRequest {
    /// The request's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let name = self.name();
        match self {
            Self::DescribeNsm | Self::GetRandom => writer.text(name),
            Self::DescribePcr { index } | Self::LockPcr { index } => {
                begin(&mut writer, name, 1).text("index").uint((*index).into())
            }
            Self::LockPcrs { range } => begin(&mut writer, name, 1).text("range").uint((*range).into()),
            Self::ExtendPcr { index, data } => {
                begin(&mut writer, name, 2).text("index").uint((*index).into()).text("data").bytes(data)
            }
            Self::Attestation { user_data, nonce, public_key } => {
                begin(&mut writer, name, 3);
                writer.text("user_data").optional_bytes(user_data.as_deref());
                writer.text("nonce").optional_bytes(nonce.as_deref());
                writer.text("public_key").optional_bytes(public_key.as_deref())
            }
        };
        writer.into_bytes()
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not exactly one request.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        message(bytes, |name, fields| {
            Ok(match name {
                "DescribePCR" => Self::DescribePcr { index: fields.one("index", Reader::uint16)? },
                "LockPCR" => Self::LockPcr { index: fields.one("index", Reader::uint16)? },
                "LockPCRs" => Self::LockPcrs { range: fields.one("range", Reader::uint16)? },
                "DescribeNSM" => Self::DescribeNsm,
                "GetRandom" => Self::GetRandom,
                "ExtendPCR" => {
                    let (mut index, mut data) = (Field::named("index"), Field::named("data"));
                    fields.each(|name, reader| {
                        Ok(index.take(name, reader, Reader::uint16)? || data.take(name, reader, owned)?)
                    })?;
                    Self::ExtendPcr { index: index.required()?, data: data.required()? }
                }
                "Attestation" => {
                    let mut user_data = Field::named("user_data");
                    let mut nonce = Field::named("nonce");
                    let mut public_key = Field::named("public_key");
                    fields.each(|name, reader| {
                        Ok(user_data.take(name, reader, optional)?
                            || nonce.take(name, reader, optional)?
                            || public_key.take(name, reader, optional)?)
                    })?;
                    Self::Attestation {
                        user_data: user_data.value.flatten(),
                        nonce: nonce.value.flatten(),
                        public_key: public_key.value.flatten(),
                    }
                }
                unknown => return Err(WireError::Unknown { name: unknown.to_owned() }),
            })
        })
    }
}

impl NsmResponse {
    /// The response's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let name = self.name();
        match self {
            Self::LockPcr | Self::LockPcrs => writer.text(name),
            Self::Error(code) => writer.map(1).text(name).text(code.name()),
            Self::DescribePcr { lock, data } => {
                begin(&mut writer, name, 2).text("lock").bool(*lock).text("data").bytes(data)
            }
            Self::ExtendPcr { data } => begin(&mut writer, name, 1).text("data").bytes(data),
            Self::Attestation { document } => begin(&mut writer, name, 1).text("document").bytes(document),
            Self::GetRandom { random } => begin(&mut writer, name, 1).text("random").bytes(random),
            Self::DescribeNsm {
                version_major,
                version_minor,
                version_patch,
                module_id,
                max_pcrs,
                locked_pcrs,
                digest,
            } => {
                begin(&mut writer, name, 7);
                writer.text("version_major").uint((*version_major).into());
                writer.text("version_minor").uint((*version_minor).into());
                writer.text("version_patch").uint((*version_patch).into());
                writer.text("module_id").text(module_id).text("max_pcrs").uint((*max_pcrs).into());
                writer.text("locked_pcrs").array(locked_pcrs.len());
                for index in locked_pcrs {
                    writer.uint((*index).into());
                }
                writer.text("digest").text(digest.name())
            }
        };
        writer.into_bytes()
    }

    /// Reads a response.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not exactly one response.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        message(bytes, |name, fields| {
            Ok(match name {
                "LockPCR" => Self::LockPcr,
                "LockPCRs" => Self::LockPcrs,
                "Error" => Self::Error(fields.value(error_code)?),
                "ExtendPCR" => Self::ExtendPcr { data: fields.one("data", owned)? },
                "Attestation" => Self::Attestation { document: fields.one("document", owned)? },
                "GetRandom" => Self::GetRandom { random: fields.one("random", owned)? },
                "DescribePCR" => {
                    let (mut lock, mut data) = (Field::named("lock"), Field::named("data"));
                    fields.each(|name, reader| {
                        Ok(lock.take(name, reader, Reader::bool)? || data.take(name, reader, owned)?)
                    })?;
                    Self::DescribePcr { lock: lock.required()?, data: data.required()? }
                }
                "DescribeNSM" => description(fields)?,
                unknown => return Err(WireError::Unknown { name: unknown.to_owned() }),
            })
        })
    }
}

fn description(fields: &mut Fields<'_, '_>) -> Result<NsmResponse, WireError> {
    let mut major = Field::named("version_major");
    let mut minor = Field::named("version_minor");
    let mut patch = Field::named("version_patch");
    let mut module_id = Field::named("module_id");
    let mut max_pcrs = Field::named("max_pcrs");
    let mut locked_pcrs = Field::named("locked_pcrs");
    let mut digest = Field::named("digest");
    fields.each(|name, reader| {
        Ok(major.take(name, reader, Reader::uint16)?
            || minor.take(name, reader, Reader::uint16)?
            || patch.take(name, reader, Reader::uint16)?
            || module_id.take(name, reader, |reader| reader.text().map(str::to_owned))?
            || max_pcrs.take(name, reader, Reader::uint16)?
            || locked_pcrs.take(name, reader, indices)?
            || digest.take(name, reader, digest_name)?)
    })?;
    Ok(NsmResponse::DescribeNsm {
        version_major: major.required()?,
        version_minor: minor.required()?,
        version_patch: patch.required()?,
        module_id: module_id.required()?,
        max_pcrs: max_pcrs.required()?,
        locked_pcrs: locked_pcrs.required()?,
        digest: digest.required()?,
    })
}

fn begin<'w>(writer: &'w mut Writer, name: &str, fields: usize) -> &'w mut Writer {
    writer.map(1).text(name).map(fields)
}

/// Reads the name of a message and hands what belongs to it to `read`. A message without fields is its
/// name alone.
fn message<T>(
    bytes: &[u8],
    read: impl FnOnce(&str, &mut Fields<'_, '_>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    let mut reader = Reader::new(bytes);
    if reader.text_is_next()? {
        let name = reader.text()?;
        let value = read(name, &mut Fields { reader: None })?;
        reader.finish()?;
        return Ok(value);
    }
    let mut entries = reader.map()?;
    if !reader.more(&mut entries)? {
        return Err(WireError::NotOneEntry);
    }
    let name = reader.text()?;
    let mut fields = Fields { reader: Some(&mut reader) };
    let value = read(name, &mut fields)?;
    // Whoever wanted nothing of the fields has not read them.
    if let Some(reader) = fields.reader.take() {
        reader.skip()?;
    }
    if reader.more(&mut entries)? {
        return Err(WireError::NotOneEntry);
    }
    reader.finish()?;
    Ok(value)
}

/// What stands behind a message's name, until it is read.
struct Fields<'r, 'a> {
    reader: Option<&'r mut Reader<'a>>,
}

impl<'a> Fields<'_, 'a> {
    /// Reads a value that is not a map of fields.
    fn value<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        read(self.reader.take().ok_or(WireError::NotOneEntry)?)
    }

    /// Hands every field to `take`, which says whether it knows it.
    fn each(
        &mut self,
        mut take: impl FnMut(&str, &mut Reader<'a>) -> Result<bool, WireError>,
    ) -> Result<(), WireError> {
        self.value(|reader| {
            let mut entries = reader.map()?;
            while reader.more(&mut entries)? {
                let name = reader.text()?;
                if !take(name, reader)? {
                    reader.skip()?;
                }
            }
            Ok(())
        })
    }

    /// Reads the only field there is.
    fn one<T, E: Into<WireError>>(
        &mut self,
        field: &'static str,
        read: impl Fn(&mut Reader<'a>) -> Result<T, E>,
    ) -> Result<T, WireError> {
        let mut slot = Field::named(field);
        self.each(|name, reader| slot.take(name, reader, &read))?;
        slot.required()
    }
}

/// A field on its way.
struct Field<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T> Field<T> {
    const fn named(name: &'static str) -> Self {
        Self { name, value: None }
    }

    /// Reads the field if `name` is its name.
    fn take<'a, E: Into<WireError>>(
        &mut self,
        name: &str,
        reader: &mut Reader<'a>,
        read: impl Fn(&mut Reader<'a>) -> Result<T, E>,
    ) -> Result<bool, WireError> {
        if name != self.name {
            return Ok(false);
        }
        match self.value.replace(read(reader).map_err(Into::into)?) {
            None => Ok(true),
            Some(_) => Err(WireError::Duplicate { field: self.name }),
        }
    }

    fn required(self) -> Result<T, WireError> {
        self.value.ok_or(WireError::Missing { field: self.name })
    }
}

fn owned(reader: &mut Reader<'_>) -> Result<Vec<u8>, CborError> {
    reader.bytes().map(<[u8]>::to_vec)
}

fn optional(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, CborError> {
    if reader.take_null()? { Ok(None) } else { owned(reader).map(Some) }
}

fn indices(reader: &mut Reader<'_>) -> Result<BTreeSet<u16>, CborError> {
    let mut items = reader.array()?;
    let mut indices = BTreeSet::new();
    while reader.more(&mut items)? {
        indices.insert(reader.uint16()?);
    }
    Ok(indices)
}

fn error_code(reader: &mut Reader<'_>) -> Result<NsmErrorCode, WireError> {
    let name = reader.text()?;
    let code = NsmErrorCode::ALL.into_iter().find(|code| code.name() == name);
    code.ok_or_else(|| WireError::Unknown { name: name.to_owned() })
}

fn digest_name(reader: &mut Reader<'_>) -> Result<NsmDigest, WireError> {
    let name = reader.text()?;
    let digest = NsmDigest::ALL.into_iter().find(|digest| digest.name() == name);
    digest.ok_or_else(|| WireError::Unknown { name: name.to_owned() })
}

#[cfg(test)]
mod tests;
