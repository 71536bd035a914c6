//! The saved state of one device: cheap to take, comparable, and printable as stable JSON.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a device's state must be able to do. Implemented for every type that can.
trait StateValue: Any + Debug + Send + Sync {
    fn same(&self, other: &dyn StateValue) -> bool;
    fn json(&self) -> serde_json::Value;
}

impl<T: Any + Debug + Send + Sync + PartialEq + Serialize> StateValue for T {
    fn same(&self, other: &dyn StateValue) -> bool {
        (other as &dyn Any)
            .downcast_ref::<T>()
            .is_some_and(|other| self == other)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_else(|e| serde_json::Value::String(e.to_string()))
    }
}

/// The state of one device at one moment; never changes once taken, and clones share it.
///
/// Two states are equal if they are of the same type and their values are equal: a device that is
/// put back to either goes on alike.
#[derive(Clone, Debug)]
pub struct DeviceState(Arc<dyn StateValue>);

impl PartialEq for DeviceState {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.same(&*other.0)
    }
}

/// [`Device::restore`](super::Device::restore) was given the state of another kind of device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the saved state is not one of the device `{device}`")]
pub struct ForeignState {
    /// The device that refused it.
    pub device: &'static str,
}

/// The state of the device `device` from the [`to_json`](DeviceState::to_json) of one.
///
/// # Errors
/// [`ForeignState`] if it is none.
pub fn from_json<T: DeserializeOwned>(
    state: &serde_json::Value,
    device: &'static str,
) -> Result<T, ForeignState> {
    T::deserialize(state).map_err(|_| ForeignState { device })
}

impl DeviceState {
    /// Wraps `value`, which usually is a clone of the device.
    #[must_use]
    pub fn of<T: Any + Debug + Send + Sync + PartialEq + Serialize>(value: T) -> Self {
        Self(Arc::new(value))
    }

    /// The value, if it is of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        (&*self.0 as &dyn Any).downcast_ref()
    }

    /// Sets `target` to the value.
    ///
    /// # Errors
    /// [`ForeignState`] in the name of `device` if the value is of another type.
    pub fn restore_to<T: Any + Clone>(
        &self,
        target: &mut T,
        device: &'static str,
    ) -> Result<(), ForeignState> {
        let value = self.get::<T>().ok_or(ForeignState { device })?;
        target.clone_from(value);
        Ok(())
    }

    /// The value as JSON, members in the order of declaration: equal states give equal text.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.0.json()
    }
}

/// What saves a [`Device`](super::Device) all of which is its state, and puts it back: in its
/// implementation, the functions from `save` on.
///
/// `can_be(new, old)` says whether `new`, read from a file, is a state that the device `old` can be in;
/// without it, all are.
macro_rules! whole_state {
    () => {
        whole_state!(|_: &Self, _: &Self| true);
    };
    ($can_be:expr) => {
        fn save(&self) -> $crate::device::DeviceState {
            $crate::device::DeviceState::of(self.clone())
        }

        fn restore(
            &mut self,
            state: &$crate::device::DeviceState,
        ) -> Result<(), $crate::device::ForeignState> {
            let name = self.name();
            state.restore_to(self, name)
        }

        fn restore_json(
            &mut self,
            state: &serde_json::Value,
        ) -> Result<(), $crate::device::ForeignState> {
            let device = self.name();
            let new: Self = $crate::device::from_json(state, device)?;
            if !$can_be(&new, self) {
                return Err($crate::device::ForeignState { device });
            }
            *self = new;
            Ok(())
        }

        fn clone_box(&self) -> Box<dyn $crate::device::Device> {
            Box::new(self.clone())
        }
    };
}
pub(super) use whole_state;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_compare_by_type_and_value() {
        let one = DeviceState::of(1u32);
        assert_eq!(one, one.clone());
        assert_eq!(one, DeviceState::of(1u32));
        assert_ne!(one, DeviceState::of(2u32));
        assert_ne!(one, DeviceState::of(1u64));
        assert_eq!(one.to_json().to_string(), "1");
    }

    #[test]
    fn a_foreign_state_changes_nothing() {
        let mut target = 7u32;
        let refused = DeviceState::of(1u64).restore_to(&mut target, "thing");
        assert_eq!(refused, Err(ForeignState { device: "thing" }));
        assert_eq!(target, 7);
        assert_eq!(
            DeviceState::of(9u32).restore_to(&mut target, "thing"),
            Ok(())
        );
        assert_eq!(target, 9);
    }
}
