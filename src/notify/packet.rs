//! The memory that a packet of the broker may take while it is read.

use rust_mqtt::Bytes;
use rust_mqtt::buffer::BufferProvider;
use zeroize::Zeroize;

use crate::limits::MQTT_TAKEN_MAX;

/// What is left of [`MQTT_TAKEN_MAX`] for the packet that is being read: a broker that announces more than it
/// may gets an error in place of memory.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

/// The packet needs more than [`MQTT_TAKEN_MAX`].
#[derive(Debug)]
pub(super) struct Overdrawn;

impl Budget {
    pub(super) fn new() -> Budget {
        Budget {
            left: MQTT_TAKEN_MAX,
        }
    }

    /// For the next packet; the last one was dealt with.
    pub(super) fn renew(&mut self) {
        self.left = MQTT_TAKEN_MAX;
    }
}

impl<'p> BufferProvider<'p> for Budget {
    type Buffer = Field;
    type ProvisionError = Overdrawn;

    fn provide_buffer(&mut self, len: usize) -> Result<Field, Overdrawn> {
        self.left = self.left.checked_sub(len).ok_or(Overdrawn)?;
        Ok(Field(vec![0; len].into_boxed_slice()))
    }
}

/// A field of a packet. It may be a token: what is given up half read is overwritten.
pub(super) struct Field(Box<[u8]>);

impl AsMut<[u8]> for Field {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl From<Field> for Bytes<'_> {
    fn from(mut field: Field) -> Self {
        Bytes::Owned(std::mem::take(&mut field.0))
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_so_much_and_no_more() {
        let mut budget = Budget::new();
        assert!(budget.provide_buffer(MQTT_TAKEN_MAX).is_ok());
        assert!(budget.provide_buffer(1).is_err());
        budget.renew();
        assert!(budget.provide_buffer(usize::MAX).is_err());
        assert!(budget.provide_buffer(1).is_ok());
    }
}
